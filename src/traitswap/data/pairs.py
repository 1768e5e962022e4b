"""Which images a step sees: a pure function of (seed, position), so that a resumed run goes on exactly."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from traitswap.errors import TraitswapError


def images_at(count: int, seed: int, position: int, length: int) -> NDArray[np.int64]:
    """Items `position` … `position + length` of an endless sequence of shuffles of 0 … `count` − 1.

    The first half of a batch is paired with the second, so both of a pair are random.
    """
    if count < 2:
        raise TraitswapError(f"pairs need at least 2 images; there are {count}")
    wanted = np.arange(position, position + length)
    picks = [
        _shuffle(count, seed, int(epoch))[wanted[wanted // count == epoch] % count]
        for epoch in np.unique(wanted // count)
    ]
    return np.concatenate(picks)


@lru_cache(maxsize=32)  # DNA-GAN walks two sequences an attribute
def _shuffle(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(count)


def held_out_pairs(indices: NDArray[np.int64], pairs: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The paper's protocol: `indices` shuffled, halved into A and B and paired one to one; at most `pairs` pairs."""
    order = np.random.default_rng(seed).permutation(indices)
    half = min(len(order) // 2, pairs)
    if half == 0:
        raise TraitswapError(f"pairs need at least 2 held-out images; there are {len(indices)}")
    middle = len(order) // 2
    return order[:half], order[middle : middle + half]
