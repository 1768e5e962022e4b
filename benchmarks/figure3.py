"""Figure 3: photos × references, for each attribute alone and all together, on any weights and data.

    python benchmarks/figure3.py WEIGHTS --data CELEBA --out FOLDER [--split test] [--seed 0]

Writes figure3-<attributes>.png for each. A row is a photo and a column a reference, both as they are at the edge
(the paper's own grids are the other way round). Its figure 3 (d) is the same with --data RAFD.
"""

from collections.abc import Sequence
from pathlib import Path

from held_out import HeldOut, parser
from traitswap.errors import TraitswapError
from traitswap.figures import grid, sheet
from traitswap.images import save_photo

SIDE = 5


def draw(held_out: HeldOut, seed: int, out: Path) -> list[Path]:
    """Draws all grids into the folder `out`; returns their files."""
    photos, references = (held_out.encode(indices) for indices in held_out.pairs(SIDE, seed))
    names = held_out.pipe.attributes
    files = []
    for taken in [*((name,) for name in names), *([names] if len(names) > 1 else [])]:
        files.append(out / f"figure3-{'-'.join(taken)}.png")
        save_photo(sheet(grid(held_out.pipe.draw, photos, references, taken)), files[-1])
    return files


def main(arguments: Sequence[str] | None = None) -> None:
    given = parser(__doc__).parse_args(arguments)
    try:
        held_out = HeldOut(given.weights, given.data, given.split)
        files = draw(held_out, given.seed, given.out)
    except TraitswapError as error:
        raise SystemExit(f"figure3: {error}") from None
    print(f"{held_out.caption}, seed {given.seed}:", *files)


if __name__ == "__main__":
    main()
