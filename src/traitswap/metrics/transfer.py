"""Did the attribute change, did the rest stay: one pass over pairs, the same for a run's health and its verdict."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traitswap.codec import Codec, FloatArray
from traitswap.data.cache import FaceData
from traitswap.images import to_network

Features = Callable[[FloatArray], NDArray[np.float32]]
CHUNK = 64


@dataclass(frozen=True)
class Judge:
    """A classifier that took no part in training: faces (N × 3 × S × S, −1 … 1) → logits N × columns."""

    logits: Features
    columns: tuple[str, ...]


@dataclass
class AttributeResult:
    """One attribute, swapped alone, over the pairs whose labels of it differ. All but `pairs` are means, None where
    there is nothing to take one of."""

    pairs: int
    success: float | None
    """Share of results on which all the attribute's columns are judged as the reference's labels say."""
    success_untouched: float | None
    """The same for the photo as it was: the floor."""
    success_real: float | None
    """The same for the reference itself: the ceiling."""
    kept: float | None
    """Share of the other label columns judged as on the photo."""
    identity: float | None
    """Cosine of result and photo."""
    leaked: float | None
    """Cosine of result and reference, above that of photo and reference."""
    unrelated: float | None
    """Cosine of photo and reference."""
    border_change: float | None
    """Mean absolute change within an eighth of the picture's edge, 0 … 1."""


@dataclass
class TransferResult:
    attributes: dict[str, AttributeResult]
    reconstruction: dict[str, float] = field(default_factory=dict)
    """psnr (dB), identity (cosine), kept: with nothing swapped."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def measure_transfer(
    codec: Codec,
    data: FaceData,
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]],
    judge: Judge,
    identity: Features | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TransferResult:
    """Each face of `pairs` takes each attribute from its partner, in both directions, one attribute at a time."""
    photos, references = np.concatenate(pairs), np.concatenate(pairs[::-1])
    table = _Sums()
    for start in range(0, len(photos), CHUNK):
        items = slice(start, start + CHUNK)
        _measure_chunk(codec, data, photos[items], references[items], judge, identity, table)
        if progress:
            progress(min(start + CHUNK, len(photos)), len(photos))
    names = codec.layout.names
    return TransferResult(
        {name: AttributeResult(**table.means(name, AttributeResult.__dataclass_fields__)) for name in names},
        {key: value for key, value in table.means("", ("psnr", "identity", "kept")).items() if value is not None},
    )


def _measure_chunk(
    codec: Codec,
    data: FaceData,
    photos: NDArray[np.int64],
    references: NDArray[np.int64],
    judge: Judge,
    identity: Features | None,
    table: "_Sums",
) -> None:
    x, r = faces_of(data, photos), faces_of(data, references)
    labels = data.columns_of(codec.layout.columns)
    codes, reference_codes = codec.encode(x, labels[photos]), codec.encode(r, labels[references])
    x_rec = codec.decode(codes)
    seen, seen_reference = judge.logits(x) > 0, judge.logits(r) > 0
    table.add("", psnr=psnr(x, x_rec), kept=((judge.logits(x_rec) > 0) == seen).mean(1))
    if identity:
        who, who_reference = unit_length(identity(x)), unit_length(identity(r))
        table.add("", identity=(who * unit_length(identity(x_rec))).sum(1))
    for attribute in codec.layout.attributes:
        own = [judge.columns.index(c) for c in attribute.columns]
        others = [i for i in range(len(judge.columns)) if i not in own]
        wanted = data.columns_of(attribute.columns)[references] > 0
        differ = (data.columns_of(attribute.columns)[photos] > 0) != wanted
        pick = np.flatnonzero(differ.any(1))
        if not len(pick):
            continue
        result = codec.decode(codes[pick].blend({attribute.name: reference_codes[pick]}))
        found = judge.logits(result) > 0
        wanted = wanted[pick]
        table.add(
            attribute.name,
            success=(found[:, own] == wanted).all(1),
            success_untouched=(seen[pick][:, own] == wanted).all(1),
            success_real=(seen_reference[pick][:, own] == wanted).all(1),
            border_change=border_change(x[pick], result),
        )
        if others:
            table.add(attribute.name, kept=(found[:, others] == seen[pick][:, others]).mean(1))
        if identity:
            who_result = unit_length(identity(result))
            before = (who * who_reference).sum(1)[pick]
            table.add(
                attribute.name,
                identity=(who_result * who[pick]).sum(1),
                leaked=(who_result * who_reference[pick]).sum(1) - before,
                unrelated=before,
            )


class _Sums:
    """Running sums and counts by group and quantity, in float64."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], tuple[float, int]] = {}

    def add(self, group: str, **values: NDArray[Any]) -> None:
        for key, value in values.items():
            total, count = self._sums.get((group, key), (0.0, 0))
            self._sums[group, key] = (total + float(value.sum(dtype=np.float64)), count + len(value))

    def means(self, group: str, keys: Sequence[str] | Any) -> dict[str, Any]:
        found = {key: self._sums.get((group, key)) for key in keys if key != "pairs"}
        means: dict[str, Any] = {key: total[0] / total[1] if total else None for key, total in found.items()}
        if "pairs" in keys:
            means["pairs"] = self._sums.get((group, "success"), (0.0, 0))[1]
        return means


def faces_of(data: FaceData, indices: NDArray[np.int64]) -> FloatArray:
    """The faces at `indices` as N × 3 × S × S float32 in −1 … 1."""
    pixels = data.images[indices].transpose(0, 3, 1, 2).astype(np.float32)
    faces: FloatArray = np.ascontiguousarray(to_network(pixels))
    return faces


def psnr(x: FloatArray, y: FloatArray) -> NDArray[np.float64]:
    """Peak signal-to-noise ratio of each pair of faces (−1 … 1), dB; at most 60, where they are all but equal."""
    error = np.square(x.astype(np.float64) - y).mean((1, 2, 3)) / 4
    ratio: NDArray[np.float64] = -10 * np.log10(np.maximum(error, 1e-6))
    return ratio


def border_change(x: FloatArray, y: FloatArray) -> NDArray[np.float64]:
    """Mean absolute difference (0 … 1) of each pair of faces within an eighth of the side from the edge."""
    side = x.shape[-1]
    edge = side // 8
    frame = np.ones((side, side), bool)
    frame[edge:-edge, edge:-edge] = False
    change: NDArray[np.float64] = (np.abs(x.astype(np.float64) - y) / 2)[:, :, frame].mean((1, 2))
    return change


def unit_length(features: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = features.astype(np.float64)
    scaled: NDArray[np.float64] = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    return scaled
