"""One pass over pairs: every face is encoded once, takes each attribute alone, and all that differ together."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traitswap.attributes import Attribute
from traitswap.codec import Codec, Codes, FloatArray
from traitswap.data.cache import FaceData
from traitswap.editing import edited
from traitswap.errors import TraitswapError
from traitswap.images import to_network, to_pixels

Features = Callable[[FloatArray], NDArray[np.float32]]
Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]

CHUNK = 32
"""Pairs at a time: all that is held of them, however many there are."""

ALL = "(all)"
"""The group of results that took every attribute whose labels differ: the paper's. No attribute can have this name."""


@dataclass(frozen=True)
class Judge:
    """A classifier that took no part in training: faces (N × 3 × S × S, −1 … 1) → logits N × columns."""

    logits: Features
    columns: tuple[str, ...]

    def own(self, attribute: Attribute) -> list[int]:
        """Where the attribute's columns stand among the judge's. Raises `TraitswapError` if one is missing."""
        for column in attribute.columns:
            if column not in self.columns:
                raise TraitswapError(
                    f"the judge does not know {attribute.name}'s label column '{column}': train one that does with "
                    "traitswap train-classifier"
                )
        return [self.columns.index(column) for column in attribute.columns]


@dataclass(frozen=True)
class Results:
    """M faces that took something: from a chunk's photos at `items`, and what they took came from their partners."""

    name: str
    """The attribute that was taken, or `ALL`."""
    items: NDArray[np.int64]
    taken: NDArray[np.bool_]
    """M × attributes: which of them were taken."""
    faces: FloatArray
    logits: NDArray[np.float32]
    """The judge's, M × its columns."""


@dataclass(frozen=True)
class Chunk:
    """P pairs as 2P photos: first the faces of half A, then those of half B; each is its partner's reference."""

    indices: NDArray[np.int64]
    """Of the photos in the data."""
    faces: FloatArray
    labels: dict[str, NDArray[np.bool_]]
    """By attribute, 2P × its columns."""
    codes: Codes
    logits: NDArray[np.float32]
    drawn: FloatArray
    """The photos with nothing taken, as the model draws them."""
    rebuilt: FloatArray
    """The same, rounded to pixels."""
    confined: Mapping[str, str] | None
    """Attributes that change one region alone (`editing`)."""
    rebuilt_logits: NDArray[np.float32]
    results: list[Results]

    @property
    def partner(self) -> NDArray[np.int64]:
        """For each photo, where its reference stands."""
        return np.roll(np.arange(len(self.indices)), len(self.indices) // 2)


def transferred(
    codec: Codec,
    data: FaceData,
    pairs: Pairs,
    judge: Judge,
    attributes: Sequence[Attribute],
    together: bool = True,
    confined: Mapping[str, str] | None = None,
) -> Iterator[Chunk]:
    """The pairs' faces and what becomes of them, chunk by chunk, both ways.

    An attribute is taken where its labels differ between photo and reference: alone, and, with `together`, with all
    others that differ; `confined`: those that change one region alone (`editing`). Results are rounded to pixels as
    they would be saved.
    """
    for start in range(0, len(pairs[0]), CHUNK):
        indices = np.concatenate([side[start : start + CHUNK] for side in pairs])
        x = faces_of(data, indices)
        codes = codec.encode(x, labels_for(codec, data, indices))
        drawn = codec.decode(codes)
        rebuilt = as_saved(drawn)
        chunk = Chunk(
            indices=indices,
            faces=x,
            labels={a.name: data.columns_of(a.columns)[indices] > 0 for a in attributes},
            codes=codes,
            logits=judge.logits(x),
            drawn=drawn,
            rebuilt=rebuilt,
            confined=confined,
            rebuilt_logits=judge.logits(rebuilt),
            results=[],
        )
        differ = np.stack([(y != y[chunk.partner]).any(1) for y in chunk.labels.values()], axis=1)
        for i, attribute in enumerate(attributes):
            taken = np.zeros_like(differ)
            taken[:, i] = differ[:, i]
            chunk.results.extend(_take(codec, chunk, attribute.name, taken, attributes, judge))
        if together:
            chunk.results.extend(_take(codec, chunk, ALL, differ, attributes, judge))
        yield chunk


def _take(
    codec: Codec, chunk: Chunk, name: str, taken: NDArray[np.bool_], attributes: Sequence[Attribute], judge: Judge
) -> list[Results]:
    """The results where anything is taken; none if that is nowhere."""
    items = np.flatnonzero(taken.any(1))
    if not len(items):
        return []
    taken = taken[items]
    made = np.empty_like(chunk.drawn[items])
    # Those that take the same are drawn together.
    for names in np.unique(taken, axis=0):
        some = (taken == names).all(1)
        reference = chunk.codes[chunk.partner[items[some]]]
        references = {a.name: reference for a, is_taken in zip(attributes, names, strict=True) if is_taken}
        photo, drawn = chunk.codes[items[some]], chunk.drawn[items[some]]
        made[some] = edited(codec, photo, references, None, chunk.confined, drawn)
    faces = as_saved(made)
    return [Results(name, items, taken, faces, judge.logits(faces))]


def labels_for(codec: Codec, data: FaceData, indices: NDArray[np.int64]) -> NDArray[np.uint8] | None:
    """What a codec that is guided by labels is told of these faces; None where the data does not know all of them."""
    columns = codec.layout.columns
    return data.columns_of(columns)[indices] if set(columns) <= set(data.columns) else None


def faces_of(data: FaceData, indices: NDArray[np.int64]) -> FloatArray:
    """The faces at `indices` as N × 3 × S × S float32 in −1 … 1."""
    pixels = data.images[indices].transpose(0, 3, 1, 2).astype(np.float32)
    faces: FloatArray = np.ascontiguousarray(to_network(pixels))
    return faces


def as_saved(faces: FloatArray) -> FloatArray:
    """Faces (−1 … 1) rounded to 8-bit pixels and read again, as every real face was."""
    pixels: NDArray[Any] = to_pixels(faces).astype(np.float32)
    rounded: FloatArray = to_network(pixels)
    return rounded
