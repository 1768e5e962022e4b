"""Faces that take something, as users get them: what the model draws, but for what a confined attribute spills."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from traitswap.attributes import Layout
from traitswap.codec import Codec, Codes, FloatArray
from traitswap.errors import TraitswapError
from traitswap.images import UInt8Array, to_pixels
from traitswap.regions import FOREHEAD, REGIONS, regions_of


class Drawing(NamedTuple):
    """How faces are drawn with the networks of a weights folder."""

    confined: dict[str, str]
    """Attributes that change one region alone, each with the region's name (of `regions.REGIONS`)."""
    mirrored: bool
    """Each face is also drawn mirrored (`mirrored`)."""


def drawing_of(config: Mapping[str, Any], origin: object, layout: Layout) -> Drawing:
    """What a config.json, or the protocol of a report, says of it, for attributes of `layout`; `origin` names it in the
    error if that makes no sense."""
    confined, mirrored = config.get("confined", {}), config.get("mirrored", False)
    if not isinstance(confined, dict) or not isinstance(mirrored, bool):
        raise TraitswapError(
            f"{origin} says confined: {json.dumps(confined)}, mirrored: {json.dumps(mirrored)}; "
            'expected a region for each attribute that is confined, such as {"hair_color": "hair"}, and true or false'
        )
    check_confined(confined, layout)
    return Drawing(confined, mirrored)


def check_confined(confined: Mapping[str, Any], layout: Layout) -> None:
    """Raises `TraitswapError` unless `layout` has these attributes, and the regions are known."""
    layout.check_names(confined)
    for name, region in confined.items():
        if region not in REGIONS:
            raise TraitswapError(f"{name} cannot be confined to {region!r}: the regions are {', '.join(REGIONS)}")


def edited(
    codec: Codec,
    codes: Codes,
    references: Mapping[str, Codes],
    strength: Mapping[str, float] | None = None,
    confined: Mapping[str, str] | None = None,
    rebuilt: FloatArray | None = None,
) -> FloatArray:
    """The N faces of `codes` with what they take, N × 3 × size × size, −1 … 1.

    A `confined` attribute changes its region (of `regions.REGIONS`) alone: faces are drawn with all that is free, and
    again with each confined attribute besides, of which only the region is kept. What the forehead gets is taken first,
    and all else from the face that is so made: a fringe that has grown is recoloured with the hair. `rebuilt`: the
    faces with nothing taken, if they are at hand; else they are decoded where they are needed.
    """
    strength = strength or {}
    within = {name: region for name, region in (confined or {}).items() if name in references}
    if not within:
        return codec.decode(codes.blend(references, strength))
    if rebuilt is None:
        rebuilt = codec.decode(codes)
    grown = {name: reference for name, reference in references.items() if within.get(name) == FOREHEAD}
    others = {name: reference for name, reference in references.items() if name not in grown}
    if grown and others:
        face = edited(codec, codes, grown, strength, confined, rebuilt)
        codes = codec.encode(np.clip(codes.photo + face - rebuilt, -1, 1))
        rebuilt = codec.decode(codes)
        return face + edited(codec, codes, others, strength, confined, rebuilt) - rebuilt
    free = {name: reference for name, reference in references.items() if name not in within}
    base = codec.decode(codes.blend(free, strength)) if free else rebuilt
    # Hair that is free to grow is there: bangs take the new colour.
    seen = as_pixels(codes.photo + base - rebuilt)

    def change(name: str, drawn: FloatArray) -> FloatArray:
        # As it would be at strength 1, so that a region does not move with a slider.
        if strength.get(name, 1.0) != 1:
            drawn = codec.decode(codes.blend({**free, name: references[name]}, {**strength, name: 1.0}))
        return as_levels(drawn - base)

    result = base
    for name, region in within.items():
        drawn = codec.decode(codes.blend({**free, name: references[name]}, strength))
        result = result + regions_of(seen, region, partial(change, name, drawn))[:, None] * (drawn - base)
    return result


def as_pixels(faces: FloatArray) -> UInt8Array:
    """N × 3 × S × S, −1 … 1 → N × S × S × 3."""
    return np.ascontiguousarray(to_pixels(faces).transpose(0, 2, 3, 1))


def as_levels(change: FloatArray) -> FloatArray:
    """Differences of faces, N × 3 × S × S → N × S × S × 3, in 256 levels."""
    return change.transpose(0, 2, 3, 1) * np.float32(127.5)
