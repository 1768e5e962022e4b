"""The weights that come with the package: anyone's first edit."""

import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest

from traitswap import TransferPipeline
from traitswap.checkpoint import CONFIG_NAME, PACKAGED_WEIGHTS, load_tensors
from traitswap.config import JoinedSettings, load_settings, parse_settings
from traitswap.errors import TraitswapError
from traitswap.metrics.report import PLACE
from traitswap.networks.weights import load_codec
from traitswap.onnx_codec import is_exported, load_onnx_codec
from traitswap.publish import CARD_NAME

from .photos import astronaut
from .test_cli import ok


@pytest.fixture(scope="module")
def pipe():
    return TransferPipeline.from_pretrained()


def test_they_are_small_and_run_without_torch():
    assert is_exported(PACKAGED_WEIGHTS)
    assert sum(file.stat().st_size for file in PACKAGED_WEIGHTS.iterdir()) < 20_000_000
    assert {array.dtype for array in load_tensors(PACKAGED_WEIGHTS).values()} <= {np.dtype(np.float16), np.dtype(int)}


def test_without_torch_a_folder_that_is_not_there_is_what_is_said(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "traitswap.networks.weights", None)
    with pytest.raises(TraitswapError, match="no such weights folder"):
        TransferPipeline.from_pretrained(tmp_path / "nowhere")
    plain = shutil.copytree(PACKAGED_WEIGHTS, tmp_path / "plain", ignore=shutil.ignore_patterns("*.onnx"))
    with pytest.raises(TraitswapError, match=r"pip install 'traitswap\[train\]'"):
        TransferPipeline.from_pretrained(plain)


def test_they_are_of_the_preset_that_the_readme_names(pipe):
    settings = parse_settings(pipe.config["settings"], CONFIG_NAME)
    assert isinstance(settings, JoinedSettings)
    three, *alone = settings.parts
    # The second of two runs, as their card says: what only a beginning needs is off. A processor with bf16 made them.
    # The last weights were kept alone.
    assert three == load_settings(
        "traitswap", ["method.early_images=0", "train.precision=bf16-mixed", "train.keep_weights=false"]
    )
    # One without bf16 made these. More pairs were watched, which changes nothing.
    for part, attributes in zip(alone, ({"eyeglasses": ["Eyeglasses"]}, {"bangs": ["Bangs"]}), strict=True):
        assert part == load_settings("single", ["train.precision=32-true", "train.health_pairs=64"], attributes)
    assert pipe.config["images_seen"] == three.train.images + 44_000 + 40_000, "as the recipe's --max-images say"


def test_their_card_says_how_good_they_are(pipe):
    card = (PACKAGED_WEIGHTS / CARD_NAME).read_text("utf-8")
    assert card.startswith("---\n")
    assert PLACE not in card
    for name in pipe.attributes:
        assert f" {name} " in card
    assert "non-commercial" in card


def test_every_label_has_a_style(pipe):
    for name in pipe.attributes:
        columns = pipe.config["attributes"][name]
        assert len({style.rstrip("-0123456789") for style in pipe.styles[name]}) >= max(len(columns), 2)


def test_exported_networks_draw_what_torch_draws(pipe):
    codec, _ = load_codec(PACKAGED_WEIGHTS)
    torch_pipe = TransferPipeline(codec, pipe.config)
    face = astronaut()[:256, 100:356]
    ours, theirs = (p(face, {}, aligned=True).image for p in (pipe, torch_pipe))
    assert np.abs(np.asarray(ours, int) - np.asarray(theirs, int)).max() <= 1


def test_the_decoder_is_told_the_photos_units_and_does_not_find_them_again(pipe):
    """It changes nothing of a photo that is said to have the units that are taken."""
    codec, _ = load_onnx_codec(PACKAGED_WEIGHTS)
    codes = pipe.encode([astronaut()])
    taken = codes.blend({"hair_color": codec.encode(-codes.photo)})
    units = taken.embedding[:, : codec.layout.swapped_channels]
    told = (taken, replace(taken, untaken=units))
    changed, unchanged = (np.abs(codec.decode(t) - codes.photo).mean() for t in told)
    assert unchanged < 0.5 * changed


def test_black_hair_is_darker_and_all_but_hair_stays_to_the_bit(pipe):
    photo = astronaut()
    result = np.asarray(pipe(photo, {"hair_color": "@black"}).image)
    changed = (result != photo).any(2)
    hair = (slice(20, 60), slice(185, 260))
    assert result[hair].mean() < 0.6 * photo[hair].mean()
    face, below, left, right = np.s_[105:160, 200:240], np.s_[160:], np.s_[:, :140], np.s_[:, 315:]
    for place, where in {"face": face, "suit": below, "left": left, "right": right}.items():
        assert not changed[where].any(), f"{place}: bit-identical"


def test_glasses_change_the_eyes_and_a_smile_the_mouth_and_all_else_stays_to_the_bit(pipe):
    photo = astronaut()
    hair, eyes, mouth, suit = np.s_[:60], np.s_[88:98, 205:250], np.s_[142:152, 210:236], np.s_[190:]
    for take, changes in (({"eyeglasses": "@eyeglasses"}, eyes), ({"smiling": "@no-smiling"}, mouth)):
        changed = (np.asarray(pipe(photo, take).image) != photo).any(2)
        assert changed[changes].mean() > 0.5
        for place in (p for p in (hair, eyes, mouth, suit) if p is not changes):
            assert not changed[place].any(), f"{take} at {place}"


def test_an_edit_needs_no_weights_named(tmp_path, capsys):
    ok(["info"])
    assert "preset       traitswap + single" in capsys.readouterr().out
    ok(["demo", "-o", str(tmp_path / "demo")])
    said = capsys.readouterr().out
    assert "--weights" not in said
    assert (tmp_path / "demo" / "demo.png").exists()
    command = next(line for line in said.splitlines() if "@black" in line)
    assert command.startswith("traitswap transfer ")
