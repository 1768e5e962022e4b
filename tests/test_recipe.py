"""The recipe of the packaged weights: the commands run, and are those that made them."""

import json
import shlex

import pytest

import packaged
from traitswap.checkpoint import CONFIG_NAME, PACKAGED_WEIGHTS
from traitswap.config import load_settings

from .test_cli import ok
from .tiny_onnx import write_network

SHRUNK = {
    "network.size": 64,
    "network.widths": [8, 64],
    "network.discriminator_widths": [8, 8, 8],
    "train.batch": 6,
    "train.images": 12,
    "train.save_images": 6,
    "train.sample_images": 12,
    "train.health_pairs": 4,
    "train.statistics_images": 64,
    "classifier.images": 128,
    "data.drawn_count": 80,
}
CHANGES = [word for key, value in SHRUNK.items() for word in ("--set", f"{key}={value}")]


def test_the_packaged_weights_can_be_made_again(tmp_path, capsys):
    network, guide = tmp_path / "tiny-48.onnx", str(tmp_path / "guide")
    write_network(network, 64)
    ok(["train-classifier", "--preset", "traitswap", "--data", "drawn", "--out", guide, *CHANGES])
    networks = [word for kind in ("feature", "identity") for word in (f"--{kind}-network", str(network))]
    where = ["--data", "drawn", "--guide", guide, "--judge", guide, *networks, "--out", str(tmp_path / "runs")]
    given = [*where, "--pairs", "6", *CHANGES]
    recipe = packaged.commands(packaged.arguments(given))
    capsys.readouterr()
    packaged.main([*given, "--dry-run"])
    assert capsys.readouterr().out.splitlines() == [shlex.join(["traitswap", *words]) for words, _ in recipe]
    with pytest.raises(SystemExit):
        packaged.main([*given, "--feature-network", "missing-1.onnx"])
    assert "missing-1.onnx does not exist" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
    for words, _ in recipe:
        ok(words)
    assert all(made.exists() for _, made in recipe)
    capsys.readouterr()
    packaged.main(given)
    assert not capsys.readouterr().out, "all is there"
    made, known = (
        json.loads((folder / CONFIG_NAME).read_text()) for folder in (tmp_path / "runs/published", PACKAGED_WEIGHTS)
    )
    for config in (made, known):
        for part in config["settings"]["parts"]:
            for key in SHRUNK:
                group, name = key.split(".")
                del part[group][name]
            # The machine's, and what has no say in the weights.
            del part["train"]["precision"], part["train"]["keep_weights"]
    ends = [int(words[words.index("--max-images") + 1]) for words, _ in recipe if "--max-images" in words]
    assert known["images_seen"] == load_settings("traitswap").train.images + sum(ends)
    for key in ("attributes", "preset", "confined", "mirrored"):
        assert made[key] == known[key]
    assert made["settings"]["parts"] == known["settings"]["parts"]
