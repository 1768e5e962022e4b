"""Using a model: photos in, photos out."""

import json
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from traitswap.cli.extras import needs
from traitswap.errors import TraitswapError

if TYPE_CHECKING:
    from traitswap.batch import Order
    from traitswap.pipeline import PhotoLike, Result, TransferPipeline

app = typer.Typer()

Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        "-w",
        help="Weights folder (model.safetensors and config.json).",
        show_default="those that come with the package",
    ),
]
WeightsArgument = Annotated[
    Path | None, typer.Argument(help="Weights folder.", show_default="those that come with the package")
]
Take = Annotated[
    list[str],
    typer.Option(
        "--take",
        "-t",
        metavar="ATTRIBUTE=REFERENCE",
        help="What to take from which photo, or style (@blond; traitswap styles lists them); may be repeated.",
    ),
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Picture to write: .png, .jpg or .webp.")]
Aligned = Annotated[
    bool, typer.Option("--aligned", help="The pictures are face crops already, as CelebA's are: look for no faces.")
]
NoMark = Annotated[
    bool, typer.Option("--no-mark", help="Do not say in the picture's XMP that a trained model made part of it.")
]
Json = Annotated[bool, typer.Option("--json", help="Say what was done as JSON, one line for each.")]

_STDIO = Path("-")


@app.command()
def transfer(
    photo: Annotated[
        Path,
        typer.Argument(
            help="The photo to change; -: from stdin. Many: a folder, its tars included, a .txt with a path a line, or "
            "a .tar."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Picture to write: .png, .jpg or .webp; -: PNG to stdout; for many, a folder."
        ),
    ],
    take: Take,
    weights: Weights = None,
    strength: Annotated[
        list[str],
        typer.Option(
            "--strength",
            metavar="ATTRIBUTE=0…1.5",
            help="How far to go: 0 keeps the photo's own, 1 takes the reference's; more where that is too little.",
        ),
    ] = [],  # noqa: B006
    face: Annotated[
        str,
        typer.Option("--face", metavar="N|all", help="Which face, from 1, the largest (traitswap faces shows them)."),
    ] = "1",
    aligned: Aligned = False,
    no_mark: NoMark = False,
    as_json: Json = False,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="ADDRESS",
            help="Share many photos among workers of Ray: local (one for each core here), or a cluster's address.",
        ),
    ] = None,
) -> None:
    """Give a photo attributes of other photos. What lies away from the face stays as it is.

    traitswap transfer me.jpg --take hair_color=her.jpg --take smiling=him.jpg -o out.jpg

    Of many, a photo that cannot be edited does not end the work; the same command again goes on where it stopped and
    tries those again. transfers.csv among the results says what was done to what. Results from a tar come in a tar.
    """
    from traitswap.batch import Order, Row, is_batch
    from traitswap.checkpoint import PACKAGED_WEIGHTS

    names = named("--take", take)
    strengths = {
        name: _number(f"--strength {name}", value)
        for name, value in named("--strength", strength, "hair_color=0.5").items()
    }
    flags = ["--aligned"] * aligned + ["--no-mark"] * no_mark
    asked = [*_repeated("--take", take), *_repeated("--strength", strength), "--face", face, *flags]
    options = shlex.join([*asked, *named_weights(weights)])
    order = Order(weights or PACKAGED_WEIGHTS, names, strengths, _which(face), aligned, not no_mark, options)
    if output == _STDIO and sys.stdout.isatty():
        raise TraitswapError("-o - writes the bytes of a picture: send them on to a file or a program")
    edit = order.opened()
    if is_batch(photo):
        _transfer_many(photo, output, order, edit, ray, as_json)
        return
    if ray:
        raise TraitswapError(f"--ray is for many photos, and {photo} is one: give a folder, a .txt list or a .tar")
    if output.exists() and output.resolve() in {path.resolve() for path in (photo, *map(Path, names.values()))}:
        raise TraitswapError(f"{output} would be written over: give another --output")
    result = edit(sys.stdin.buffer.read() if photo == _STDIO else photo)
    if output == _STDIO:
        sys.stdout.buffer.write(result.encoded("PNG", order.mark))
    else:
        result.save(output, order.mark)
    row = Row.of(str(photo), str(output), result, options)
    which_faces = f", face {', '.join(map(str, row.faces))}" if row.faces else ""
    text = json.dumps(asdict(row)) if as_json else f"wrote {output} ({row.width}×{row.height}{which_faces})"
    typer.echo(text, err=output == _STDIO)


def _transfer_many(
    photos: Path,
    out: Path,
    order: "Order",
    edit: "Callable[[PhotoLike], Result]",
    ray: str | None,
    as_json: bool,
) -> None:
    from rich.console import Console

    from traitswap.batch import LIST_NAME, Batch, tar_of, transfer
    from traitswap.progress import bar

    if out == _STDIO:
        raise TraitswapError(f"{photos} holds many photos: give a folder for its results with --output")
    batch = Batch(photos, out, order)
    if ray:
        needs("ray", "ray", "pandas", "pyarrow")
        from traitswap.cluster import PHOTOS_AT_A_TIME, transferred

        parts = batch.parts(PHOTOS_AT_A_TIME)
        done = transferred(parts, batch.root, batch.out, batch.order, ray)
    else:
        parts = batch.parts()
        done = (transfer(part, batch.root, batch.out, batch.order, edit) for part in parts)
    console = Console(stderr=True)
    count = failed = in_tars = 0
    with bar("photos", console) as progress:
        task = progress.add_task("photos", total=sum(map(len, parts)))
        for rows in batch.listed(done):
            for row in rows:
                failed += bool(row.error)
                in_tars += bool(row.error and tar_of(row.photo))
                if as_json:
                    typer.echo(json.dumps(asdict(row)))
                elif row.error:
                    console.print(row.error, markup=False, highlight=False, soft_wrap=True)
            count += len(rows)
            # A tar counts as one: how many are in it is known when it is done.
            progress.advance(task, 1 if rows and tar_of(rows[0].photo) else len(rows))
    already = f", {batch.done} were there already" if batch.done else ""
    typer.echo(f"wrote {count - failed} of {count} photos to {out}{already}; {LIST_NAME} lists them", err=as_json)
    if failed:
        again = "the same command tries them again" + (", but not those in a tar that is written" if in_tars else "")
        raise TraitswapError(f"{failed} of {count} photos could not be edited: {out / LIST_NAME} says why; {again}")
    if batch.failed:
        raise TraitswapError(
            f"{batch.failed} photos in tars that are written could not be edited: {out / LIST_NAME} says why; remove "
            "such a tar to try them again"
        )


@app.command()
def faces(
    photo: Annotated[Path, typer.Argument(help="A photo.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Picture to write, with their numbers: .png, .jpg or .webp.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the faces of a photo with the numbers that transfer --face takes, the largest first, or draw them."""
    from traitswap.crops import faces_in, trouble
    from traitswap.figures import numbered
    from traitswap.images import read_photo, save_photo

    image = read_photo(photo)
    found = faces_in(image, str(photo))
    if output:
        save_photo(numbered(image, found), output)
    for number, face in enumerate(found, 1):
        box = [round(value) for value in face.box]
        reason = trouble(face, image)
        if as_json:
            typer.echo(json.dumps({"face": number, "box": box, "trouble": reason}))
        else:
            typer.echo(f"{number}: {box[2]}×{box[3]} pixels at {box[0]}, {box[1]}" + (f"; {reason}" if reason else ""))
    if output:
        typer.echo(f"wrote {output}", err=as_json)


@app.command()
def blend(
    photo: Annotated[Path, typer.Argument(help="The photo to change.")],
    take: Take,
    output: Output,
    weights: Weights = None,
    steps: Annotated[int, typer.Option(min=2, max=64, help="Pictures from the photo's own to the reference's.")] = 5,
    aligned: Aligned = False,
    no_mark: NoMark = False,
) -> None:
    """Draw a row that moves smoothly from the photo's own attribute to the reference's (figure 4)."""
    import numpy as np

    from traitswap.figures import blend_headings, blend_row, sheet
    from traitswap.images import save_photo

    pipe = _pipeline(weights)
    names = named("--take", take)
    pipe.check(names, {})
    taken = pipe.encode_references(names, aligned)
    amounts = np.linspace(0, 1, steps).tolist()
    row = blend_row(pipe.draw, pipe.encode([photo], aligned), taken, amounts)
    save_photo(sheet([row], blend_headings(amounts, len(row) - steps - 1)), output, not no_mark)
    typer.echo(f"wrote {output}")


@app.command()
def grid(
    photos: Annotated[list[Path], typer.Option("--photos", help="Photos or folders, one row each.")],
    references: Annotated[list[Path], typer.Option("--references", help="References or folders, one column each.")],
    take: Annotated[
        list[str],
        typer.Option(
            "--take", "-t", metavar="ATTRIBUTE", help="What to take from the reference; may be repeated, or a,b."
        ),
    ],
    output: Output,
    weights: Weights = None,
    aligned: Aligned = False,
    no_mark: NoMark = False,
) -> None:
    """Draw every photo with every reference's attributes (figure 3)."""
    from traitswap import figures
    from traitswap.images import save_photo

    pipe = _pipeline(weights)
    names = [name.strip() for part in take for name in part.split(",") if name.strip()]
    if not names:
        raise TraitswapError("--take names no attribute: give one, such as hair_color")
    pipe.check(dict.fromkeys(names), {})
    rows, columns = _pictures(photos), _pictures(references)
    cells = figures.grid(pipe.draw, pipe.encode(rows, aligned), pipe.encode(columns, aligned), names)
    save_photo(figures.sheet(cells), output, not no_mark)
    typer.echo(f"wrote {output}: {len(rows)} photos × {len(columns)} references, {' and '.join(names)} taken")


@app.command()
def styles(
    weights: WeightsArgument = None,
    photo: Annotated[Path | None, typer.Option("--photo", help="A photo to show them on.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Picture to write, with --photo: .png, .jpg or .webp.")
    ] = None,
    aligned: Aligned = False,
    no_mark: NoMark = False,
) -> None:
    """List the styles that --take takes in place of a photo (@blond, @blond-2, …), or show them on a photo.

    traitswap styles --photo me.jpg -o styles.png
    """
    from traitswap.figures import pictures_of, sheet, stacked
    from traitswap.images import save_photo

    if (photo is None) != (output is None):
        raise TraitswapError("to draw the styles, give both --photo and --output; to list them, neither")
    pipe, known = pipeline_with_styles(weights)
    if photo is None or output is None:
        for attribute, names in known.items():
            typer.echo(f"{attribute:<12} {' '.join(names)}")
        return
    codes = pipe.encode([photo], aligned)
    sheets = []
    for attribute, names in known.items():
        taken = [pipe.draw(codes, pipe.encode_references({attribute: name}))[0] for name in names]
        sheets.append(sheet([[pictures_of(codes)[0], *taken]], [attribute, *names]))
    save_photo(stacked(sheets), output, not no_mark)
    typer.echo(f"wrote {output}: {', '.join(f'{len(names)} of {attribute}' for attribute, names in known.items())}")


@app.command()
def serve(
    weights: Weights = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; others than this machine reach it at 0.0.0.0.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes any that is free.")] = 8000,
    max_upload: Annotated[int, typer.Option("--max-upload", min=1, help="Megabytes of a request.")] = 30,
    max_pixels: Annotated[int, typer.Option("--max-pixels", min=1, help="Megapixels of a photo.")] = 50,
    max_seconds: Annotated[float, typer.Option("--max-seconds", min=0.1, help="Seconds of a request.")] = 120.0,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Requests worked on at a time.")] = 2,
    queue: Annotated[int, typer.Option("--queue", min=0, help="Requests that may wait beyond these.")] = 8,
) -> None:
    """Show a page on this machine where photos are edited as sliders move; behind it an HTTP API (/openapi.json).

    No photo is stored, and none leaves the machine.
    """
    needs("web", "fastapi", "uvicorn", "python_multipart", "prometheus_client")
    from traitswap.web.guard import Limits
    from traitswap.web.server import run

    limits = Limits(max_upload * 1_000_000, max_pixels * 1_000_000, workers, queue, max_seconds)
    run(_pipeline(weights), host, port, limits, typer.echo)


@app.command()
def info(weights: WeightsArgument = None) -> None:
    """Say what a weights folder holds: attributes, sizes, how it was trained."""
    from traitswap.checkpoint import CONFIG_NAME, KEYS, KIND, PACKAGED_WEIGHTS, load_config, load_tensors
    from traitswap.config import parse_settings
    from traitswap.editing import drawing_of

    weights = weights or PACKAGED_WEIGHTS
    config = load_config(weights, KIND, KEYS)
    settings = parse_settings(config["settings"], str(weights))
    parts: dict[str, int] = {}
    for name, array in load_tensors(weights).items():
        # Of joined weights, the encoders together and the decoders.
        part = name.lstrip("0123456789.").partition(".")[0]
        parts[part] = parts.get(part, 0) + array.size
    layout = settings.layout
    drawing = drawing_of(config, weights / CONFIG_NAME, layout)
    lines = {
        "attributes": "; ".join(f"{name} ({', '.join(columns)})" for name, columns in config["attributes"].items()),
        "faces": f"{config['size']}×{config['size']} pixels",
        "unit": f"{layout.unit_channels} channels an attribute, {layout.rest_channels} for the rest",
        "parameters": ", ".join(f"{part} {count:,}" for part, count in parts.items()),
        "method": settings.method.name,
        "preset": config["preset"],
        "trained on": f"{config['training_data']['name']}, {config['training_data']['train_images']:,} images",
        "images seen": f"{config['images_seen']:,}",
        "confined": "; ".join(f"{name} to the {region}" for name, region in drawing.confined.items()) or "nothing",
        "drawn": "twice, also mirrored" if drawing.mirrored else "once",
    }
    for key, value in lines.items():
        typer.echo(f"{key:<12} {value}")


def named_weights(weights: Path | None) -> list[str]:
    """As options of a command."""
    return ["--weights", str(weights)] if weights else []


def _pipeline(weights: Path | None) -> "TransferPipeline":
    from traitswap.checkpoint import PACKAGED_WEIGHTS
    from traitswap.pipeline import TransferPipeline

    return TransferPipeline.from_pretrained(weights or PACKAGED_WEIGHTS)


def pipeline_with_styles(weights: Path | None) -> "tuple[TransferPipeline, dict[str, tuple[str, ...]]]":
    """The pipeline, and its styles (`TransferPipeline.styles`) of the attributes that have some."""
    pipe = _pipeline(weights)
    known = {attribute: names for attribute, names in pipe.styles.items() if names}
    if not known:
        raise TraitswapError(f"{weights} has no styles: traitswap find-styles {weights} --data … makes them")
    return pipe, known


def named(option: str, items: Iterable[str], example: str = "hair_color=her.jpg") -> dict[str, str]:
    """Of a repeated option what is said of each name, such as the `example`."""
    result: dict[str, str] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not value:
            raise TraitswapError(f"{option} {item}: expected ATTRIBUTE=…, such as {example}")
        if name in result:
            raise TraitswapError(f"{option} names '{name}' twice: once is enough")
        result[name] = value
    return result


def _number(what: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise TraitswapError(f"{what}={text}: expected a number from 0 to 1.5") from None


def _which(text: str) -> Any:
    if text != "all" and not text.isdecimal():
        raise TraitswapError(f"--face {text}: expected a number from 1, or all")
    return text if text == "all" else int(text)


def _repeated(option: str, values: Iterable[str]) -> list[str]:
    return [part for value in values for part in (option, value)]


def _pictures(paths: Sequence[Path]) -> list[Path]:
    """Photos as they are, folders as the images in them."""
    from traitswap.batch import pictures_in

    return [picture for path in paths for picture in (pictures_in(path) if path.is_dir() else [path])]
