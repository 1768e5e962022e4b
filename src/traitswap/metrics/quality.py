"""Image quality: how far results are from real faces in the features of a frozen network, beside real from real."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traitswap.metrics.chunks import ALL, Chunk, Features
from traitswap.metrics.distances import (
    Gaussian,
    Moments,
    frechet_distance,
    kernel_estimates,
    mean_and_error,
)

SUBSET = 50
"""Images in a subset of the kernel distance. It is unbiased, so its value does not depend on this."""

KEPT = 1000
"""Features kept of each set for the kernel distance: the first, in the order of the pairs, which is random."""

Halves = tuple["FeatureSet", "FeatureSet"]


class FeatureSet:
    """Features of images that come in parts: their moments, and the first `KEPT` of them."""

    def __init__(self) -> None:
        self.moments = Moments()
        self._parts: list[NDArray[np.float32]] = []

    def add(self, features: NDArray[np.float32]) -> None:
        room = KEPT - sum(map(len, self._parts))
        self.moments.add(features)
        if room > 0 and len(features):
            self._parts.append(features[:room])

    @property
    def kept(self) -> NDArray[np.float32]:
        return np.concatenate(self._parts) if self._parts else np.zeros((0, 1), np.float32)


class Quality:
    """Collects chunks of transfers; memory does not grow with their number.

    Results whose photo is of half A are compared with the real faces of half B, and the reverse; the two distances are
    averaged. So no result is compared with the photo it was made from, and the **floor** is what the results' own
    photos get, untouched: real against real, other people, the same counts. "pooled" is the paper's count instead:
    all results of both halves against all real faces of both, their own photos among them.
    """

    def __init__(self, network: Features, name: str, names: Sequence[str]) -> None:
        self._network = network
        self._name = name
        self._real: Halves = (FeatureSet(), FeatureSet())
        self._results: dict[str, Halves] = {name: (FeatureSet(), FeatureSet()) for name in (*names, ALL)}
        self._photos: dict[str, Halves] = {name: (FeatureSet(), FeatureSet()) for name in (*names, ALL)}
        self._pooled: dict[str, Moments] = {name: Moments() for name in self._results}
        self._pooled_real = Moments()

    def add(self, chunk: Chunk) -> None:
        real, middle = self._network(chunk.faces), len(chunk.faces) // 2
        self._pooled_real.add(real)
        for features, half in zip((real[:middle], real[middle:]), self._real, strict=True):
            half.add(features)
        for results in chunk.results:
            made = self._network(results.faces)
            self._pooled[results.name].add(made)
            for place, mine in enumerate((results.items < middle, results.items >= middle)):
                self._results[results.name][place].add(made[mine])
                self._photos[results.name][place].add(real[results.items[mine]])

    def result(self, seed: int) -> dict[str, dict[str, Any]]:
        """By attribute and for `ALL`: count; frechet_<network> and kernel_<network>, alone and with _floor; the
        kernel's with _error; frechet_<network>_pooled. None where a half has too few results.

        `seed` orders the real faces into subsets for the kernel distance.
        """
        real = [half.moments.gaussian() if half.moments.count > 1 else None for half in self._real]
        pooled = self._pooled_real.gaussian()
        # In another order than the results: theirs has each reference beside its result.
        rng = np.random.default_rng(seed)
        others = [half.kept[rng.permutation(len(half.kept))] for half in self._real]
        frechet, kernel = f"frechet_{self._name}", f"kernel_{self._name}"
        table = {}
        for name, halves in self._results.items():
            moments = self._pooled[name]
            row: dict[str, Any] = {"count": moments.count}
            for end, sets in (("", halves), ("_floor", self._photos[name])):
                row[frechet + end] = _across(sets, real)
                estimates = [
                    value
                    for made, opposite in zip(sets, others[::-1], strict=True)
                    for value in kernel_estimates(made.kept, opposite, SUBSET)
                ]
                row[kernel + end], row[f"{kernel}{end}_error"] = mean_and_error(estimates)
            row[f"{frechet}_pooled"] = frechet_distance(moments.gaussian(), pooled) if moments.count > 1 else None
            table[name] = row
        return table

    @property
    def dimension(self) -> int:
        return len(self._pooled_real.gaussian().mean)


def _across(sets: Halves, real: Sequence[Gaussian | None]) -> float | None:
    """Half A against real B and half B against real A, averaged."""
    distances = [
        frechet_distance(made.moments.gaussian(), other)
        for made, other in zip(sets, real[::-1], strict=True)
        if made.moments.count > 1 and other is not None
    ]
    return float(np.mean(distances)) if len(distances) == 2 else None


def few_images(name: str, count: int, dimension: int) -> str | None:
    """A warning where a covariance has more dimensions than images: the distance is then mostly bias."""
    if count >= dimension:
        return None
    return (
        f"{name}: {count:,} images on a side are fewer than the {dimension:,} features: the Fréchet distance is biased "
        "upwards; compare it with its floor, or use the kernel distance"
    )
