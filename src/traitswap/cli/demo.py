"""A first look: the model's styles on one photo, and the commands that make each picture."""

import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

from traitswap.cli.extras import needs
from traitswap.cli.using import NoMark, Weights, named_weights, pipeline_with_styles
from traitswap.errors import TraitswapError

app = typer.Typer()

_SHEET = "demo.png"
_CELL = 256
"""Height and width of a face in the sheet, pixels."""
_IN_A_ROW = 4


@app.command()
def demo(
    photo: Annotated[
        Path | None,
        typer.Argument(help="A photo with a face.", show_default="an astronaut, which comes with scikit-image"),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write into.")] = Path("demo"),
    weights: Weights = None,
    no_mark: NoMark = False,
) -> None:
    """Give a photo the typical hair colours, smiles and whatever else a model knows, and show the commands for it.

    The pictures, and one of them all, demo.png, are written into a folder.
    """
    import numpy as np
    from PIL import Image

    from traitswap.crops import cut_out
    from traitswap.figures import sheet, stacked
    from traitswap.images import save_photo

    pipe, styles = pipeline_with_styles(weights)
    takes = {output / f"{'-'.join(s.removeprefix('@') for s in take.values())}.png": take for take in _takes(styles)}
    if photo is None:
        needs("demo", "skimage")
        from skimage.data import astronaut

        photo = output / "astronaut.png"
        save_photo(Image.fromarray(astronaut()), photo)  # type: ignore[no-untyped-call]
    elif photo.resolve() in {path.resolve() for path in (*takes, output / _SHEET)}:
        raise TraitswapError(f"{photo} would be written over: give another --output")
    encoded = pipe.encode_photo(photo)
    [(_, crop)] = encoded.faces
    cells, headings = [cut_out(encoded.photo.seen, crop, _CELL)], ["photo"]
    for target, take in takes.items():
        result = pipe.edit(encoded, pipe.encode_references(take))
        result.save(target, not no_mark)
        cells.append(cut_out(np.asarray(result.image.convert("RGB")), crop, _CELL))
        headings.append(" ".join(take.values()))
        options = [part for name, style in take.items() for part in ("--take", f"{name}={style}")]
        typer.echo(
            shlex.join(["traitswap", "transfer", str(photo), *options, *named_weights(weights), "-o", str(target)])
        )
    starts = range(0, len(cells), _IN_A_ROW)
    rows = [sheet([cells[i : i + _IN_A_ROW]], headings[i : i + _IN_A_ROW]) for i in starts]
    save_photo(stacked(rows), output / _SHEET, not no_mark)
    typer.echo(f"wrote {output / _SHEET}")


def _takes(styles: dict[str, tuple[str, ...]]) -> list[dict[str, str]]:
    """The most typical style of every label alone, then one of each attribute together."""
    first = {name: [s for s in known if not re.search(r"-\d+$", s)] for name, known in styles.items()}
    alone = [{name: style} for name, known in first.items() for style in known]
    return [*alone, {name: known[0] for name, known in first.items()}] if len(first) > 1 else alone
