"""Figure 4: rows that blend one attribute from the photo's own to the reference's, on any weights and data.

    python benchmarks/figure4.py WEIGHTS --data CELEBA --out FOLDER [--attribute hair_color] [--split test] [--seed 0]

Writes figure4-<attribute>.png: the photo, five steps from its own (rebuilt) to all of the reference's, the reference.
Where the data has labels of the attribute, only pairs that differ in it are shown.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from held_out import HeldOut, parser
from traitswap.errors import TraitswapError
from traitswap.figures import blend_headings, blend_row, sheet
from traitswap.images import save_photo

ROWS = 5
AMOUNTS = np.linspace(0, 1, 5).tolist()


def draw(held_out: HeldOut, attribute: str, seed: int, out: Path) -> Path:
    """Draws the rows into the folder `out`; returns their file."""
    photos, references = held_out.differing_pairs(ROWS, seed, attribute)
    if not len(photos):
        raise TraitswapError(f"no pair of this split differs in {attribute}: take another --split or --seed")
    own, taken = held_out.encode(photos), held_out.encode(references)
    rows = [
        blend_row(held_out.pipe.draw, own[i : i + 1], {attribute: taken[i : i + 1]}, AMOUNTS)
        for i in range(len(photos))
    ]
    file = out / f"figure4-{attribute}.png"
    save_photo(sheet(rows, blend_headings(AMOUNTS)), file)
    return file


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--attribute", default="hair_color")
    given = options.parse_args(arguments)
    try:
        held_out = HeldOut(given.weights, given.data, given.split)
        file = draw(held_out, given.attribute, given.seed, given.out)
    except TraitswapError as error:
        raise SystemExit(f"figure4: {error}") from None
    print(f"{held_out.caption}, seed {given.seed}: {file}")


if __name__ == "__main__":
    main()
