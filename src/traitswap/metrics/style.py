"""Does the degree within a label carry over, and does blending move smoothly: both in the judge's logit."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traitswap.attributes import Attribute
from traitswap.codec import Codec
from traitswap.editing import edited
from traitswap.metrics.chunks import ALL, Chunk, Judge, as_saved
from traitswap.metrics.transfer import Means

STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)


class Style:
    """Correlation, within one label, of the judge's logit on references with that on the results made from them.

    One group for each label: references of which the column is 1, and, of an attribute with a single column, those of
    which it is 0 (with several columns, 0 is a mixture of labels). As everywhere, only pairs whose labels differ: the
    degree cannot come from the photo. A method that is told labels alone cannot correlate. `degrees` (column → degree
    of every face of the data) adds, for drawn faces, the correlation with the true degree.
    """

    def __init__(
        self, attributes: Sequence[Attribute], judge: Judge, degrees: Mapping[str, NDArray[np.float64]]
    ) -> None:
        self._groups = [
            (a, place, own, label)
            for a in attributes
            for place, own in enumerate(judge.own(a))
            for label in ((1,) if len(a.columns) > 1 else (1, 0))
        ]
        self._degrees = degrees
        self._sums: dict[tuple[str, int, str], Correlation] = {}

    def add(self, chunk: Chunk) -> None:
        by_name = {results.name: results for results in chunk.results}
        for attribute, place, own, label in self._groups:
            if attribute.name not in by_name:
                continue
            results = by_name[attribute.name]
            reference = chunk.partner[results.items]
            within = chunk.labels[attribute.name][reference, place] == label
            column, reference = attribute.columns[place], reference[within]
            made, given = results.logits[within, own], chunk.logits[reference, own]
            self._correlation(column, label, "correlation").add(given, made)
            if column in self._degrees:
                true = self._degrees[column][chunk.indices[reference]]
                self._correlation(column, label, "true").add(true, made)
                self._correlation(column, label, "true_real").add(true, given)

    def _correlation(self, column: str, label: int, kind: str) -> "Correlation":
        return self._sums.setdefault((column, label, kind), Correlation())

    def result(self) -> dict[str, list[dict[str, Any]]]:
        """By attribute: column, label, pairs, correlation; where the true degree is known, true (of the result's
        logit with it) and true_real (of the reference's own, the ceiling)."""
        table: dict[str, list[dict[str, Any]]] = {}
        for attribute, place, _, label in self._groups:
            column = attribute.columns[place]
            row: dict[str, Any] = {
                "column": column,
                "label": label,
                "pairs": self._correlation(column, label, "correlation").count,
                "correlation": self._correlation(column, label, "correlation").value(),
            }
            if column in self._degrees:
                row |= {kind: self._correlation(column, label, kind).value() for kind in ("true", "true_real")}
            table.setdefault(attribute.name, []).append(row)
        return table


class Correlation:
    """Pearson's correlation of pairs of numbers that come in parts."""

    def __init__(self) -> None:
        self.count = 0
        self._sums = np.zeros(2)
        self._products = np.zeros((2, 2))

    def add(self, x: NDArray[Any], y: NDArray[Any]) -> None:
        both = np.stack([x, y]).astype(np.float64)
        if not self.count and both.size:
            self._shift = both[:, :1]
        if both.size:
            both = both - self._shift
        self.count += both.shape[1]
        self._sums += both.sum(1)
        self._products += both @ both.T

    def value(self) -> float | None:
        """None for fewer than 3 pairs, or where either side does not vary."""
        if self.count < 3:
            return None
        spread = self._products - np.outer(self._sums, self._sums) / self.count
        # What rounding leaves of no variance at all.
        if (np.diag(spread) <= 1e-12 * np.diag(self._products)).any():
            return None
        return float(np.clip(spread[0, 1] / np.sqrt(spread[0, 0] * spread[1, 1]), -1, 1))


class Blending:
    """Each attribute alone, taken by 0, ¼, ½, ¾ and all of it, over the pairs whose labels differ.

    Progress is the judge's logits towards the reference: the sum over the attribute's columns of logit × (reference's
    label − photo's). A pair is **monotone** if progress never falls from step to step and is higher at the end than
    at the start. **Largest step** is its share of the whole way (the sum of all steps, up or down): ¼ where the steps
    are even, 1 where everything happens at once; over the pairs that move at all.
    """

    def __init__(self, codec: Codec, attributes: Sequence[Attribute], judge: Judge) -> None:
        self._codec = codec
        self._attributes = attributes
        self._judge = judge
        self._means = Means()

    def add(self, chunk: Chunk) -> None:
        by_name = {results.name: results for results in chunk.results if results.name != ALL}
        for attribute in self._attributes:
            if attribute.name not in by_name:
                continue
            results = by_name[attribute.name]
            photo, reference = results.items, chunk.partner[results.items]
            labels = chunk.labels[attribute.name].astype(np.float64)
            towards = labels[reference] - labels[photo]
            codes, drawn, references = chunk.codes[photo], chunk.drawn[photo], chunk.codes[reference]
            logits = [chunk.rebuilt_logits[photo]]
            for amount in STEPS[1:-1]:
                take, strength = {attribute.name: references}, {attribute.name: amount}
                mixed = edited(self._codec, codes, take, strength, chunk.confined, drawn)
                logits.append(self._judge.logits(as_saved(mixed)))
            logits.append(results.logits)
            own = self._judge.own(attribute)
            progress = np.stack([(step[:, own] * towards).sum(1) for step in logits])
            self._means.add(attribute.name, **steps_of(progress))

    def result(self) -> dict[str, dict[str, Any]]:
        """By attribute: pairs, monotone, largest_step."""
        return {
            a.name: {
                "pairs": self._means.count(a.name, "monotone"),
                **self._means.of(a.name, ("monotone", "largest_step")),
            }
            for a in self._attributes
        }


def steps_of(progress: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """`monotone` (bool) of each pair and `largest_step` of those that move, from progress, steps × pairs."""
    steps = np.diff(progress, axis=0)
    way = np.abs(steps).sum(0)
    moves = way > 0
    return {
        "monotone": (steps >= 0).all(0) & (progress[-1] > progress[0]),
        "largest_step": np.abs(steps[:, moves]).max(0) / way[moves],
    }
