"""Runs of a table, one folder each, in which all that is finished is kept."""

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from traitswap.checkpoint import CONFIG_NAME, KEYS, KIND, WEIGHTS_NAME, load_config
from traitswap.config import LatentSwapSettings, Settings
from traitswap.data.cache import FaceData
from traitswap.errors import TraitswapError
from traitswap.files import written_whole
from traitswap.metrics.evaluation import Evaluator
from traitswap.training import loop, setup, state

CLASSIFIER_SEEDS = {"guide": 1, "health": 2}
"""Those of a run of its own with seed 0."""


def shared_classifiers(
    all_settings: Sequence[Settings], given: argparse.Namespace, data: FaceData, console: Console
) -> setup.Classifiers:
    """Guide and health classifier of all models, trained if they are not there; no guide where none is used."""
    guided = any(isinstance(s, LatentSwapSettings) and s.method.guide for s in all_settings)
    folders = classifier_folders(given)
    for purpose, folder in folders.items():
        if getattr(given, purpose) is None and (purpose == "health" or guided):
            settings, seed = all_settings[0].classifier, CLASSIFIER_SEEDS[purpose]
            setup.obtain_classifier(folder, data, settings, seed, purpose, console)
    return setup.Classifiers(folders["guide"] if guided else None, folders["health"])


def classifier_folders(given: argparse.Namespace) -> dict[str, Path]:
    return {purpose: getattr(given, purpose) or given.out / purpose for purpose in CLASSIFIER_SEEDS}


def about_classifiers(classifiers: setup.Classifiers) -> dict[str, dict[str, Any]]:
    """What they are, for the protocol."""
    about = {}
    for purpose, folder in (("guide", classifiers.guide), ("health", classifiers.health)):
        if folder:
            config = json.loads((folder / CONFIG_NAME).read_text("utf-8"))
            what = {key: config.get(key) for key in ("settings", "seed", "held_out_accuracy")}
            about[purpose] = {"sha256": _sha256(folder / WEIGHTS_NAME), **what}
    return about


def train(
    settings: Settings,
    data: FaceData,
    out: Path,
    classifiers: setup.Classifiers,
    identity_network: Path | None,
    console: Console,
) -> None:
    """Trains up to the end of the schedule, going on from what `out` holds; leaves a finished run as it is."""
    state.open_run(settings, data, out)
    if is_finished(settings, out):
        return
    method, health = setup.prepare_run(settings, data, out, classifiers, identity_network, console)
    seen = loop.train(settings, method, data, out, health, console)
    if seen != settings.train.images:
        raise TraitswapError(
            f"{out} has seen {seen:,} images, more than the budget of {settings.train.images:,}: give another --out"
        )


def is_finished(settings: Settings, out: Path) -> bool:
    if loop.weights_seen(out) != settings.train.images:
        return False
    made = load_config(out / "weights", KIND, KEYS)["settings"]
    return not state.differences(settings.model_dump(mode="json"), made)


def evaluate(out: Path, given: argparse.Namespace, data: FaceData, evaluator: Evaluator) -> dict[str, Any]:
    """The report on a run's weights: the one that is kept beside them, if the same was asked of the same weights."""
    files = {
        "weights": out / "weights" / WEIGHTS_NAME,
        "judge": given.judge / WEIGHTS_NAME,
        "identity_network": given.identity_network,
        "feature_network": given.feature_network,
    }
    asked = {
        "data": data.fingerprint,
        "split": given.split,
        "pairs": given.pairs,
        **{name: _sha256(file) if file else None for name, file in files.items()},
    }
    kept = read_json(out / "evaluation.json")
    if kept.get("asked") != asked:
        kept = {"asked": asked, "report": evaluator.evaluate(out / "weights")}
        write_json(out / "evaluation.json", kept)
    report: dict[str, Any] = kept["report"]
    return report


def read_json(file: Path) -> dict[str, Any]:
    """What is in the file; nothing where there is none."""
    return dict(json.loads(file.read_text("utf-8"))) if file.exists() else {}


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    with written_whole(file) as fresh:
        fresh.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
