"""Faces drawn twice, as they are and mirrored, and averaged: what a network draws by chance is halved."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from traitswap.codec import Around, Codec, Codes, FloatArray, LabelArray

REMEMBERED = 8


class Mirrored(Around):
    """A codec whose faces are the mean of what `codec` draws, and of what it draws of the mirrored photo, turned back.

    Both take the same units. Decoding takes two decodings and one encoding of the other's; of a few single faces the
    encoding is remembered, for one that is drawn again and again while a slider moves.
    """

    def __init__(self, codec: Codec) -> None:
        super().__init__(codec)
        self._remembered = lru_cache(maxsize=REMEMBERED)(self._encoded)

    def encode(self, faces: FloatArray, labels: LabelArray | None = None) -> Codes:
        return self._codec.encode(faces, labels)

    def decode(self, codes: Codes) -> FloatArray:
        units = codes.layout.swapped_channels
        photo = _mirrored(codes.photo)
        mirrored = self._remembered(photo.tobytes()) if len(photo) == 1 else self._codec.encode(photo)
        other = np.concatenate([_mirrored(codes.embedding[:, :units]), mirrored.embedding[:, units:]], 1)
        both = Codes(
            np.concatenate([codes.embedding, other]),
            np.concatenate([codes.photo, mirrored.photo]),
            codes.layout,
            np.concatenate([codes.own, _mirrored(codes.own)]),
        )
        faces, others = np.split(self._codec.decode(both), 2)
        return (faces + _mirrored(others)) / np.float32(2)

    def _encoded(self, face: bytes) -> Codes:
        # Copied: torch warns of arrays that cannot be written to.
        return self._codec.encode(np.frombuffer(face, np.float32).reshape(1, 3, self.size, self.size).copy())


def _mirrored(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Left and right, the last axis, exchanged."""
    return np.ascontiguousarray(array[..., ::-1])
