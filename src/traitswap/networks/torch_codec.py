"""The codec that torch runs, and its weights folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from traitswap.attributes import Layout
from traitswap.checkpoint import load_config, load_tensors, save_weights
from traitswap.codec import Codec, Codes, FloatArray
from traitswap.config import Settings, parse_settings
from traitswap.networks.autoencoder import Decoder, Encoder
from traitswap.networks.state import arrays_of, load_arrays

KIND = "traitswap"


class TorchCodec(Codec):
    """An encoder and a decoder in evaluation mode, behind plain arrays."""

    def __init__(self, encoder: Encoder, decoder: Decoder, size: int) -> None:
        self.encoder = encoder.eval()
        self.decoder = decoder.eval()
        self._size = size

    @property
    def layout(self) -> Layout:
        return self.encoder.layout

    @property
    def size(self) -> int:
        return self._size

    @torch.inference_mode()
    def encode(self, faces: FloatArray) -> Codes:
        x = torch.from_numpy(faces).to(next(self.encoder.parameters()).device)
        embedding = self.encoder(x.contiguous(memory_format=torch.channels_last))
        return Codes(embedding.float().cpu().contiguous().numpy(), faces, self.layout)

    @torch.inference_mode()
    def decode(self, codes: Codes) -> FloatArray:
        device = next(self.decoder.parameters()).device
        embedding, photo = (
            torch.from_numpy(a).to(device).contiguous(memory_format=torch.channels_last)
            for a in (codes.embedding, codes.photo)
        )
        result: FloatArray = self.decoder(embedding, photo).float().cpu().contiguous().numpy()
        return result


def save_codec(
    folder: Path, codec: TorchCodec, settings: Settings, training_data: dict[str, Any], images_seen: int
) -> None:
    """Writes a weights folder: both networks, and all that is needed to know and use them."""
    config = {
        "kind": KIND,
        "attributes": {a.name: list(a.columns) for a in codec.layout.attributes},
        "size": codec.size,
        "preset": settings.preset,
        "training_data": training_data,
        "images_seen": images_seen,
        "settings": settings.model_dump(mode="json"),
    }
    tensors = {**arrays_of(codec.encoder, "encoder."), **arrays_of(codec.decoder, "decoder.")}
    save_weights(folder, tensors, config)


def load_codec(folder: Path) -> tuple[TorchCodec, dict[str, Any]]:
    """The codec of a weights folder, and its config.json."""
    config = load_config(folder, KIND)
    settings = parse_settings(config.get("settings", {}), str(folder))
    tensors = load_tensors(folder)
    encoder, decoder = Encoder(settings.network, settings.layout), Decoder(settings.network, settings.layout)
    load_arrays(encoder, tensors, folder, "encoder.")
    load_arrays(decoder, tensors, folder, "decoder.")
    encoder, decoder = (m.to(memory_format=torch.channels_last) for m in (encoder, decoder))  # type: ignore[call-overload]
    return TorchCodec(encoder, decoder, settings.network.size), config


def torch_features(module: nn.Module) -> Callable[[FloatArray], NDArray[np.float32]]:
    """A frozen module behind plain arrays: faces (N × 3 × S × S, −1 … 1) → what it says of them."""

    @torch.inference_mode()
    def features(faces: FloatArray) -> NDArray[np.float32]:
        x = torch.from_numpy(faces).contiguous(memory_format=torch.channels_last)
        result: NDArray[np.float32] = module(x).numpy()
        return result

    return features
