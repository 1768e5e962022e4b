"""Weights folders of torch networks: the codec, and the classifiers that watch it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from traitswap.attributes import Layout
from traitswap.baselines import DNAGANSettings, StarGANSettings
from traitswap.checkpoint import KEYS, KIND, load_config, load_tensors, save_weights
from traitswap.codec import Codec, Codes, FloatArray, LabelArray
from traitswap.config import (
    ClassifierSettings,
    JoinedSettings,
    LatentSwapSettings,
    ModelSettings,
    Settings,
    parse_classifier_settings,
    parse_settings,
)
from traitswap.errors import TraitswapError
from traitswap.networks.autoencoder import Generator
from traitswap.networks.classifier import AttributeClassifier
from traitswap.networks.dna_gan import DNAGANGenerator
from traitswap.networks.joined import JoinedGenerator
from traitswap.networks.stargan import StarGANGenerator
from traitswap.networks.transfer import TransferNetwork

CLASSIFIER_KIND = "attribute-classifier"


class TorchCodec(Codec):
    """Any method's generator in evaluation mode, behind plain arrays."""

    def __init__(self, generator: TransferNetwork, size: int) -> None:
        self.generator = generator.eval()
        self._size = size

    @property
    def layout(self) -> Layout:
        return self.generator.layout

    @property
    def size(self) -> int:
        return self._size

    def to(self, device: str) -> None:
        try:
            self.generator.to(device)
        except (RuntimeError, AssertionError) as error:
            raise TraitswapError(f"cannot use the device '{device}': {str(error).splitlines()[0]}") from None

    @property
    def _device(self) -> torch.device:
        return next(self.generator.parameters()).device

    @torch.inference_mode()
    def encode(self, faces: FloatArray, labels: LabelArray | None = None) -> Codes:
        x = torch.from_numpy(faces).to(self._device)
        y = None if labels is None else torch.from_numpy(np.ascontiguousarray(labels)).to(self._device)
        embedding = self.generator.encode(x.contiguous(memory_format=torch.channels_last), y)
        return Codes(embedding.float().cpu().contiguous().numpy(), faces, self.layout)

    @torch.inference_mode()
    def decode(self, codes: Codes) -> FloatArray:
        embedding, photo, own = (
            torch.from_numpy(a).to(self._device).contiguous(memory_format=torch.channels_last)
            for a in (codes.embedding, codes.photo, codes.own)
        )
        result: FloatArray = self.generator.decode(embedding, photo, own).float().cpu().contiguous().numpy()
        return result


def save_codec(
    folder: Path, codec: TorchCodec, settings: Settings, training_data: dict[str, Any], images_seen: int
) -> None:
    """Writes a weights folder: the generator's parts, and all that is needed to know and use them."""
    config = {
        "kind": KIND,
        "attributes": {a.name: list(a.columns) for a in codec.layout.attributes},
        "size": codec.size,
        "preset": settings.preset,
        "training_data": training_data,
        "images_seen": images_seen,
        "settings": settings.model_dump(mode="json"),
    }
    parts = codec.generator.parts()
    tensors = {key: array for name, part in parts.items() for key, array in arrays_of(part, f"{name}.").items()}
    save_weights(folder, tensors, config)


def load_codec(folder: Path) -> tuple[TorchCodec, dict[str, Any]]:
    """The codec of a weights folder, and its config.json."""
    config = load_config(folder, KIND, KEYS)
    settings = parse_settings(config["settings"], str(folder))
    tensors = load_tensors(folder)
    generator = new_generator(settings)
    for name, part in generator.parts().items():
        load_arrays(part, tensors, folder, f"{name}.")
    generator = generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TorchCodec(generator, settings.network.size), config


def load_generator(folder: str | Path) -> TransferNetwork:
    """The network of a weights folder, in evaluation mode and on the processor, to build on: `encode` and `decode` take
    and give tensors and gradients flow through them; `traitswap.swap` blends embeddings by its `layout`."""
    return load_codec(Path(folder))[0].generator


def new_generator(settings: ModelSettings) -> TransferNetwork:
    """The generator of the settings' method, with new weights."""
    if isinstance(settings, StarGANSettings):
        return StarGANGenerator(settings.network, settings.layout)
    if isinstance(settings, DNAGANSettings):
        return DNAGANGenerator(settings.network, settings.layout)
    if isinstance(settings, JoinedSettings):
        return JoinedGenerator([_new_latent_swap(part) for part in settings.parts], settings.given, settings.layout)
    assert isinstance(settings, LatentSwapSettings)
    return _new_latent_swap(settings)


def _new_latent_swap(settings: LatentSwapSettings) -> Generator:
    return Generator(settings.network, settings.layout, settings.method.verify_averaged)


def torch_features(module: nn.Module) -> Callable[[FloatArray], NDArray[np.float32]]:
    """A frozen module behind plain arrays: faces (N × 3 × S × S, −1 … 1) → what it says of them."""

    @torch.inference_mode()
    def features(faces: FloatArray) -> NDArray[np.float32]:
        x = torch.from_numpy(faces).contiguous(memory_format=torch.channels_last)
        result: NDArray[np.float32] = module(x).numpy()
        return result

    return features


def save_classifier(
    folder: Path,
    model: AttributeClassifier,
    columns: tuple[str, ...],
    settings: ClassifierSettings,
    about: dict[str, Any],
) -> None:
    """Writes a classifier's weights folder. `about` says what it was trained on and how well it does; it must hold
    `held_out_accuracy`, by column."""
    config = {"kind": CLASSIFIER_KIND, "columns": list(columns), "settings": settings.model_dump(mode="json"), **about}
    save_weights(folder, arrays_of(model), config)


def load_classifier(folder: Path) -> tuple[AttributeClassifier, dict[str, Any]]:
    """A frozen classifier and its config.json (`columns`, `held_out_accuracy` by column, …)."""
    config = load_config(folder, CLASSIFIER_KIND, ("columns", "settings", "held_out_accuracy"))
    settings = parse_classifier_settings(config["settings"], str(folder))
    model = AttributeClassifier(len(config["columns"]), settings.size, settings.width)
    load_arrays(model, load_tensors(folder), folder)
    # As it was trained: another layout rounds otherwise, and a resumed run would part from one in one go.
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.eval().requires_grad_(False)
    return model, config


def arrays_of(module: nn.Module, prefix: str = "") -> dict[str, NDArray[Any]]:
    """All parameters and buffers as arrays, by name."""
    return {prefix + name: value.detach().cpu().contiguous().numpy() for name, value in module.state_dict().items()}


def load_arrays(module: nn.Module, arrays: Mapping[str, NDArray[Any]], folder: Path, prefix: str = "") -> None:
    """Loads the arrays whose names begin with `prefix`; raises `TraitswapError` unless they fit exactly."""
    state = {n.removeprefix(prefix): torch.tensor(a) for n, a in arrays.items() if n.startswith(prefix)}
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise TraitswapError(f"the weights in {folder} do not fit their config.json ({reason})") from None
