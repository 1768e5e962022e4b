"""Did the attribute change, did the rest stay: the same for a run's health and its verdict."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traitswap.attributes import Attribute
from traitswap.codec import Codec, FloatArray
from traitswap.data.cache import FaceData
from traitswap.metrics.chunks import ALL, Chunk, Features, Judge, Pairs, Results, transferred


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
    stayed: float | None
    """Where another attribute is swapped and not this one: share judged as the photo's own labels of it say."""
    stayed_real: float | None
    """The same for the photo as it was: the ceiling."""
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
    together: dict[str, Any] = field(default_factory=dict)
    """All differing attributes swapped at once: pairs, kept (columns of no swapped attribute), identity, leaked,
    unrelated, border_change; and by attribute success… over the pairs that differ in it, stayed… over the others."""
    logit_change: dict[str, dict[str, float]] = field(default_factory=dict)
    """Mean absolute change of the judge's logit from photo to result, by swapped attribute, then by column; the
    attribute's own columns are left out. "(rebuilt)": with nothing swapped."""

    judge_accuracy: dict[str, float | None] = field(default_factory=dict)
    """By attribute: share of the photos themselves on which the judge sees all its columns as they are labelled."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


_CHANGED = ("success", "success_untouched", "success_real", "stayed", "stayed_real")
_REST = ("kept", "identity", "leaked", "unrelated", "border_change")
_REBUILT = "(rebuilt)"


def measure_transfer(
    codec: Codec, data: FaceData, pairs: Pairs, judge: Judge, identity: Features | None = None
) -> TransferResult:
    """Each face of `pairs` takes each attribute from its partner, in both directions, one attribute at a time."""
    attributes = codec.layout.attributes
    table = TransferTable(attributes, judge, identity)
    for chunk in transferred(codec, data, pairs, judge, attributes, together=False):
        table.add(chunk)
    return table.result()


class TransferTable:
    """Collects chunks of transfers; memory does not grow with their number."""

    def __init__(self, attributes: Sequence[Attribute], judge: Judge, identity: Features | None) -> None:
        self._attributes = attributes
        self._columns = judge.columns
        self._own = {a.name: judge.own(a) for a in attributes}
        self._identity = identity
        self._means = Means()

    def add(self, chunk: Chunk) -> None:
        seen = chunk.logits > 0
        moved = np.abs(chunk.rebuilt_logits - chunk.logits)
        kept = ((chunk.rebuilt_logits > 0) == seen).mean(1)
        self._means.add(_REBUILT, psnr=psnr(chunk.faces, chunk.rebuilt), kept=kept, moved=moved)
        who = unit_length(self._identity(chunk.faces)) if self._identity else None
        if self._identity and who is not None:
            self._means.add(_REBUILT, identity=(who * unit_length(self._identity(chunk.rebuilt))).sum(1))
        for name, labels in chunk.labels.items():
            self._means.add(name, judge=(seen[:, self._own[name]] == labels).all(1))
        for results in chunk.results:
            self._add_changes(chunk, results)
            self._add_rest(chunk, results, who)

    def _add_changes(self, chunk: Chunk, results: Results) -> None:
        """Each attribute that was taken against the reference's labels, each other against the photo's own."""
        photo, reference = results.items, chunk.partner[results.items]
        for i, attribute in enumerate(self._attributes):
            own, taken = self._own[attribute.name], results.taken[:, i]
            wanted = chunk.labels[attribute.name][np.where(taken, reference, photo)]
            result, before, there = (
                ((logits[:, own] > 0) == wanted).all(1)
                for logits in (results.logits, chunk.logits[photo], chunk.logits[reference])
            )
            group = (results.name == ALL, attribute.name)
            changed = {"success": result, "success_untouched": before, "success_real": there}
            self._means.add(group, **{key: right[taken] for key, right in changed.items()})
            self._means.add(group, stayed=result[~taken], stayed_real=before[~taken])

    def _add_rest(self, chunk: Chunk, results: Results, who: NDArray[np.float64] | None) -> None:
        photo, reference = results.items, chunk.partner[results.items]
        others = np.ones(results.logits.shape, bool)
        for i, attribute in enumerate(self._attributes):
            others[np.ix_(results.taken[:, i].nonzero()[0], np.array(self._own[attribute.name]))] = False
        same = (results.logits > 0) == (chunk.logits[photo] > 0)
        some = others.any(1)
        self._means.add(
            results.name,
            kept=(same & others)[some].sum(1) / others[some].sum(1),
            moved=np.abs(results.logits - chunk.logits[photo]),
            border_change=border_change(chunk.faces[photo], results.faces),
        )
        if self._identity and who is not None:
            now, before = unit_length(self._identity(results.faces)), (who[photo] * who[reference]).sum(1)
            self._means.add(
                results.name,
                identity=(now * who[photo]).sum(1),
                leaked=(now * who[reference]).sum(1) - before,
                unrelated=before,
            )

    def result(self) -> TransferResult:
        means, names = self._means, [a.name for a in self._attributes]
        alone = {
            name: AttributeResult(
                means.count((False, name), "success"), **means.of((False, name), _CHANGED), **means.of(name, _REST)
            )
            for name in names
        }
        together = {
            "pairs": means.count(ALL, "border_change"),
            **means.of(ALL, _REST),
            "attributes": {
                name: {"pairs": means.count((True, name), "success"), **means.of((True, name), _CHANGED)}
                for name in names
            },
        }
        rebuilt = {k: v for k, v in means.of(_REBUILT, ("psnr", "identity", "kept")).items() if v is not None}
        accuracy = {name: means.of(name, ("judge",))["judge"] for name in names}
        return TransferResult(alone, rebuilt, together, self._logit_change(), accuracy)

    def _logit_change(self) -> dict[str, dict[str, float]]:
        change = {}
        for name, own in [*self._own.items(), (_REBUILT, [])]:
            moved = self._means.of(name, ("moved",))["moved"]
            if moved is not None:
                change[name] = {c: float(moved[i]) for i, c in enumerate(self._columns) if i not in own}
        return change


class Means:
    """Running sums and counts by group and quantity, in float64, over the first axis of what is added."""

    def __init__(self) -> None:
        self._sums: dict[tuple[Hashable, str], tuple[Any, int]] = {}

    def add(self, group: Hashable, **values: NDArray[Any]) -> None:
        for key, value in values.items():
            total, count = self._sums.get((group, key), (0.0, 0))
            self._sums[group, key] = (total + value.sum(0, dtype=np.float64), count + len(value))

    def count(self, group: Hashable, key: str) -> int:
        return self._sums.get((group, key), (0.0, 0))[1]

    def of(self, group: Hashable, keys: Iterable[str]) -> dict[str, Any]:
        """The means by quantity (floats, or arrays where rows were added); None where nothing was added."""
        found = {key: self._sums.get((group, key), (0.0, 0)) for key in keys}
        return {
            key: None if not count else total / count if np.ndim(total) else float(total / count)
            for key, (total, count) in found.items()
        }


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
