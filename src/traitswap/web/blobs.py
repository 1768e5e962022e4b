"""A face's codes as text that a client keeps and sends back, so that the server need not remember them."""

import base64
import binascii

import numpy as np

from traitswap.codec import Codes
from traitswap.errors import TraitswapError
from traitswap.images import to_network, to_pixels
from traitswap.pipeline import TransferPipeline

_LARGEST = float(np.finfo(np.float16).max)


class Blobs:
    """Packs and unpacks the codes of one face for one model: the embedding in half precision, then the face's pixels,
    in base64."""

    def __init__(self, pipe: TransferPipeline) -> None:
        # The pipeline says of its codes only what one face shows: their shape.
        blank = np.zeros((pipe.size, pipe.size, 3), np.uint8)
        self._example = pipe.encode([blank], aligned=True)
        self._shape = self._example.embedding.shape
        self._embedding_bytes = 2 * int(np.prod(self._shape))
        self._bytes = self._embedding_bytes + blank.size

    def pack(self, codes: Codes) -> str:
        embedding = np.clip(codes.embedding, -_LARGEST, _LARGEST).astype("<f2")
        return base64.b64encode(embedding.tobytes() + to_pixels(codes.photo).tobytes()).decode()

    def unpack(self, text: str, name: str) -> Codes:
        """The codes of one face; raises `TraitswapError`, calling them `name`, unless this model can have made them."""
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise TraitswapError(f"{name}: not base64; send what /v1/encode gave as it is") from None
        if len(data) != self._bytes:
            raise TraitswapError(
                f"{name}: {len(data):,} bytes; this model's have {self._bytes:,}: encode the photo again"
            )
        embedding = np.frombuffer(data[: self._embedding_bytes], "<f2").reshape(self._shape).astype(np.float32)
        if not np.isfinite(embedding).all():
            raise TraitswapError(f"{name}: not every number is finite; send what /v1/encode gave as it is")
        pixels = np.frombuffer(data[self._embedding_bytes :], np.uint8).reshape(self._example.photo.shape)
        return Codes(embedding, to_network(pixels.astype(np.float32)), self._example.layout)
