"""Tiny settings, drawn faces and trained-for-a-moment runs, shared by the tests."""

import io
import os
import zlib
from pathlib import Path

import hypothesis
import pytest
import torch
from rich.console import Console

from traitswap.config import Settings, load_settings
from traitswap.data.cache import FaceData
from traitswap.data.open import open_faces
from traitswap.networks.classifier import AttributeClassifier
from traitswap.networks.weights import TorchCodec, new_generator, save_codec
from traitswap.training import loop
from traitswap.training.setup import Classifiers, prepare_run
from traitswap.training.state import open_run

# No deadline: a busy machine is not a defect. The same examples every time: a red run can be repeated.
hypothesis.settings.register_profile("project", deadline=None, derandomize=True)
hypothesis.settings.load_profile("project")

_SMALL_RUN = (
    "network.size=32",
    "network.widths=[8,12]",
    "network.discriminator_widths=[8,8]",
    "train.batch=4",
    "train.images=16",
    "train.report_images=8",
    "train.save_images=8",
    "train.sample_images=8",
    "train.health_pairs=4",
    "train.statistics_images=64",
    "classifier.size=32",
    "classifier.width=2",
    "classifier.images=256",
    "data.drawn_count=80",
)

SMALL = (
    *_SMALL_RUN,
    "network.unit_channels=2",
    "network.unit_width=2",
    "network.unit_size=32",
    "network.rest_channels=6",
)

# With G idle in every other step (StarGAN) or the first of three (DNA-GAN), so that four steps see both.
_SMALL_STARGAN = (*_SMALL_RUN, "network.blocks=1", "method.critic_updates=2")
_SMALL_DNA_GAN = (*_SMALL_RUN, "network.piece_channels=4", "method.critic_every=2", "method.critic_updates=2")
ONE_COLUMN = {"bangs": ["Bangs"], "smiling": ["Smiling"]}


def small_settings(preset: str) -> Settings:
    """A preset with all its options, shrunk."""
    if preset.startswith("stargan"):
        return load_settings(preset, _SMALL_STARGAN, load_settings("lite").attributes)
    if preset.startswith("dna-gan"):
        return load_settings(preset, _SMALL_DNA_GAN, ONE_COLUMN)
    return load_settings(preset, SMALL)


def guide_for(faces: FaceData) -> AttributeClassifier:
    """A guide of new weights, for settings that are shrunk."""
    torch.manual_seed(3)
    return AttributeClassifier(len(faces.columns), 32, 2).eval().requires_grad_(False)


def run(settings: Settings, faces: FaceData, out: Path, images: int | None = None) -> str:
    """Trains; what it says."""
    said = io.StringIO()
    console = Console(file=said, width=200)
    open_run(settings, faces, out)
    method, health = prepare_run(settings, faces, out, Classifiers(), None, console)
    loop.train(settings, method, faces, out, health, console, loop.Limits(images=images))
    return said.getvalue()


def save_new_weights(settings: Settings, folder: Path) -> Path:
    """New networks, but not such as change nothing: training begins with a decoder whose last layer is 0."""
    torch.manual_seed(zlib.crc32(folder.name.encode()))
    codec = TorchCodec(new_generator(settings), settings.network.size)
    for name, parameter in codec.generator.named_parameters():
        if "decoder" in name:
            parameter.data.normal_(0, 0.1)
    save_codec(folder, codec, settings, {"name": "drawn", "fingerprint": "", "train_images": 1}, 0)
    return folder


@pytest.fixture(autouse=True, scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["TRAITSWAP_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    torch.set_num_threads(1)


@pytest.fixture(scope="session", params=["tiny", "paper", "stargan-lite", "dna-gan-lite"])
def settings(request: pytest.FixtureRequest) -> Settings:
    """The paper's method, what goes beyond it, and the baselines, shrunk."""
    return small_settings(request.param)


@pytest.fixture(scope="session")
def faces(settings: Settings) -> FaceData:
    return open_faces("drawn", settings.network.size, settings.data)[0]


# Of a module: some have settings of their own, and pytest would hand one's run on to the next.
@pytest.fixture(scope="module")
def whole(settings: Settings, faces: FaceData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four steps in one go."""
    out = tmp_path_factory.mktemp("whole") / "run"
    run(settings, faces, out)
    return out


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real faces, where they are at hand."""
    root = Path(os.environ.get("TRAITSWAP_SHARED", Path(__file__).parents[2] / "shared"))
    if not (root / "data").is_dir():
        pytest.skip("real faces are not at hand: set TRAITSWAP_SHARED to their folder")
    return root
