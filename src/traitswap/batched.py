"""Faces that go through the networks some at a time."""

import numpy as np

from traitswap.codec import Around, Codes, FloatArray, LabelArray

BATCH = 32
"""Faces that are in a network at a time: bounds the memory, however many are given."""


class Batched(Around):
    """`codec` for any number of faces."""

    def encode(self, faces: FloatArray, labels: LabelArray | None = None) -> Codes:
        parts = [
            self._codec.encode(np.ascontiguousarray(faces[some]), None if labels is None else labels[some])
            for some in _slices(len(faces))
        ]
        embedding = np.concatenate([part.embedding for part in parts])
        return Codes(embedding, np.concatenate([part.photo for part in parts]), self.layout)

    def decode(self, codes: Codes) -> FloatArray:
        return np.concatenate([self._codec.decode(codes[some]) for some in _slices(len(codes))])


def _slices(count: int) -> list[slice]:
    return [slice(start, start + BATCH) for start in range(0, count, BATCH)]
