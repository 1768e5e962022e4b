import pytest
from hypothesis import given
from hypothesis import strategies as st

from traitswap.attributes import Attribute, Layout, attributes_from, parse_attribute
from traitswap.errors import TraitswapError

HAIR = Attribute("hair_color", ("Black_Hair", "Blond_Hair", "Brown_Hair"))


def test_an_attribute_reads_as_it_prints():
    assert parse_attribute(" hair_color=Black_Hair, Blond_Hair,Brown_Hair") == HAIR
    assert parse_attribute(str(HAIR)) == HAIR


def test_a_bare_column_is_an_attribute_of_that_name():
    assert parse_attribute("Bangs") == Attribute("Bangs", ("Bangs",))


@pytest.mark.parametrize("text", ["", "=Smiling", "a b=Smiling", "hair=Black_Hair,", "hair=,"])
def test_unusable_attributes_are_refused(text):
    with pytest.raises(TraitswapError, match=r"cannot be an attribute's name|empty label column"):
        parse_attribute(text)


def test_a_column_belongs_to_one_attribute():
    with pytest.raises(TraitswapError, match="'Smiling' is given twice"):
        attributes_from({"smile": ["Smiling"], "grin": ["Smiling"]})


@given(st.integers(1, 8), st.integers(1, 32), st.integers(1, 200))
def test_units_and_rest_tile_the_channels(count, unit, rest):
    layout = Layout(tuple(Attribute(f"a{i}", (f"c{i}",)) for i in range(count)), unit, rest)
    covered = [c for name in layout.names for c in range(layout.channels)[layout.unit(name)]]
    assert covered == list(range(layout.swapped_channels))
    assert layout.channels - layout.swapped_channels == rest
    assert [layout.names[i] for i in layout.channel_attribute()] == [n for n in layout.names for _ in range(unit)]


def test_the_channel_budget_says_what_fits():
    layout = Layout(tuple(Attribute(f"a{i}", (f"c{i}",)) for i in range(7)), 16, 160)
    layout.check_budget(272)
    with pytest.raises(TraitswapError, match=r"7 attributes × 16 channels \+ 160 .* = 272.*at most 6 attributes"):
        layout.check_budget(256)


def test_a_wrong_name_offers_the_near_one():
    layout = Layout((HAIR, Attribute("smiling", ("Smiling",))), 16, 160)
    with pytest.raises(TraitswapError, match="no attribute 'smilling'; did you mean smiling"):
        layout.unit("smilling")
