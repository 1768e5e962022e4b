"""Pictures of pictures: faces in rows and columns, with headings."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from traitswap.images import UInt8Array

_HEADING = 18
_GAP = 2


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
