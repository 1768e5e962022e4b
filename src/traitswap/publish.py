"""Weights as they are given to others: in half precision, exported, with a model card."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from traitswap.checkpoint import CONFIG_NAME, WEIGHTS_NAME, load_tensors, sha256_of, write_tensors
from traitswap.editing import drawing_of
from traitswap.errors import TraitswapError
from traitswap.export import largest_difference, write_onnx
from traitswap.files import written_whole
from traitswap.metrics.report import PLACE, markdown
from traitswap.networks.weights import load_codec
from traitswap.onnx_codec import load_onnx_codec
from traitswap.styles import STYLES_NAME

CARD_NAME = "README.md"
TOLERANCE = 1 / 127.5
"""Largest difference from the weights as they were trained that is accepted, of faces in −1 … 1: a level of 256."""


def publish(weights: Path, card: Path, report: Path, out: Path) -> float:
    """Writes a folder as model hubs expect it: config.json, model.safetensors in float16, styles, exported networks,
    and README.md: `card` with the evaluation at `PLACE`.

    `report` is a JSON of `traitswap evaluate` of these weights; what it confines to a region (`editing`), they do, and
    they draw faces mirrored as well if it did (`mirrored`).
    Returns the largest difference of a transfer from the weights as they were (faces in −1 … 1). Raises
    `TraitswapError`, and writes nothing, if it is more than `TOLERANCE`, the report is of other weights, or the card
    has no place for it.
    """
    found = _report_of(report, sha256_of(weights / WEIGHTS_NAME))
    codec, config = load_codec(weights)
    as_measured = drawing_of(found["protocol"], report, codec.layout)
    text = _filled(card, found)
    with written_whole(out) as fresh:
        fresh.mkdir()
        (fresh / CONFIG_NAME).write_text(json.dumps({**config, **as_measured._asdict()}, indent=2) + "\n", "utf-8")
        if (weights / STYLES_NAME).exists():
            shutil.copyfile(weights / STYLES_NAME, fresh / STYLES_NAME)
        halves = {name: _half(array) for name, array in load_tensors(weights).items()}
        write_tensors(fresh / WEIGHTS_NAME, halves)
        write_onnx(load_codec(fresh)[0], fresh)
        difference = largest_difference(codec, load_onnx_codec(fresh)[0])
        if not difference <= TOLERANCE:
            raise TraitswapError(
                f"in half precision faces differ by {difference * 127.5:.1f} of 255, more than 1: nothing written"
            )
        (fresh / CARD_NAME).write_text(text, "utf-8")
    return difference


def _half(array: Any) -> Any:
    return array.astype(np.float16) if array.dtype == np.float32 else array


def _report_of(file: Path, weights_sha256: str) -> Mapping[str, Any]:
    """The report in the file that is of these weights."""
    try:
        reports = json.loads(file.read_text("utf-8"))["models"]
        found = [r for r in reports if r["protocol"]["weights_sha256"] == weights_sha256 and "attributes" in r]
    except FileNotFoundError:
        raise TraitswapError(f"no such report: {file}") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise TraitswapError(f"{file} is not a report of traitswap evaluate --json") from None
    if not found:
        raise TraitswapError(f"{file} is a report of other weights: make it again by traitswap evaluate")
    return dict(found[0])


def _filled(card: Path, report: Mapping[str, Any]) -> str:
    try:
        before, place, after = card.read_text("utf-8").partition(PLACE)
    except (OSError, UnicodeDecodeError) as error:
        raise TraitswapError(f"cannot read the card {card} ({error})") from None
    if not place:
        raise TraitswapError(f"{card} has no line {PLACE}, where the evaluation is to stand")
    return before + markdown(report) + after
