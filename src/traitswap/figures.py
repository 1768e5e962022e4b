"""Pictures of pictures: faces in rows and columns, with headings; the paper's grids and rows."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from traitswap.codec import Codes
from traitswap.faces import FoundFace
from traitswap.images import UInt8Array, to_pixels

Draw = Callable[[Codes, Mapping[str, Codes], Mapping[str, float]], UInt8Array]
"""N faces, what they take, how much of it → N × S × S × 3: `TransferPipeline.draw`."""
Row = list[UInt8Array | None]

_HEADING = 18
_GAP = 2


def grid(draw: Draw, photos: Codes, references: Codes, names: Sequence[str]) -> list[Row]:
    """Figure 3: each photo, a row, with the named attributes of each reference, a column.

    The first row and the first column are references and photos as they are.
    """
    rows: list[Row] = [[None, *pictures_of(references)]]
    for i, photo in enumerate(pictures_of(photos)):
        repeated = photos[np.full(len(references), i)]
        rows.append([photo, *draw(repeated, dict.fromkeys(names, references), {})])
    return rows


def blend_row(draw: Draw, photo: Codes, take: Mapping[str, Codes], amounts: Sequence[float]) -> Row:
    """Figure 4: the photo as it is, with each of `amounts` (0 … 1) of what it takes, and the references as they are."""
    steps = [draw(photo, take, dict.fromkeys(take, amount))[0] for amount in amounts]
    # One that serves several attributes is shown once; a style has no picture.
    references = {id(codes): pictures_of(codes) for codes in take.values()}
    return [pictures_of(photo)[0], *steps, *(picture for pictures in references.values() for picture in pictures)]


def blend_headings(amounts: Sequence[float], references: int = 1) -> list[str]:
    """What stands above the columns of `blend_row`."""
    return ["photo", *(f"{amount:.0%}" for amount in amounts), *["reference"] * references]


def pictures_of(codes: Codes) -> UInt8Array:
    """The faces that `codes` were made from, N × S × S × 3."""
    return np.ascontiguousarray(to_pixels(codes.photo).transpose(0, 2, 3, 1))


def sheet(rows: Sequence[Sequence[UInt8Array | None]], headings: Sequence[str] = ()) -> UInt8Array:
    """Faces of one size (S × S × 3) laid out in rows on white; None leaves a cell empty.

    `headings`, one a column, are written above.
    """
    size = next(face.shape[0] for row in rows for face in row if face is not None)
    columns = max(len(row) for row in rows)
    top = _HEADING if headings else 0
    canvas = Image.new("RGB", (columns * (size + _GAP) - _GAP, top + len(rows) * (size + _GAP) - _GAP), "white")
    draw = ImageDraw.Draw(canvas)
    for column, heading in enumerate(headings):
        draw.text((column * (size + _GAP) + 2, 3), heading, fill="black", font=ImageFont.load_default(11))
    for r, row in enumerate(rows):
        for c, face in enumerate(row):
            if face is not None:
                canvas.paste(Image.fromarray(face), (c * (size + _GAP), top + r * (size + _GAP)))
    return np.asarray(canvas)


def stacked(sheets: Sequence[UInt8Array]) -> UInt8Array:
    """Sheets of any widths one below another, on white."""
    width = max(sheet.shape[1] for sheet in sheets)
    wide = [np.pad(sheet, ((0, _GAP), (0, width - sheet.shape[1]), (0, 0)), constant_values=255) for sheet in sheets]
    return np.concatenate(wide)[:-_GAP]


def numbered(image: UInt8Array, faces: Sequence[FoundFace]) -> UInt8Array:
    """A copy of a photo (H × W × 3) with a box round each face and its number, from 1, above."""
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    line = max(2, max(canvas.size) // 400)
    for number, face in enumerate(faces, 1):
        left, top, width, height = face.box
        draw.rectangle((left, top, left + width, top + height), outline="yellow", width=line)
        size = max(12.0, width / 4)
        # Within the box where there is no room above.
        anchor = "ls" if top > size else "lt"
        draw.text(
            (left + line, top),
            str(number),
            fill="yellow",
            font=ImageFont.load_default(size),
            anchor=anchor,
            stroke_width=line,
            stroke_fill="black",
        )
    return np.asarray(canvas)
