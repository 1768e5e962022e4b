"""Tables of the paper made again: every model of a table trained within one budget, measured, and written down.

All that is finished is kept: the same command again goes on where it stopped, at whatever moment that was.
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

import results
import runs
from traitswap.config import Settings, load_settings
from traitswap.data.cache import FaceData
from traitswap.errors import TraitswapError
from traitswap.metrics.evaluation import Evaluator, Request
from traitswap.training import loop, setup

ATTRIBUTES = {"bangs": ["Bangs"], "smiling": ["Smiling"], "eyeglasses": ["Eyeglasses"]}
"""Those of the paper's tables."""


@dataclass(frozen=True)
class Model:
    """A row of a table: what is trained, and what the paper says of it."""

    name: str
    folder: str
    """Of its runs, in the folder of all runs; the seed follows."""
    published: float
    method: str = "latent-swap"
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    name: str
    title: str
    models: tuple[Model, ...]
    compared: str
    """The model whose distance is divided by each other's."""


@dataclass(frozen=True)
class Job:
    """One model with one seed."""

    model: Model
    seed: int
    settings: Settings
    out: Path


def main(table: Table, doc: str | None, arguments: Sequence[str] | None = None) -> None:
    try:
        run(table, parser(doc).parse_args(arguments), Console())
    except TraitswapError as error:
        raise SystemExit(f"{table.name}: {error}") from None


def run(table: Table, given: argparse.Namespace, console: Console) -> None:
    data = setup.read_faces(given.data, settings_of(table.models[0], given), "stop", console)
    images = budget(table, given, data)
    jobs = [
        Job(model, seed, settings_of(model, given, seed, images), given.out / f"{model.folder}-seed{seed}")
        for seed in given.seeds
        for model in table.models
    ]
    if given.dry_run:
        print_plan(jobs, given, data)
        return
    # Before hours of training: a network that cannot be used is told at once.
    evaluator = Evaluator(_request(given), console)
    classifiers = runs.shared_classifiers([job.settings for job in jobs], given, data, console)
    reports: dict[str, list[dict[str, Any]]] = {model.name: [] for model in table.models}
    for job in jobs:
        console.rule(f"{table.name}: {job.model.name}, seed {job.seed}")
        runs.train(job.settings, data, job.out, classifiers, given.identity_network, console)
        reports[job.model.name].append(runs.evaluate(job.out, given, data, evaluator))
    file = given.results / f"{table.name}.json"
    runs.write_json(file, summary(table, jobs, given, runs.about_classifiers(classifiers), reports))
    results.write(given.results)
    print(results.section(results.read(file)))
    print(f"wrote {file} and {results.page(given.results)}")


def settings_of(model: Model, given: argparse.Namespace, seed: int = 0, images: int | None = None) -> Settings:
    """The preset's settings with what is changed for all models, then with what the table sets itself."""
    own = [*model.changes, f"train.seed={seed}"]
    own += [f"network.size={given.size}"] if given.size else []
    # StarGAN's learning rate falls towards the end of its schedule, so the budget has to be that end.
    own += [f"train.images={images}"] if images else []
    fixed = {change.partition("=")[0] for change in own} | {"train.images", "network.size"}
    for change in given.set:
        if change.partition("=")[0] in fixed:
            raise TraitswapError(f"--set {change}: the table sets this itself (see --images, --size and --seeds)")
    return load_settings(given.preset, [*given.set, *own], ATTRIBUTES, model.method)


def budget(table: Table, given: argparse.Namespace, data: FaceData) -> int:
    """Training images of every model: a multiple of all their batches, so that none sees more than another.

    Of --minutes, what the slowest model sees in that time here, measured once and then kept: it must not change when
    the command is given again.
    """
    all_settings = [settings_of(model, given) for model in table.models]
    whole = math.lcm(*(settings.train.batch for settings in all_settings))
    if given.images:
        return int(math.ceil(given.images / whole) * whole)
    file, key = given.out / f"{table.name}-budget.json", {"minutes": given.minutes, "multiple": whole}
    kept = runs.read_json(file)
    if any(kept.get(name) != value for name, value in key.items()):
        slowest = max(seconds_per_image(settings, data) for settings in all_settings)
        kept = {**key, "images": max(int(given.minutes * 60 / slowest) // whole, 1) * whole}
        if not given.dry_run:
            runs.write_json(file, kept)
    return int(kept["images"])


def seconds_per_image(settings: Settings, data: FaceData) -> float:
    return setup.estimate(settings, data).seconds_per_step / settings.train.batch


def print_plan(jobs: Sequence[Job], given: argparse.Namespace, data: FaceData) -> None:
    """What would be trained, and how long that takes here."""
    speeds: dict[str, float] = {}
    whole = 0.0
    for job in jobs:
        name, images, seen = job.model.name, job.settings.train.images, loop.weights_seen(job.out) or 0
        if name not in speeds:
            speeds[name] = seconds_per_image(job.settings, data)
        hours = (images - seen) * speeds[name] / 3600
        whole += hours
        steps = f"{images:,} images ({images // job.settings.train.batch:,} iterations)"
        print(f"{name:<11} seed {job.seed}: {steps}, {seen:,} images seen: about {hours:.1f} hours to go here")
    classifier = jobs[0].settings.classifier
    for purpose, folder in runs.classifier_folders(given).items():
        if not folder.exists():
            print(f"{purpose} classifier: {classifier.images:,} images at {classifier.size} px, once for all models")
    print(f"in all about {whole:.1f} hours of training; then {len(jobs)} evaluations of {given.pairs:,} pairs at most")


def summary(
    table: Table,
    jobs: Sequence[Job],
    given: argparse.Namespace,
    classifiers: Mapping[str, Any],
    reports: Mapping[str, list[dict[str, Any]]],
) -> dict[str, Any]:
    """All that the table is made from."""
    return {
        "title": table.title,
        "compared": table.compared,
        "budget": {
            "images": jobs[0].settings.train.images,
            "seeds": given.seeds,
            "preset": given.preset,
            "changes": given.set,
        },
        "classifiers": classifiers,
        "models": [
            {
                "name": model.name,
                "published": model.published,
                # Of the first seed.
                "settings": next(job.settings for job in jobs if job.model is model).model_dump(mode="json"),
                "reports": reports[model.name],
            }
            for model in table.models
        ],
    }


def _request(given: argparse.Namespace) -> Request:
    return Request(
        data=given.data,
        split=given.split,
        pairs=given.pairs,
        judge=given.judge,
        identity_network=given.identity_network,
        feature_network=given.feature_network,
    )


def parser(doc: str | None) -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = result.add_argument
    add("--data", required=True, help="data set's folder, or drawn")
    add("--judge", type=Path, required=True, help="classifier that took no part (traitswap train-classifier)")
    add("--feature-network", type=Path, required=True, help="ONNX network of features: NAME-….onnx gives frechet_NAME")
    add("--identity-network", type=Path, help="ONNX face network, for identity and leakage")
    add("--out", type=Path, required=True, metavar="RUNS", help="folder of the runs; the same again goes on with them")
    size = result.add_mutually_exclusive_group(required=True)
    size.add_argument("--images", type=_positive, help="training images of each model")
    size.add_argument("--minutes", type=float, help="time of the slowest model; the others see as many images")
    add("--seeds", type=int, nargs="+", default=[0], help="one model of each for every seed")
    add("--preset", default="lite", choices=("lite", "paper"), help="each method's preset of this name")
    add("--size", type=_positive, help="pixels, instead of the preset's")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="changes a setting of all models; repeatable")
    add("--guide", type=Path, help="classifier to guide ours; else one is trained")
    add("--health", type=Path, help="classifier for the health line; else one is trained")
    add("--split", default="test", choices=("train", "val", "test"), help="what is measured on")
    add("--pairs", type=_positive, default=1000, help="at most so many, both ways")
    add("--results", type=Path, default=results.RESULTS, metavar="FOLDER", help="for the JSON; FOLDER.md is made of it")
    add("--dry-run", action="store_true", help="say what would be trained and how long it takes")
    return result


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number
