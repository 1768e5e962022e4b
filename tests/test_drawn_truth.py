"""The benchmark against the drawn truth."""

from pathlib import Path

import pytest
import torch

import drawn_truth
from traitswap.config import load_settings
from traitswap.networks.weights import TorchCodec, new_generator, save_codec

from .conftest import SMALL


@pytest.fixture(params=[0.0, 0.2])
def head(request):
    """What the decoder's last layer weighs: with 0 nothing ever changes."""
    return request.param


def test_doing_nothing_is_as_wrong_as_the_photo(head, tmp_path):
    settings = load_settings("tiny", [*SMALL, "data.drawn_count=120"])
    torch.manual_seed(0)
    generator = new_generator(settings)
    torch.nn.init.normal_(generator.decoder.head.weight, std=head)
    about = {"name": "drawn", "fingerprint": "", "train_images": 1}
    save_codec(tmp_path / "weights", TorchCodec(generator, 32), settings, about, 0)
    for row in drawn_truth.measure(tmp_path / "weights", 6)["attributes"].values():
        assert row["pairs"] > 0
        assert row["error_untouched"] > 0
        still = (row["ratio"] == 1, row["moved_own"] == 0, row["moved_other"] == 0)
        assert all(still) if head == 0 else not any(still)


def test_the_benchmarks_model_has_the_options_of_lite():
    settings, lite = load_settings(str(Path(drawn_truth.__file__).with_suffix(".toml"))), load_settings("lite")
    assert settings.network.size == 64
    # A drawn smile gains nothing from more weight (docs/experiments.md), so there is no early weight to end.
    # Its numbers are from before lite had R1.
    assert {k for k, v in settings.method if v} == {k for k, v in lite.method if v} - {"early_images", "r1"}
