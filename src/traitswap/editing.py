"""Faces that take something, as users get them: what the model draws, but for what a confined attribute spills."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from traitswap.codec import Codes, FloatArray
from traitswap.images import UInt8Array, to_pixels
from traitswap.regions import hair_region


def edited(
    decode: Callable[[Codes], FloatArray],
    codes: Codes,
    references: Mapping[str, Codes],
    strength: Mapping[str, float] | None = None,
    confined: Sequence[str] = (),
    rebuilt: FloatArray | None = None,
) -> FloatArray:
    """The N faces of `codes` with what they take, N × 3 × size × size, −1 … 1.

    What a `confined` attribute adds to the face beside its hair (`regions.hair_region`) is taken away again. `rebuilt`:
    the faces with nothing taken, if they are at hand; else they are decoded where they are needed.
    """
    strength = strength or {}
    faces = decode(codes.blend(references, strength))
    taken = [name for name in confined if name in references]
    if not taken:
        return faces
    if rebuilt is None:
        rebuilt = decode(codes)
    result = faces
    for name in taken:
        alone, amount = {name: references[name]}, strength.get(name, 1.0)
        own = (faces if len(references) == 1 else decode(codes.blend(alone, {name: amount}))) - rebuilt
        # As it would be at strength 1, so that a region does not move with a slider.
        whole = own if amount == 1 else decode(codes.blend(alone)) - rebuilt
        seen = as_pixels(codes.photo)
        regions = np.stack([hair_region(face, added) for face, added in zip(seen, as_levels(whole), strict=True)])
        result = result - (1 - regions[:, None]) * own
    return result


def as_pixels(faces: FloatArray) -> UInt8Array:
    """N × 3 × S × S, −1 … 1 → N × S × S × 3."""
    return np.ascontiguousarray(to_pixels(faces).transpose(0, 2, 3, 1))


def as_levels(change: FloatArray) -> FloatArray:
    """Differences of faces, N × 3 × S × S → N × S × S × 3, in 256 levels."""
    return change.transpose(0, 2, 3, 1) * np.float32(127.5)
