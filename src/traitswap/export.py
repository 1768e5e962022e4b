"""ONNX files of encoder and decoder beside the weights, held against torch before they are kept."""

import contextlib
import io
import logging
import shutil
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from traitswap.codec import Codec
from traitswap.errors import TraitswapError
from traitswap.files import written_whole
from traitswap.networks.joined import JoinedGenerator
from traitswap.networks.transfer import TransferNetwork
from traitswap.networks.weights import TorchCodec, load_codec
from traitswap.onnx_codec import DECODER_NAME, ENCODER_NAME, PART_NAME, load_onnx_codec

TOLERANCE = 1e-3
"""Largest difference from torch that is accepted, of faces in −1 … 1."""
OPSET = 18


class _Encode(nn.Module):
    def __init__(self, generator: TransferNetwork) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, x: Tensor) -> Tensor:
        return self.generator.encode(x)


class _Decode(nn.Module):
    def __init__(self, generator: TransferNetwork) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, embedding: Tensor, photo: Tensor, own: Tensor) -> Tensor:
        return self.generator.decode(embedding, photo, own)


class _Change(nn.Module):
    """What one part of joined weights adds to the photo."""

    def __init__(self, generator: JoinedGenerator, part: int) -> None:
        super().__init__()
        self.generator, self.part = generator, part

    def forward(self, embedding: Tensor, photo: Tensor, own: Tensor) -> Tensor:
        return self.generator.changes(embedding, photo, own)[self.part]


def export(weights: Path, out: Path) -> float:
    """Writes `weights` to `out` with encoder.onnx and decoder.onnx (of joined weights, a decoder for each part) of any
    batch size; all that was in it is kept.

    Returns the largest difference from torch on a transfer (faces in −1 … 1). Raises `TraitswapError`, and writes
    nothing, if it is more than `TOLERANCE`.
    """
    codec, _ = load_codec(weights)
    with written_whole(out) as fresh:
        shutil.copytree(weights, fresh)
        write_onnx(codec, fresh)
        difference = largest_difference(codec, load_onnx_codec(fresh)[0])
        if not difference <= TOLERANCE:
            raise TraitswapError(
                f"the exported networks differ from torch by {difference:.1g}, more than {TOLERANCE:g}: nothing written"
            )
    return difference


def write_onnx(codec: TorchCodec, folder: Path) -> None:
    """Writes encoder.onnx and the decoders into the folder."""
    generator = codec.generator
    # Two faces: of a batch of one, the exporter would make a constant.
    x = torch.zeros(2, 3, codec.size, codec.size)
    with torch.no_grad():
        embedding = generator.encode(x)
        own = generator.units(embedding)
    batch = torch.export.Dim("batch")
    decoders: dict[str, nn.Module] = {DECODER_NAME: _Decode(generator)}
    if isinstance(generator, JoinedGenerator):
        decoders = {PART_NAME.format(part): _Change(generator, part) for part in range(len(generator.members))}
    decoding = {"embedding": embedding, "photo": x, "own": own}
    for name, network, inputs in (
        (ENCODER_NAME, _Encode(generator), {"x": x}),
        *((name, decoder, decoding) for name, decoder in decoders.items()),
    ):
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            # The exporter speaks of its own parts, to its own makers.
            warnings.simplefilter("ignore")
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            torch.onnx.export(
                network.eval(),
                tuple(inputs.values()),
                str(folder / name),
                input_names=list(inputs),
                output_names=["result"],
                dynamic_shapes=[{0: batch} for _ in inputs],
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )


def largest_difference(codec: Codec, other: Codec) -> float:
    """Between two codecs, of faces that took every unit of another face: a batch of four, and one alone."""
    faces = np.random.default_rng(0).uniform(-1, 1, (4, 3, codec.size, codec.size)).astype(np.float32)
    # Smooth as photos are, not noise alone.
    faces[:2] = np.linspace(-1, 1, codec.size, dtype=np.float32)

    def transferred(with_codec: Codec, batch: np.ndarray) -> np.ndarray:
        codes = with_codec.encode(batch)
        return with_codec.decode(codes.blend(dict.fromkeys(codec.layout.names, codes[::-1])))

    return max(
        float(np.abs(transferred(codec, batch) - transferred(other, batch)).max()) for batch in (faces, faces[2:3])
    )
