"""The command line: parse, call, show. Networks are imported inside commands, so that --help is instant."""

import json
import re
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from traitswap.errors import TraitswapError

if TYPE_CHECKING:
    import threading

    from rich.console import Console

    from traitswap.config import Settings
    from traitswap.pipeline import TransferPipeline

app = typer.Typer(
    name="traitswap",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Take one attribute of a face from one photo, another from a second, and give them to yours.",
)

Weights = Annotated[Path, typer.Option("--weights", "-w", help="Weights folder (model.safetensors and config.json).")]
Take = Annotated[
    list[str],
    typer.Option("--take", "-t", metavar="ATTRIBUTE=REFERENCE", help="What to take from which photo; may be repeated."),
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Picture to write: .png, .jpg or .webp.")]
Aligned = Annotated[
    bool, typer.Option("--aligned", help="The pictures are face crops, as CelebA's are (so far, all are taken to be).")
]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        "-d",
        metavar="PATH|drawn",
        help="Folder of CelebA, CelebA-HQ, RaFD or images with a CSV of labels; or [bold]drawn[/]: faces drawn here.",
    ),
]
OnProblemOption = Annotated[
    str, typer.Option("--on-problem", help="stop or skip: what to do about missing or unreadable images and labels.")
]
Preset = Annotated[str, typer.Option("--preset", "-p", help="tiny, lite, paper, or the path of a .toml file.")]
Method = Annotated[
    str | None,
    typer.Option(
        "--method",
        "-m",
        help="latent-swap (ours), stargan or dna-gan; lite and paper are then that method's, at 128 px.",
        show_default="that of the preset",
    ),
]
Set = Annotated[
    list[str], typer.Option("--set", "-s", metavar="KEY=VALUE", help="Changes one setting, such as train.lr=0.0002.")
]
Attributes = Annotated[
    list[str],
    typer.Option(
        "--attribute",
        "-a",
        metavar="NAME=COLUMN,…",
        help="Learn these instead of the preset's: hair_color=Black_Hair,Blond_Hair or Bangs. May be repeated.",
    ),
]


@app.command()
def transfer(
    photo: Annotated[Path, typer.Argument(help="The photo to change.")],
    weights: Weights,
    output: Output,
    take: Take = [],  # noqa: B006 - typer reads it, nothing changes it
    strength: Annotated[
        list[str],
        typer.Option(
            "--strength", metavar="ATTRIBUTE=0…1", help="How far to go: 0 keeps the photo's own, 1 takes it all."
        ),
    ] = [],  # noqa: B006
    aligned: Aligned = True,
) -> None:
    """Give a photo attributes of other photos.

    traitswap transfer me.png --take hair_color=her.jpg --take smiling=him.jpg -w WEIGHTS -o out.png
    """
    from traitswap.images import save_photo

    strengths = {name: _number(f"--strength {name}", value) for name, value in _named("--strength", strength).items()}
    pipe = _pipeline(weights)
    codes = pipe.encode_references(_take(pipe, take, strengths))
    result = pipe.encode([photo]).blend(codes, strengths)
    save_photo(pipe.decode_arrays(result)[0], output)
    typer.echo(f"wrote {output} ({pipe.size}×{pipe.size})")


@app.command()
def blend(
    photo: Annotated[Path, typer.Argument(help="The photo to change.")],
    weights: Weights,
    take: Take,
    output: Output,
    steps: Annotated[int, typer.Option(min=2, max=64, help="Pictures from the photo's own to the reference's.")] = 5,
    aligned: Aligned = True,
) -> None:
    """Draw a row that moves smoothly from the photo's own attribute to the reference's (figure 4)."""
    import numpy as np

    from traitswap.figures import blend_headings, blend_row, sheet
    from traitswap.images import save_photo

    pipe = _pipeline(weights)
    taken = pipe.encode_references(_take(pipe, take, {}))
    amounts = np.linspace(0, 1, steps).tolist()
    row = blend_row(pipe.decode_arrays, pipe.encode([photo]), taken, amounts)
    save_photo(sheet([row], blend_headings(amounts, len(row) - steps - 1)), output)
    typer.echo(f"wrote {output}")


@app.command()
def grid(
    photos: Annotated[list[Path], typer.Option("--photos", help="Photos or folders, one row each.")],
    references: Annotated[list[Path], typer.Option("--references", help="References or folders, one column each.")],
    weights: Weights,
    take: Annotated[
        str, typer.Option("--take", "-t", help="Attributes to take from the reference: hair_color,smiling.")
    ],
    output: Output,
    aligned: Aligned = True,
) -> None:
    """Draw every photo with every reference's attributes (figure 3)."""
    from traitswap import figures
    from traitswap.images import save_photo

    pipe = _pipeline(weights)
    names = [name.strip() for name in take.split(",") if name.strip()]
    pipe.check(dict.fromkeys(names), {})
    rows, columns = _pictures(photos), _pictures(references)
    cells = figures.grid(pipe.decode_arrays, pipe.encode(rows), pipe.encode(columns), names)
    save_photo(figures.sheet(cells), output)
    typer.echo(f"wrote {output}: {len(rows)} photos × {len(columns)} references, {' and '.join(names)} taken")


@app.command()
def info(weights: Annotated[Path, typer.Argument(help="Weights folder.")]) -> None:
    """Say what a weights folder holds: attributes, sizes, how it was trained."""
    from traitswap.checkpoint import KEYS, KIND, load_config, load_tensors
    from traitswap.config import parse_settings

    config = load_config(weights, KIND, KEYS)
    settings = parse_settings(config["settings"], str(weights))
    parts: dict[str, int] = {}
    for name, array in load_tensors(weights).items():
        part = name.partition(".")[0]
        parts[part] = parts.get(part, 0) + array.size
    layout = settings.layout
    lines = {
        "attributes": "; ".join(f"{name} ({', '.join(columns)})" for name, columns in config["attributes"].items()),
        "faces": f"{config['size']}×{config['size']} pixels",
        "unit": f"{layout.unit_channels} channels an attribute, {layout.rest_channels} for the rest",
        "parameters": ", ".join(f"{part} {count:,}" for part, count in parts.items()),
        "method": settings.method.name,
        "preset": config["preset"],
        "trained on": f"{config['training_data']['name']}, {config['training_data']['train_images']:,} images",
        "images seen": f"{config['images_seen']:,}",
    }
    for key, value in lines.items():
        typer.echo(f"{key:<12} {value}")


@app.command()
def train(
    data: Data,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the run; the same command again goes on with it.")
    ],
    preset: Preset = "lite",
    method: Method = None,
    attribute: Attributes = [],  # noqa: B006
    changes: Set = [],  # noqa: B006
    max_time: Annotated[str | None, typer.Option(help="Train at most this long: 90s, 30m, 2h.")] = None,
    max_images: Annotated[int | None, typer.Option(min=1, help="Stop after this many images in all.")] = None,
    guide: Annotated[Path | None, typer.Option(help="Classifier to guide the generator; else one is trained.")] = None,
    health: Annotated[Path | None, typer.Option(help="Classifier for the health line; else one is trained.")] = None,
    identity_network: Annotated[
        Path | None, typer.Option(help="ONNX face network; adds identity and leakage to the health line.")
    ] = None,
    on_problem: OnProblemOption = "stop",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print settings, sizes and cost; train nothing.")] = False,
) -> None:
    """Train a model. Saves as it goes; the same command again goes on where it stopped.

    A first try that needs no data:  traitswap train --preset tiny --data drawn --out runs/first
    """
    settings = _settings(preset, changes, attribute, method)
    seconds = _seconds(max_time) if max_time else float("inf")
    _needs_torch()
    from traitswap.training import loop, setup, state

    console = _console()
    faces = setup.read_faces(data, settings, _on_problem(on_problem), console)
    if dry_run:
        _print_estimate(settings, setup.estimate(settings, faces))
        return
    state.open_run(settings, faces, out)
    trained, watch = setup.prepare_run(
        settings, faces, out, setup.Classifiers(guide, health), identity_network, console
    )
    # Not before: on a slow machine the classifiers alone could use a short time up, and nothing would be trained.
    deadline = time.monotonic() + seconds
    limits = loop.Limits(deadline, max_images)
    with _stopping_gently(limits.stop):
        seen = loop.train(settings, trained, faces, out, watch, console, limits)
    typer.echo(f"{seen:,} images seen; weights in {out / 'weights'}, pictures in {out / 'samples'}")
    if limits.stop.is_set():
        raise typer.Exit(130)


@app.command("train-classifier")
def train_classifier(
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="Weights folder to write.")],
    preset: Preset = "lite",
    changes: Set = [],  # noqa: B006
    seed: Annotated[
        int, typer.Option(help="Another seed than a run's own classifiers makes an independent judge.")
    ] = 100,
    on_problem: OnProblemOption = "stop",
) -> None:
    """Train a small attribute classifier: to guide or watch a run, or to judge its results."""
    settings = _settings(preset, changes, [])
    _needs_torch()
    from traitswap.training import setup

    if out.exists():
        raise TraitswapError(f"{out} exists: give another --out, or remove it first")
    console = _console()
    faces = setup.read_faces(data, settings, _on_problem(on_problem), console)
    setup.obtain_classifier(out, faces, settings.classifier, seed, "attribute", console)
    for column, accuracy in json.loads((out / "config.json").read_text("utf-8"))["held_out_accuracy"].items():
        typer.echo(f"{column:<22} {accuracy:.1%}")


@app.command()
def evaluate(
    weights: Annotated[list[Path], typer.Argument(help="Weights folders.")],
    data: Data,
    judge: Annotated[
        Path | None, typer.Option(help="A classifier that took no part in training (traitswap train-classifier).")
    ] = None,
    identity_network: Annotated[Path | None, typer.Option(help="ONNX face network, for identity and leakage.")] = None,
    feature_network: Annotated[
        Path | None,
        typer.Option(
            metavar="NAME-….onnx", help="ONNX network of features, for image quality: frechet_NAME and kernel_NAME."
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    pairs: Annotated[int, typer.Option(min=1, help="At most this many pairs, both ways.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the pairing.")] = 0,
    attribute: Annotated[
        list[str], typer.Option("--attribute", "-a", metavar="NAME", help="Only this one; may be repeated.")
    ] = [],  # noqa: B006
    same_person: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Hold a transfer from another person against the person's own real image; COLUMN of the CSV says who "
            "is on an image (RaFD's names do).",
        ),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write numbers and protocol here.")] = None,
    on_problem: OnProblemOption = "stop",
) -> None:
    """Measure transfers on held-out faces: did the attribute change, did the rest stay, are the pictures good.

    The split is halved and paired one to one, both ways; attributes whose labels differ are taken, each alone and all
    at once.
    """
    _needs_torch()
    from traitswap.metrics.evaluation import Evaluator, Request
    from traitswap.metrics.report import print_report

    console = _console()
    request = Request(
        data,
        _split(split),
        pairs,
        seed,
        tuple(attribute),
        judge,
        identity_network,
        feature_network,
        same_person,
        _on_problem(on_problem),
    )
    evaluator = Evaluator(request, console)
    reports = []
    for folder in weights:
        reports.append(evaluator.evaluate(folder))
        print_report(reports[-1], console)
    if json_file:
        from traitswap.files import written_whole

        with written_whole(json_file) as fresh:
            fresh.write_text(json.dumps({"models": reports}, indent=2) + "\n", "utf-8")


@app.command()
def export(
    weights: Annotated[Path, typer.Argument(help="Weights folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Weights folder to write.")],
) -> None:
    """Add ONNX networks to a copy of a weights folder: it then runs without torch, and faster.

    encoder.onnx (x → embedding) and decoder.onnx (embedding, photo → faces) take batches of any size. Their pictures
    are held against torch's before the folder is kept.
    """
    _needs("export", "torch", "onnx", "onnxscript")
    from traitswap.export import export as write

    if output.exists():
        raise TraitswapError(f"{output} exists: give another --output, or remove it first")
    difference = write(weights, output)
    sizes = ", ".join(f"{file.name} {file.stat().st_size / 1e6:.1f} MB" for file in sorted(output.glob("*.onnx")))
    typer.echo(f"wrote {output} ({sizes}); faces differ from torch's by {difference * 127.5:.1g} of 255 at most")


@app.command("find-styles")
def find_styles(
    weights: Annotated[Path, typer.Argument(help="Weights folder, which they are written into.")],
    data: Data,
    on_problem: OnProblemOption = "stop",
) -> None:
    """Find typical styles of every label (@blond, @blond-2, …) in the training set, and keep them with the weights.

    They are to stand for a reference photo; --take takes photos alone so far.
    """
    _needs_torch()
    from traitswap.config import parse_settings
    from traitswap.networks.weights import load_codec
    from traitswap.progress import bar
    from traitswap.styles import MARK, save_styles
    from traitswap.training import setup, styles

    console = _console()
    codec, config = load_codec(weights)
    faces = setup.read_faces(data, parse_settings(config["settings"], str(weights)), _on_problem(on_problem), console)
    with bar("encode", console) as progress:
        task = progress.add_task("faces", total=None)
        found = styles.find_styles(
            codec, faces, 0, lambda done, total: progress.update(task, completed=done, total=total)
        )
    save_styles(weights, found)
    for attribute in found.units:
        typer.echo(f"{attribute:<12} {' '.join(MARK + name for name in found.names(attribute))}")


@app.command()
def presets() -> None:
    """List the packaged presets and where their files are, to be copied and changed."""
    from importlib import resources

    from traitswap.config import preset_names

    names = preset_names()
    width = max(map(len, names))
    for name in names:
        path = resources.files("traitswap.presets") / f"{name}.toml"
        typer.echo(f"{name:<{width}} {path}")
        typer.echo(f"{'':<{width}} {path.read_text('utf-8').splitlines()[0].removeprefix('# ')}")


def _settings(preset: str, changes: Sequence[str], attributes: Sequence[str], method: str | None = None) -> "Settings":
    from traitswap.attributes import check_attributes, parse_attribute
    from traitswap.config import load_settings

    chosen = [parse_attribute(text) for text in attributes]
    if chosen:
        check_attributes(chosen)
    return load_settings(preset, changes, {a.name: a.columns for a in chosen} if chosen else None, method)


def _print_estimate(settings: "Settings", estimate: Any) -> None:
    typer.echo(settings.model_dump_json(indent=2))
    for name, count in estimate.parameters.items():
        typer.echo(f"{name:<14} {count:>12,} parameters")
    hours = estimate.steps * estimate.seconds_per_step / 3600
    typer.echo(f"{'memory':<14} {estimate.memory_mib:>12,.0f} MiB for a step")
    typer.echo(f"{'speed':<14} {1 / estimate.seconds_per_step:>12.2f} iterations a second here")
    typer.echo(f"{'whole run':<14} {estimate.steps:>12,} iterations, about {hours:,.1f} hours here")


def _pipeline(weights: Path) -> "TransferPipeline":
    from traitswap.pipeline import TransferPipeline

    return TransferPipeline.from_pretrained(weights)


def _take(pipe: "TransferPipeline", take: Sequence[str], strengths: dict[str, float]) -> dict[str, Any]:
    named = _named("--take", take)
    pipe.check(named, strengths)
    return named


def _named(option: str, items: Iterable[str]) -> dict[str, str]:
    result: dict[str, str] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not value:
            raise TraitswapError(f"{option} {item}: expected ATTRIBUTE=VALUE, such as hair_color=her.jpg")
        if name in result:
            raise TraitswapError(f"{option} names '{name}' twice: once is enough")
        result[name] = value
    return result


def _number(what: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise TraitswapError(f"{what}={text}: expected a number from 0 to 1") from None


def _pictures(paths: Sequence[Path]) -> list[Path]:
    """Photos as they are, folders as the images in them."""
    from PIL import Image

    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(p for p in path.iterdir() if p.suffix.lower() in Image.registered_extensions())
        if not inside:
            raise TraitswapError(f"there are no images in {path}")
        found += inside
    return found


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|h)?", text.strip().lower())
    if not match:
        raise TraitswapError(f"--max-time {text}: expected a number with s, m or h, such as 90s, 30m or 2h")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600, None: 1}[match[2]]


@contextmanager
def _stopping_gently(stop: "threading.Event") -> Iterator[None]:
    """The first Ctrl-C or `kill` sets `stop`, the second is what it always was."""
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in usual.items():
            signal.signal(number, handler)

    def first(number: int, frame: Any) -> None:
        restore()
        typer.echo("stopping: saving what is learnt so far (again: stop at once)", err=True)
        stop.set()

    for number in usual:
        signal.signal(number, first)
    try:
        yield
    finally:
        restore()


def _on_problem(text: str) -> Any:
    if text not in ("stop", "skip"):
        raise TraitswapError(f"--on-problem {text}: expected stop or skip")
    return text


def _split(text: str) -> Any:
    if text not in ("train", "val", "test"):
        raise TraitswapError(f"--split {text}: expected train, val or test")
    return text


def _needs_torch() -> None:
    _needs("train", "torch", "lightning_fabric")


def _needs(extra: str, *modules: str) -> None:
    from importlib.util import find_spec

    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise TraitswapError(f"this needs {', '.join(missing)}: pip install 'traitswap[{extra}]'")


def _console() -> "Console":
    from rich.console import Console

    return Console()


def spread(arguments: Sequence[str]) -> list[str]:
    """`--photos a b c` as `--photos a --photos b --photos c`, so that a shell's *.png can be given."""
    result: list[str] = []
    option = ""
    fresh = False
    for argument in arguments:
        if argument.startswith("-"):
            option = argument if argument in ("--photos", "--references") else ""
            fresh = True
        elif option:
            if not fresh:
                result.append(option)
            fresh = False
        result.append(argument)
    return result


def main() -> None:
    try:
        app(spread(sys.argv[1:]))
    except TraitswapError as error:
        typer.echo(f"traitswap: {error}", err=True)
        raise SystemExit(2) from None
    except OSError as error:
        typer.echo(f"traitswap: {error.filename or 'the disk'}: {error.strerror or error}", err=True)
        raise SystemExit(2) from None
