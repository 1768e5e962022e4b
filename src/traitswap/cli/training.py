"""Training a model, and measuring it."""

import json
import re
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from traitswap.cli.extras import needs
from traitswap.cli.using import named
from traitswap.errors import TraitswapError

if TYPE_CHECKING:
    import threading

    from rich.console import Console

    from traitswap.config import Settings

app = typer.Typer()

Data = Annotated[
    str,
    typer.Option(
        "--data",
        "-d",
        metavar="PATH|drawn",
        help="Folder of CelebA, CelebA-HQ, RaFD (to evaluate) or images with a CSV of labels; or drawn: faces drawn "
        "here.",
    ),
]
OnProblemOption = Annotated[
    str, typer.Option("--on-problem", help="stop or skip: what to do about missing or unreadable images and labels.")
]
Preset = Annotated[
    str, typer.Option("--preset", "-p", help="traitswap, single, lite, tiny, paper, or the path of a .toml file.")
]
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
    start_from: Annotated[
        Path | None,
        typer.Option(
            metavar="WEIGHTS", help="Weights of the same network to begin with; attributes may be other or more."
        ),
    ] = None,
    guide: Annotated[Path | None, typer.Option(help="Classifier to guide the generator; else one is trained.")] = None,
    health: Annotated[Path | None, typer.Option(help="Classifier for the health line; else one is trained.")] = None,
    identity_network: Annotated[
        Path | None, typer.Option(help="ONNX face network; adds identity and leakage to the health line.")
    ] = None,
    on_problem: OnProblemOption = "stop",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print settings, sizes and cost; train nothing.")] = False,
) -> None:
    """Train a model. Saves as it goes; the same command again goes on where it stopped.

    On several processors or machines: torchrun --nproc-per-node 8 -m traitswap train …

    A first try that needs no data:  traitswap train --preset tiny --data drawn --out runs/first
    """
    settings = _settings(preset, changes, attribute, method)
    seconds = _seconds(max_time) if max_time else float("inf")
    _needs_torch()
    from traitswap import ranks
    from traitswap.training import loop, memory, setup, state

    memory.keep_freed_memory()
    ranks.join()
    console = _console(quiet=ranks.rank() > 0)
    with ranks.first_before_others():
        faces = setup.read_faces(data, settings, _on_problem(on_problem), console)
    if dry_run:
        _print_estimate(settings, setup.estimate(settings, faces))
        return
    with ranks.first_before_others():
        state.open_run(settings, faces, out)
        trained, watch = setup.prepare_run(
            settings, faces, out, setup.Classifiers(guide, health), identity_network, console, start_from
        )
    # Not before: on a slow machine the classifiers alone could use a short time up, and nothing would be trained.
    deadline = time.monotonic() + seconds
    limits = loop.Limits(deadline, max_images)
    with _stopping_gently(limits.stop):
        seen = loop.train(settings, trained, faces, out, watch, console, limits)
    if ranks.rank() == 0:
        typer.echo(f"{seen:,} images seen; weights in {out / 'weights'}, pictures in {out / 'samples'}")
    ranks.leave()
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
    """Train a small attribute classifier: to guide or watch a run, or to judge its results.

    A guide learns from faces that are attacked (classifier.attack), which its gradient gains by. A judge is more often
    right without:  traitswap train-classifier --data … --set classifier.attack=0 --out judge
    """
    settings = _settings(preset, changes, [])
    _needs_torch()
    from traitswap.training import memory, setup

    _check_free(out, "--out")
    memory.keep_freed_memory()
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
    confined: Annotated[
        list[str],
        typer.Option(
            "--confine",
            metavar="ATTRIBUTE=REGION",
            help="Attribute that is to change one region (hair, eyes, mouth or forehead) and nothing beside, such as "
            "hair_color=hair; may be repeated.",
        ),
    ] = [],  # noqa: B006
    mirrored: Annotated[
        bool,
        typer.Option("--mirror", help="Draw every face twice, also mirrored, and average: cleaner, twice the time."),
    ] = False,
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
        named("--confine", confined, "hair_color=hair"),
        mirrored,
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

    encoder.onnx (x → embedding) and decoder.onnx (embedding, photo, own → faces; own: the photo's own units, the first
    channels of its embedding) take batches of any size. Joined weights have decoder-0.onnx and so on instead, whose
    results are what each part adds to the photo. Pictures are held against torch's before the folder is kept.
    """
    needs("export", "torch", "onnx", "onnxscript")
    from traitswap.export import export as write

    _check_free(output)
    difference = write(weights, output)
    sizes = ", ".join(f"{file.name} {file.stat().st_size / 1e6:.1f} MB" for file in sorted(output.glob("*.onnx")))
    typer.echo(f"wrote {output} ({sizes}); faces differ from torch's by {difference * 127.5:.1g} of 255 at most")


@app.command()
def publish(
    weights: Annotated[Path, typer.Argument(help="Weights folder.")],
    card: Annotated[
        Path, typer.Option("--card", help="Model card in Markdown, with a line <!-- evaluation --> for the tables.")
    ],
    report: Annotated[Path, typer.Option("--report", help="JSON of traitswap evaluate on these weights.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")],
) -> None:
    """Make weights ready for others: half precision, ONNX networks, styles, and a model card with the evaluation.

    The folder is laid out as model hubs expect it, and --weights takes it. What the evaluation confined to a region
    (traitswap evaluate --confine) is confined in photos, and what it drew twice (--mirror) is drawn twice.
    """
    needs("export", "torch", "onnx", "onnxscript")
    from traitswap.publish import publish as write

    _check_free(output)
    difference = write(weights, card, report, output)
    sizes = ", ".join(f"{file.name} {file.stat().st_size / 1e6:.2f} MB" for file in sorted(output.iterdir()))
    typer.echo(f"wrote {output} ({sizes}); faces differ by {difference * 127.5:.1g} of 255 at most")


@app.command("find-styles")
def find_styles(
    weights: Annotated[Path, typer.Argument(help="Weights folder, which they are written into.")],
    data: Data,
    on_problem: OnProblemOption = "stop",
) -> None:
    """Find typical styles of every label (@blond, @blond-2, …) in the training set, and keep them with the weights.

    They stand for a reference photo: traitswap transfer me.jpg --take hair_color=@blond …
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
def join(
    weights: Annotated[
        list[Path],
        typer.Argument(help="Weights folders, such as of different attributes; one alone joins those of the package."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Weights folder to write.")],
) -> None:
    """Make one of weights that learnt different attributes: a beard of your own beside what another model knows.

    What several know is taken of the last: a better smile of your own replaces the package's. Encoders and decoders are
    kept as they are; each adds its change to the photo, and its time. They must be of the paper's method with
    network.residual, as of the presets traitswap, single and lite, and of one size.
    """
    from traitswap.checkpoint import PACKAGED_WEIGHTS
    from traitswap.join import join as write

    _check_free(output)
    names = write(weights if len(weights) > 1 else [PACKAGED_WEIGHTS, *weights], output)
    typer.echo(f"wrote {output}: {', '.join(names)}")


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


def _check_free(output: Path, option: str = "--output") -> None:
    if output.exists():
        raise TraitswapError(f"{output} exists: give another {option}, or remove it first")


def _print_estimate(settings: "Settings", estimate: Any) -> None:
    typer.echo(settings.model_dump_json(indent=2))
    for name, count in estimate.parameters.items():
        typer.echo(f"{name:<14} {count:>12,} parameters")
    hours = estimate.steps * estimate.seconds_per_step / 3600
    typer.echo(f"{'memory':<14} {estimate.memory_mib:>12,.0f} MiB for a step")
    typer.echo(f"{'speed':<14} {1 / estimate.seconds_per_step:>12.2f} iterations a second here")
    typer.echo(f"{'whole run':<14} {estimate.steps:>12,} iterations, about {hours:,.1f} hours here")


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
    needs("train", "torch", "lightning_fabric")


def _console(quiet: bool = False) -> "Console":
    from rich.console import Console

    return Console(quiet=quiet)
