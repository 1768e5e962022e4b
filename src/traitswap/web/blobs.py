"""A face's codes as text that a client keeps and sends back, so that the server need not remember them."""

import base64
import binascii

import numpy as np

from traitswap.codec import Codes, FloatArray
from traitswap.errors import TraitswapError
from traitswap.images import to_network, to_pixels
from traitswap.pipeline import TransferPipeline
from traitswap.styles import unit_codes, without_place

_LARGEST = float(np.finfo(np.float16).max)


class Blobs:
    """Packs and unpacks, for one model, the codes of one face, and what it gives to others: its units. All in base64.

    Embeddings are in half precision. Codes are the embedding, then the face's pixels; a unit that is alike at every
    place is sent once.
    """

    def __init__(self, pipe: TransferPipeline) -> None:
        # The pipeline says of its codes only what one face shows: their shape.
        blank = np.zeros((pipe.size, pipe.size, 3), np.uint8)
        example = pipe.encode([blank], aligned=True)
        self._layout, self._size = example.layout, pipe.size
        self._shape = example.embedding.shape
        self._face = example.photo.shape

    def pack(self, codes: Codes) -> str:
        return _text(_halves(codes.embedding) + to_pixels(codes.photo).tobytes())

    def pack_units(self, codes: Codes) -> dict[str, str]:
        units = {name: codes.embedding[:, self._layout.unit(name)] for name in self._layout.names}
        return {name: _text(_halves(without_place(unit))) for name, unit in units.items()}

    def unpack(self, text: str, name: str) -> Codes:
        """The codes of one face; raises `TraitswapError`, calling them `name`, unless this model can have made them."""
        numbers = 2 * int(np.prod(self._shape))
        data = _data(text, name, numbers + int(np.prod(self._face)))
        pixels = np.frombuffer(data[numbers:], np.uint8).reshape(self._face)
        embedding = _numbers(data[:numbers], name).reshape(self._shape)
        return Codes(embedding, to_network(pixels.astype(np.float32)), self._layout)

    def unpack_unit(self, text: str, attribute: str, name: str) -> Codes:
        """A reference that gives its unit of `attribute` alone; errors are those of `unpack`."""
        channels, places = self._layout.unit_channels, self._shape[2:]
        data = _data(text, name, 2 * channels * int(np.prod(places)), 2 * channels)
        shape = (channels, 1, 1) if len(data) == 2 * channels else (channels, *places)
        return unit_codes(attribute, _numbers(data, name).reshape(shape), self._layout, self._size)


def _halves(embedding: FloatArray) -> bytes:
    return np.clip(embedding, -_LARGEST, _LARGEST).astype("<f2").tobytes()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _data(text: str, name: str, *lengths: int) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise TraitswapError(f"{name}: not base64; send what /v1/encode gave as it is") from None
    if len(data) not in lengths:
        raise TraitswapError(f"{name}: {len(data):,} bytes; this model's have {lengths[0]:,}: encode the photo again")
    return data


def _numbers(data: bytes, name: str) -> FloatArray:
    numbers = np.frombuffer(data, "<f2").astype(np.float32)
    if not np.isfinite(numbers).all():
        raise TraitswapError(f"{name}: not every number is finite; send what /v1/encode gave as it is")
    return numbers
