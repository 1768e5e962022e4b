"""One evaluation of a weights folder: numbers that carry their whole protocol."""

import hashlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console
from rich.table import Table

from traitswap import progress
from traitswap.checkpoint import WEIGHTS_NAME
from traitswap.config import parse_settings
from traitswap.data.cache import FaceData
from traitswap.data.open import open_faces
from traitswap.data.pairs import held_out_pairs
from traitswap.data.sources import OnProblem
from traitswap.errors import TraitswapError
from traitswap.metrics.features import OnnxFeatures
from traitswap.metrics.transfer import Judge, measure_transfer
from traitswap.networks.classifier import AttributeClassifier
from traitswap.networks.weights import load_classifier, load_codec, torch_features


def evaluate(
    weights: Path,
    where: str,
    judge_folder: Path,
    identity_network: Path | None,
    split: Literal["train", "val", "test"],
    count: int,
    seed: int,
    on_problem: OnProblem,
    console: Console,
) -> dict[str, Any]:
    """The report of `measure_transfer` on a data set's split, with all that is needed to get it again."""
    codec, config = load_codec(weights)
    settings = parse_settings(config["settings"], str(weights))
    identity = OnnxFeatures(identity_network) if identity_network else None
    data, problems = open_faces(where, codec.size, settings.data, on_problem)
    for problem in problems:
        console.print(f"note: {problem}", highlight=False, soft_wrap=True, markup=False)
    model, judged = classifier_for(data, judge_folder)
    pairs = held_out_pairs(data.split(split), count, seed)
    with progress.bar("evaluate", console) as bar:
        task = bar.add_task("images", total=2 * len(pairs[0]))
        result = measure_transfer(
            codec,
            data,
            pairs,
            Judge(torch_features(model), data.columns),
            identity,
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    columns = codec.layout.columns
    return {
        "protocol": {
            "data": data.source_name,
            "fingerprint": data.fingerprint,
            "split": split,
            "pairs": len(pairs[0]),
            "pairing": "split shuffled by seed, halved, paired one to one, both ways; pairs whose labels differ",
            "seed": seed,
            "size": codec.size,
            "resize": "centre square, area averaging",
            "weights_sha256": hashlib.sha256((weights / WEIGHTS_NAME).read_bytes()).hexdigest(),
            "images_seen": config["images_seen"],
            "preset": config["preset"],
            "judge_sha256": hashlib.sha256((judge_folder / WEIGHTS_NAME).read_bytes()).hexdigest(),
            "judge_accuracy": {c: judged["held_out_accuracy"][c] for c in columns},
            "identity_network": None if identity is None else {"name": identity.name, "sha256": identity.sha256},
            "numpy": np.__version__,
        },
        **result.to_dict(),
    }


def classifier_for(data: FaceData, folder: Path) -> tuple[AttributeClassifier, dict[str, Any]]:
    """The classifier in `folder` and its config.json. Raises if it knows other label columns than `data` has, or
    another size."""
    model, config = load_classifier(folder)
    if data.images.shape[1] % model.size:
        raise TraitswapError(
            f"the classifier in {folder} looks at {model.size} pixels; the faces have {data.images.shape[1]}, "
            "which is not a multiple: train one on this data with traitswap train-classifier"
        )
    if tuple(config["columns"]) != data.columns:
        raise TraitswapError(
            f"the classifier in {folder} knows other label columns than {data.source_name}: "
            "train one on this data with traitswap train-classifier"
        )
    return model, config


def print_report(report: dict[str, Any], console: Console) -> None:
    p = report["protocol"]
    table = Table(
        title=f"{p['data']}, {p['split']}, {p['pairs']:,} pairs both ways, seed {p['seed']}", show_lines=False
    )
    headings = ("success", "untouched", "real", "others kept", "identity", "reference", "unrelated", "border moved")
    for heading in ("", "pairs", *headings):
        table.add_column(heading, justify="right" if heading else "left")
    for name, a in report["attributes"].items():
        reference = None if a["leaked"] is None else a["leaked"] + a["unrelated"]
        values = [a[key] for key in ("success", "success_untouched", "success_real", "kept", "identity")]
        values += [reference, a["unrelated"], a["border_change"]]
        table.add_row(name, f"{a['pairs']:,}", *(number(value) for value in values))
    r = report["reconstruction"]
    rebuilt = (number(r.get("kept")), number(r.get("identity")))
    table.add_row("(rebuilt)", f"{2 * p['pairs']:,}", "", "", "", *rebuilt, "", "", "")
    console.print(table)
    accuracy = ", ".join(f"{column} {value:.1%}" for column, value in p["judge_accuracy"].items())
    console.print(
        f"rebuilt at {r['psnr']:.1f} dB; the judge is right on real held-out faces: {accuracy}", highlight=False
    )


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
