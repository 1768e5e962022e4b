"""Fréchet and kernel distance against closed forms, and what they refuse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traitswap.errors import TraitswapError
from traitswap.metrics.distances import (
    Gaussian,
    Moments,
    frechet_distance,
    kernel_distance,
    kernel_estimates,
    mean_and_error,
)
from traitswap.metrics.quality import few_images

COUNTS = st.integers(2, 40)
DIMENSIONS = st.integers(1, 12)
SEEDS = st.integers(0, 2**32 - 1)


def features(count, dimension, seed, offset=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, dimension)) @ rng.normal(size=(dimension, dimension)) + offset


def gaussian_of(array):
    moments = Moments()
    moments.add(array)
    return moments.gaussian()


@given(COUNTS, DIMENSIONS, SEEDS)
def test_frechet_is_zero_on_itself_and_symmetric(count, dimension, seed):
    one, other = gaussian_of(features(count, dimension, seed)), gaussian_of(features(count, dimension, seed + 1))
    scale = 1 + np.trace(one.covariance) + np.trace(other.covariance)
    assert frechet_distance(one, one) <= 1e-6 * scale
    assert frechet_distance(one, other) == pytest.approx(frechet_distance(other, one), abs=1e-6 * scale)


@given(st.lists(st.tuples(*[st.floats(0, 9)] * 2, st.floats(-3, 3)), min_size=1, max_size=6), SEEDS)
def test_frechet_equals_the_closed_form_on_gaussians_with_the_same_axes(axes, seed):
    """Covariances that commute: Σ (√λ − √μ)², plus the distance of the means."""
    first, second, apart = np.array(axes).T
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(axes),) * 2))[0]
    one = Gaussian(9, np.zeros(len(axes)), turn @ np.diag(first) @ turn.T)
    other = Gaussian(9, turn @ apart, turn @ np.diag(second) @ turn.T)
    expected = np.square(apart).sum() + np.square(np.sqrt(first) - np.sqrt(second)).sum()
    assert frechet_distance(one, other) == pytest.approx(expected, abs=1e-5)


def test_frechet_equals_the_closed_form_where_axes_differ():
    # Tr (Σ₁Σ₂)^½ of 2 × 2 matrices is √(Tr Σ₁Σ₂ + 2 √det Σ₁Σ₂).
    one, other = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[1.0, -0.3], [-0.3, 3.0]])
    cross = np.sqrt(np.trace(one @ other) + 2 * np.sqrt(np.linalg.det(one @ other)))
    expected = 5.0 + np.trace(one) + np.trace(other) - 2 * cross
    found = frechet_distance(Gaussian(9, np.zeros(2), one), Gaussian(9, np.array([1.0, 2.0]), other))
    assert found == pytest.approx(expected)


@given(COUNTS, DIMENSIONS, SEEDS, st.lists(st.integers(0, 40), max_size=5), st.sampled_from([0.0, 1e6]))
def test_streamed_moments_equal_those_of_all_at_once(count, dimension, seed, cuts, offset):
    array = features(count, dimension, seed, offset)
    moments = Moments()
    for part in np.split(array, sorted(min(cut, count) for cut in cuts)):
        moments.add(part)
    found = moments.gaussian()
    assert found.count == count
    np.testing.assert_allclose(found.mean, array.mean(0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.covariance, np.cov(array.T).reshape(dimension, dimension), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("count", [0, 1])
def test_frechet_needs_two_images(count):
    with pytest.raises(TraitswapError, match=f"at least 2 images on each side; there are {count}"):
        gaussian_of(features(count, 3, 0))


def test_a_covariance_with_more_dimensions_than_images_is_warned_of():
    assert few_images("smiling", 1000, 1000) is None
    assert "smiling: 999 images on a side are fewer than the 1,000 features" in few_images("smiling", 999, 1000)


def test_the_kernel_distance_by_hand():
    x, y = np.array([[1.0], [2.0]]), np.array([[0.0], [3.0]])
    # k(1, 2) = 27; k(0, 3) = 1; across: k(1, 0) = 1, k(1, 3) = 64, k(2, 0) = 1, k(2, 3) = 343.
    assert kernel_distance(x, y) == pytest.approx(27 + 1 - 2 * (1 + 64 + 1 + 343) / 4)
    # Products are means over features, so that as many again that say the same add nothing.
    assert kernel_distance(np.repeat(x, 2, 1), np.repeat(y, 2, 1)) == pytest.approx(kernel_distance(x, y))


def test_the_kernel_distance_is_unbiased():
    """The mean over many small samples of one distribution is 0 within its error; of two, what large samples give."""
    rng = np.random.default_rng(0)
    same = [kernel_distance(*rng.normal(size=(2, 5, 3))) for _ in range(4000)]
    mean, error = mean_and_error(same)
    assert abs(mean) < 4 * error
    assert min(same) < 0
    apart = [kernel_distance(rng.normal(size=(5, 3)), rng.normal(1, size=(5, 3))) for _ in range(4000)]
    mean, error = mean_and_error(apart)
    large = kernel_distance(rng.normal(size=(4000, 3)), rng.normal(1, size=(4000, 3)))
    assert mean == pytest.approx(large, abs=4 * error + 0.1 * large)
    assert mean > 10 * error


def test_the_standard_error_tells_how_far_the_estimates_spread():
    rng = np.random.default_rng(1)
    repeats = [mean_and_error(kernel_estimates(*rng.normal(size=(2, 200, 4)), 20)) for _ in range(100)]
    means, errors = np.array(repeats).T
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.3)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(2, 9))
def test_subsets_are_disjoint_and_none_are_made_of_too_few(first, second, size):
    x, y = features(first, 2, 0), features(second, 2, 1)
    count = len(kernel_estimates(x, y, size))
    least = min(first, second)
    assert count == 0 if least < 4 else count >= 2
    assert count * min(size, least // 2) <= least
