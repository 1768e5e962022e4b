"""What is given to others: the same pictures to a level, and a card whose numbers are of these weights."""

import json

import numpy as np
import pytest

from traitswap import TraitswapError
from traitswap.checkpoint import CONFIG_NAME, WEIGHTS_NAME, load_tensors, sha256_of
from traitswap.metrics.report import PLACE
from traitswap.networks.weights import load_codec
from traitswap.onnx_codec import load_onnx_codec
from traitswap.publish import CARD_NAME, publish

from .conftest import save_new_weights, small_settings


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_new_weights(small_settings("tiny"), tmp_path_factory.mktemp("publish") / "weights")


@pytest.fixture
def card(tmp_path):
    file = tmp_path / "card.md"
    file.write_text(f"---\nlicense: mit\n---\n# Model\n\n{PLACE}\n\nIt errs.\n")
    return file


def report_of(weights, file):
    one = {
        "success": 0.5123, "success_untouched": 0.1, "success_real": 0.9, "stayed": 0.8, "stayed_real": 0.81,
        "kept": 0.97, "border_change": 0.01, "pairs": 1234,
    }  # fmt: skip
    together = {key: one[key] for key in ("pairs", "success", "success_real", "stayed")}
    report = {
        "protocol": {
            "weights_sha256": sha256_of(weights / WEIGHTS_NAME), "data": "drawn", "split": "val", "pairs": 700,
            "seed": 3, "pairing": "at random", "judge": {"sha256": "0123456789abcdef"},
            "confined": {"hair_color": "hair"}, "mirrored": True,
        },
        "attributes": {"smiling": {**one, "identity": None, "leaked": None, "unrelated": None}},
        "together": {"pairs": 600, "kept": 0.9, "identity": None, "leaked": None, "border_change": 0.1,
                     "attributes": {"smiling": together}},
        "judge_accuracy": {"smiling": 0.95},
        "blending": {"smiling": {"monotone": 0.9, "largest_step": 0.4}},
        "style": {"smiling": [{"column": "Smiling", "label": 1, "pairs": 5, "correlation": 0.6}]},
        "logit_change": {},
        "reconstruction": {"psnr": 40.0},
    }  # fmt: skip
    file.write_text(json.dumps({"models": [report]}))
    return file


def test_published_weights_draw_the_same_and_say_how_good_they_are(weights, card, tmp_path):
    out = tmp_path / "model"
    difference = publish(weights, card, report_of(weights, tmp_path / "r.json"), out)
    before, after = (json.loads((folder / CONFIG_NAME).read_text()) for folder in (weights, out))
    assert after == {**before, "confined": {"hair_color": "hair"}, "mirrored": True}
    tensors = load_tensors(out)
    assert {array.dtype for array in tensors.values() if array.dtype.kind == "f"} == {np.dtype(np.float16)}
    assert (out / WEIGHTS_NAME).stat().st_size < 0.7 * (weights / WEIGHTS_NAME).stat().st_size
    x = np.random.default_rng(2).uniform(-1, 1, (2, 3, 32, 32)).astype(np.float32)
    pictures = []
    for codec in (load_codec(weights)[0], load_codec(out)[0], load_onnx_codec(out)[0]):
        codes = codec.encode(x)
        pictures.append(codec.decode(codes.blend({"smiling": codes[::-1]})))
    original, torch_half, onnx_half = pictures
    np.testing.assert_allclose(torch_half, onnx_half, atol=1e-4)
    assert 0 < np.abs(original - onnx_half).max() < 1 / 127.5
    assert 0 < difference < 1 / 127.5
    readable = {oct(file.stat().st_mode & 0o777) for file in out.iterdir()}
    assert len(readable) == 1, "who may read one may read all"
    text = (out / CARD_NAME).read_text()
    assert text.startswith("---\nlicense: mit\n---\n# Model\n")
    assert "| changed as the reference | 0.512 |" in text
    measured = "drawn, val split, 700 pairs both ways, seed 3; at random"
    assert f"{measured}; hair_color confined to the hair; each face also drawn mirrored." in text
    assert text.rstrip().endswith("It errs.")


def test_a_card_has_its_own_numbers_or_none(weights, card, tmp_path):
    file = report_of(weights, tmp_path / "r.json")
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    other = tmp_path / "other.json"
    other.write_text(file.read_text().replace(sha256_of(weights / WEIGHTS_NAME), "0" * 64))
    old = tmp_path / "old.json"
    old.write_text(file.read_text().replace('{"hair_color": "hair"}', '["hair_color"]'))
    bare = tmp_path / "bare.md"
    bare.write_text("# Model\n")
    for a_card, a_report, expected in (
        (card, tmp_path / "none.json", "no such report"),
        (card, broken, "is not a report"),
        (card, other, "is a report of other weights"),
        (card, old, "expected a region for each attribute"),
        (bare, file, "has no line"),
        (tmp_path / "none.md", file, "cannot read the card"),
    ):
        with pytest.raises(TraitswapError, match=expected):
            publish(weights, a_card, a_report, tmp_path / "model")
    assert not (tmp_path / "model").exists()
