"""Fréchet and kernel distance between two sets of features: the definitions, in float64."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traitswap.errors import TraitswapError


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Mean (D) and unbiased covariance (D × D) of `count` features."""

    count: int
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @cached_property
    def root(self) -> NDArray[np.float64]:
        """The symmetric square root of the covariance."""
        values, vectors = np.linalg.eigh(self.covariance)
        root: NDArray[np.float64] = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
        return root


class Moments:
    """Mean and covariance of features that come in parts; memory is D² numbers, however many come.

    Sums are taken about the first part's mean, so that a large common offset costs no digits.
    """

    def __init__(self) -> None:
        self.count = 0

    def add(self, features: NDArray[Any]) -> None:
        """Features N × D; D is that of the first part."""
        if not len(features):
            return
        wide = features.astype(np.float64)
        if not self.count:
            self._shift = wide.mean(0)
            self._sum = np.zeros_like(self._shift)
            self._products = np.zeros((len(self._shift),) * 2)
        wide -= self._shift
        self.count += len(wide)
        self._sum += wide.sum(0)
        self._products += wide.T @ wide

    def gaussian(self) -> Gaussian:
        """Raises `TraitswapError` for fewer than two features, which have no covariance."""
        if self.count < 2:
            raise TraitswapError(f"a Fréchet distance needs at least 2 images on each side; there are {self.count}")
        mean = self._sum / self.count
        covariance = (self._products - self.count * np.outer(mean, mean)) / (self.count - 1)
        return Gaussian(self.count, mean + self._shift, covariance)


# |μ₁ − μ₂|² + Tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½): Heusel et al. 2017, "GANs trained by a two time-scale update rule"
def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """The Fréchet distance of two Gaussians of the same dimension; 0 for equal ones."""
    # Tr (Σ₁Σ₂)^½ is the sum of the singular values of Σ₁^½ Σ₂^½: nothing complex, and exact where a Σ is singular.
    cross = np.linalg.svd(one.root @ other.root, compute_uv=False).sum()
    apart = np.square(one.mean - other.mean).sum()
    distance = apart + np.trace(one.covariance) + np.trace(other.covariance) - 2 * cross
    return max(float(distance), 0.0)


# The unbiased estimate of MMD² with k(x, y) = (x·y / D + 1)³: Bińkowski et al. 2018, "Demystifying MMD GANs"
def kernel_distance(x: NDArray[Any], y: NDArray[Any]) -> float:
    """The kernel distance of features N × D and M × D, N and M at least 2. Around 0, and as often below, for samples
    of the same distribution."""
    x, y = x.astype(np.float64), y.astype(np.float64)

    def kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        cubed: NDArray[np.float64] = (a @ b.T / a.shape[1] + 1) ** 3
        return cubed

    def within(a: NDArray[np.float64]) -> float:
        k, n = kernel(a, a), len(a)
        return float((k.sum() - np.trace(k)) / (n * (n - 1)))

    return within(x) + within(y) - 2 * float(kernel(x, y).mean())


def kernel_estimates(x: NDArray[Any], y: NDArray[Any], size: int) -> list[float]:
    """`kernel_distance` on disjoint subsets of `size` features each (two smaller ones where there are too few for
    that, none below 4): independent, so that their spread gives the standard error of their mean."""
    count = min(len(x), len(y))
    size = min(size, count // 2)
    if size < 2:
        return []
    starts = range(0, count - size + 1, size)
    return [kernel_distance(x[i : i + size], y[i : i + size]) for i in starts]


def mean_and_error(estimates: list[float]) -> tuple[float | None, float | None]:
    """The mean of independent estimates and its standard error, None without enough of them."""
    if not estimates:
        return None, None
    error = float(np.std(estimates, ddof=1) / np.sqrt(len(estimates))) if len(estimates) > 1 else None
    return float(np.mean(estimates)), error
