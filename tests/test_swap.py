import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from traitswap.attributes import Attribute, Layout
from traitswap.codec import Codes
from traitswap.errors import TraitswapError
from traitswap.swap import blend, exchange

LAYOUT = Layout(tuple(Attribute(name, (name.upper(),)) for name in ("hair", "smile", "bangs")), 2, 3)
NAMES = st.lists(st.sampled_from(LAYOUT.names), unique=True)
EMBEDDINGS = arrays(
    np.float32, (2, LAYOUT.channels, 3, 3), elements=st.floats(-(2.0**99), 2.0**99, width=32, allow_subnormal=False)
)


def bits(array):
    return np.asarray(array).view(np.uint32)


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
@given(a=EMBEDDINGS, b=EMBEDDINGS, names=NAMES)
def test_exchanging_twice_is_the_identity_bit_for_bit(kind, a, b, names):
    first, second = kind(a), kind(b)
    again = exchange(*exchange(first, second, LAYOUT, names), LAYOUT, names)
    assert (bits(again[0]) == bits(a)).all()
    assert (bits(again[1]) == bits(b)).all()
    assert (bits(first) == bits(a)).all(), "what was given must not change"


@given(a=EMBEDDINGS, b=EMBEDDINGS, names=NAMES)
def test_only_the_named_units_are_exchanged(a, b, names):
    first, second = exchange(a, b, LAYOUT, names)
    for name in LAYOUT.names:
        unit = LAYOUT.unit(name)
        own, other = (b, a) if name in names else (a, b)
        assert (bits(first[:, unit]) == bits(own[:, unit])).all()
        assert (bits(second[:, unit]) == bits(other[:, unit])).all()
    rest = slice(LAYOUT.swapped_channels, None)
    assert (bits(first[:, rest]) == bits(a[:, rest])).all()


@given(a=EMBEDDINGS, b=EMBEDDINGS, strength=st.floats(0, 1))
def test_a_blend_lies_between_and_ends_at_the_exchange(a, b, strength):
    result = blend(a, {"smile": b}, LAYOUT, {"smile": strength})
    unit = LAYOUT.unit("smile")
    low, high = np.minimum(a, b)[:, unit], np.maximum(a, b)[:, unit]
    slack = 1e-5 * np.maximum(abs(low), abs(high))
    assert (result[:, unit] >= low - slack).all()
    assert (result[:, unit] <= high + slack).all()
    assert (np.delete(result, range(*unit.indices(99)), 1) == np.delete(a, range(*unit.indices(99)), 1)).all()
    assert (bits(blend(a, {"smile": b}, LAYOUT, {})) == bits(exchange(a, b, LAYOUT, ["smile"])[0])).all()
    assert (bits(blend(a, {"smile": b}, LAYOUT, {"smile": 0})) == bits(a)).all()


@given(a=EMBEDDINGS, b=EMBEDDINGS)
def test_more_than_the_reference_goes_on_the_same_way(a, b):
    unit = LAYOUT.unit("smile")
    result = blend(a, {"smile": b}, LAYOUT, {"smile": 1.5})[:, unit]
    slack = 1e-5 * np.maximum(abs(a), abs(b))[:, unit]
    assert (np.abs(result - b[:, unit] - (b - a)[:, unit] / 2) <= slack).all()


def test_codes_swap_and_keep_their_own_photos():
    rng = np.random.default_rng(0)
    one, two = (
        Codes(
            rng.normal(size=(1, LAYOUT.channels, 2, 2)).astype(np.float32),
            rng.normal(size=(1, 3, 8, 8)).astype(np.float32),
            LAYOUT,
        )
        for _ in range(2)
    )
    first, second = one.swap(two, ["hair"])
    assert first.photo is one.photo
    assert second.photo is two.photo
    assert (first.embedding == one.blend({"hair": two}).embedding).all()
    with pytest.raises(TraitswapError, match="no attribute 'hare'; did you mean hair"):
        one.swap(two, ["hare"])


def test_codes_know_their_photos_units_whatever_they_take():
    rng = np.random.default_rng(0)
    shape = (2, LAYOUT.channels, 2, 2)
    one, two = (
        Codes(rng.normal(size=shape).astype(np.float32), np.zeros((2, 3, 8, 8), np.float32), LAYOUT) for _ in "ab"
    )
    units = [codes.embedding[:, : LAYOUT.swapped_channels] for codes in (one, two)]
    taken = one.blend({"hair": two}).blend({"smile": two}, {"smile": 0.5})
    assert (one.own == units[0]).all()
    assert (taken.own == units[0]).all()
    assert (taken[1:].own == units[0][1:]).all()
    first, second = one.swap(two, ["hair", "smile"])
    assert (first.own == units[0]).all()
    assert (second.own == units[1]).all()
