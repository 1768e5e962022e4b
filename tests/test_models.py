"""The models in the repository: those of the published numbers, on a real photo."""

import json
from pathlib import Path

import numpy as np
import pytest

from traitswap import TransferPipeline
from traitswap.checkpoint import WEIGHTS_NAME, sha256_of

from .photos import astronaut

ROOT = Path(__file__).parents[1]
# Rows and columns of the astronaut.
HAIR = (slice(75, 105), slice(165, 185))
CHEEK = (slice(116, 128), slice(190, 202))
MOUTH = (slice(138, 152), slice(203, 245))


@pytest.fixture(scope="module")
def pipe():
    return TransferPipeline.from_pretrained(ROOT / "models/lite")


def light(image, part):
    return float(np.asarray(image, float)[part].mean())


def test_the_report_is_of_these_models():
    [report] = json.loads((ROOT / "docs/results/lite.json").read_text("utf-8"))["models"]
    protocol = report["protocol"]
    assert protocol["weights_sha256"] == sha256_of(ROOT / "models/lite" / WEIGHTS_NAME)
    assert protocol["judge"]["sha256"] == sha256_of(ROOT / "models/judge" / WEIGHTS_NAME)


def test_hair_turns_black_and_blond_while_suit_and_background_stay(pipe):
    photo = astronaut()
    black, blond = (np.asarray(pipe(photo, {"hair_color": style}).image) for style in ("@black", "@blond"))
    assert light(black, HAIR) < 0.5 * light(photo, HAIR)
    assert light(blond, HAIR) > 1.15 * light(photo, HAIR)
    for result in (black, blond):
        assert light(result, CHEEK) == pytest.approx(light(photo, CHEEK), rel=0.05)
        assert (result[300:] == photo[300:]).all()
        assert (result[:, 400:] == photo[:, 400:]).all()


def test_a_smile_changes_the_mouth_more_than_the_hair(pipe):
    photo = astronaut()
    change = np.abs(np.asarray(pipe(photo, {"smiling": "@no-smiling"}).image).astype(float) - photo)
    assert light(change, MOUTH) > 2 * light(change, HAIR)
