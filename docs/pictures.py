"""Makes the pictures of these pages: what the demo makes with the packaged weights, and drawn faces.

    traitswap train --preset tiny --data drawn --out runs/first --max-time 1m
    traitswap train --preset benchmarks/drawn_truth.toml --data drawn --out runs/drawn --max-time 30m
    python docs/pictures.py --first runs/first --drawn runs/drawn/weights

Writes them into docs/pictures. The diagram needs no model: what it shows as made is the drawn truth.
"""

import argparse
import base64
import io
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from traitswap import TransferPipeline
from traitswap.cli.demo import demo
from traitswap.data.drawn import DrawnFaces, Face, draw_face, transfer_face
from traitswap.figures import Row, blend_headings, blend_row, sheet
from traitswap.images import UInt8Array, read_photo, resized, save_photo

FOLDER = Path(__file__).parent / "pictures"
SIZE = 64
FACES = DrawnFaces(24, 2, SIZE)
"""Of another seed than the training sets. Pairs are face i and face i + 12."""
AMOUNTS = np.linspace(0, 1, 5).tolist()
ROWS = 5

_GREEN, _BLUE, _PALE_GREEN, _PALE_BLUE = "#3b833a", "#3f70b0", "#d3e8d0", "#cfdef2"
_FACE, _UNIT = 120, 38
_TOP_A, _TOP_B = 40, 216


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--first", type=Path, required=True, help="the tutorial's run")
    options.add_argument("--drawn", type=Path, required=True, help="weights of benchmarks/drawn_truth.toml")
    given = options.parse_args()
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "swap.svg").write_text(diagram(), "utf-8")
    save_photo(read_photo(max((given.first / "samples").glob("*.png"))), FOLDER / "first.webp")
    # The tutorial's own two faces.
    tutorial = DrawnFaces(20, 1, SIZE)
    save_photo(blended(given.first / "weights", tutorial.load(3), tutorial.load(5)), FOLDER / "row.webp")
    save_photo(blended(given.drawn, FACES.load(7), FACES.load(19)), FOLDER / "blend.webp")
    pipe = TransferPipeline.from_pretrained(given.drawn)
    save_photo(truths(pipe), FOLDER / "truth.webp")
    with TemporaryDirectory() as made:
        demo(output=Path(made))
        save_photo(read_photo(Path(made) / "demo.png"), FOLDER / "demo.webp")


def blended(weights: Path, photo: UInt8Array, reference: UInt8Array) -> UInt8Array:
    """The row that `traitswap blend --take hair_color=… --aligned` draws."""
    pipe = TransferPipeline.from_pretrained(weights)
    own, taken = pipe.encode([photo], aligned=True), pipe.encode([reference], aligned=True)
    row = blend_row(pipe.draw, own, {"hair_color": taken}, AMOUNTS)
    return enlarged([row], blend_headings(AMOUNTS))


def truths(pipe: TransferPipeline) -> UInt8Array:
    """The first pairs: photo, reference, and for each attribute the transfer and the truth."""
    photos = pipe.encode([FACES.load(i) for i in range(ROWS)], aligned=True)
    references = pipe.encode([FACES.load(i + 12) for i in range(ROWS)], aligned=True)
    rows: list[Row] = [[FACES.load(i), FACES.load(i + 12)] for i in range(ROWS)]
    for name in pipe.attributes:
        for i, made in enumerate(pipe.draw(photos, {name: references})):
            rows[i] += [made, draw_face(transfer_face(FACES.face(i), FACES.face(i + 12), [name]), SIZE)]
    return enlarged(rows, ["photo", "reference", "hair_color", "truth", "smiling", "truth"])


def enlarged(rows: Sequence[Row], headings: Sequence[str]) -> UInt8Array:
    """A sheet of faces at twice their size, so that they can be seen and the headings are sharp."""
    return sheet([[None if face is None else resized(face, 2 * SIZE) for face in row] for row in rows], headings)


def diagram() -> str:
    """Encode, swap one unit, decode, as SVG."""
    a, b = FACES.face(8), FACES.face(10)
    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 436" font-family="sans-serif" font-size="19">',
        "<title>Two faces are encoded, their hair-colour units are exchanged, and both are decoded</title>",
        '<rect width="860" height="436" fill="white"/>',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#444"/></marker></defs>',
    ]
    made = transfer_face(a, b, ["hair_color"]), transfer_face(b, a, ["hair_color"])
    for top, name, face, result, own, other, pale in (
        (_TOP_A, "a", a, made[0], _GREEN, _BLUE, _PALE_GREEN),
        (_TOP_B, "b", b, made[1], _BLUE, _GREEN, _PALE_BLUE),
    ):
        middle = top + _FACE // 2
        lines += [
            _picture(face, 10, top),
            _picture(result, 730, top),
            _label(70, top - 10, name),
            _label(790, top - 10, f"{name}, hair of {'b' if name == 'a' else 'a'}"),
            _arrow(134, middle, 148),
            f'<path d="M152 {top}L208 {top + 30}V{top + 90}L152 {top + _FACE}z" fill="#eee" stroke="#444"/>',
            _label(180, middle + 7, "Enc"),
            _arrow(212, middle, 226),
            *_units(230, top, own, own, pale),
            *(_arrow(352, _unit_middle(top, i), 496) for i in (1, 2)),
            *_units(502, top, other, own, pale),
            _arrow(624, middle, 638),
            f'<path d="M698 {top}L642 {top + 30}V{top + 90}L698 {top + _FACE}z" fill="#eee" stroke="#444"/>',
            _label(670, middle + 7, "Dec"),
            _arrow(702, middle, 716),
        ]
    high, low = _unit_middle(_TOP_A, 0), _unit_middle(_TOP_B, 0)
    lines += [
        f'<path d="M352 {y}C420 {y} 430 {z} 496 {z}" fill="none" stroke="{color}" stroke-width="4"/>'
        for y, z, color in ((high, low, _GREEN), (low, high, _BLUE))
    ]
    lines += [
        _label(424, 24, "Swap"),
        '<path d="M790 342V392H70V346" fill="none" stroke="#444" stroke-dasharray="6 5" marker-end="url(#tip)"/>',
        _label(430, 420, "in training: encoded again, swapped back, decoded: a and b once more"),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _units(left: int, top: int, hair: str, smile: str, rest: str) -> list[str]:
    """An embedding: the units of hair colour and smile, and the rest."""
    parts = (("hair colour", hair, "white"), ("smile", smile, "white"), ("rest", rest, "black"))
    return [
        f'<rect x="{left}" y="{_unit_middle(top, i) - _UNIT // 2}" width="118" height="{_UNIT}" fill="{fill}" '
        f'stroke="white"/>{_label(left + 59, _unit_middle(top, i) + 7, name, ink)}'
        for i, (name, fill, ink) in enumerate(parts)
    ]


def _unit_middle(top: int, number: int) -> int:
    return top + 22 + _UNIT * number


def _label(x: int, y: int, text: str, fill: str = "black") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="middle" fill="{fill}">{text}</text>'


def _arrow(x: int, y: int, end: int) -> str:
    return f'<path d="M{x} {y}H{end}" stroke="#444" fill="none" marker-end="url(#tip)"/>'


def _picture(face: Face, left: int, top: int) -> str:
    data = io.BytesIO()
    Image.fromarray(draw_face(face, _FACE)).save(data, "PNG", optimize=True)
    code = base64.b64encode(data.getvalue()).decode()
    return f'<image x="{left}" y="{top}" width="{_FACE}" height="{_FACE}" href="data:image/png;base64,{code}"/>'


if __name__ == "__main__":
    main()
