"""What an attribute is, and which channels of the embedding are its latent unit."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from traitswap.errors import TraitswapError, nearest

_NAME = re.compile(r"[A-Za-z0-9_]+")


@dataclass(frozen=True)
class Attribute:
    """One thing that can be transferred: a name, and the label columns (0 or 1 each) that describe it.

    `smiling` has one column; `hair_color` has one for each colour, and a face with none of them is a class of
    its own.
    """

    name: str
    columns: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}={','.join(self.columns)}"


def parse_attribute(text: str) -> Attribute:
    """`hair_color=Black_Hair,Blond_Hair` → an `Attribute`; a bare `Smiling` is an attribute of its own column."""
    name, _, columns = text.strip().partition("=")
    attribute = Attribute(name.strip(), tuple(c.strip() for c in (columns or name).split(",")))
    check_attributes([attribute])
    return attribute


def attributes_from(table: Mapping[str, Sequence[str]]) -> tuple[Attribute, ...]:
    """The attributes of a settings table `{name: [columns]}`, in its order."""
    attributes = tuple(Attribute(name, tuple(columns)) for name, columns in table.items())
    check_attributes(attributes)
    return attributes


def check_attributes(attributes: Sequence[Attribute]) -> None:
    """Raises `TraitswapError` where names are unusable, or a name or column is used twice."""
    if not attributes:
        raise TraitswapError("no attribute is given; give at least one, such as smiling=Smiling")
    seen: set[str] = set()
    for attribute in attributes:
        if not _NAME.fullmatch(attribute.name):
            raise TraitswapError(
                f"'{attribute.name}' cannot be an attribute's name; expected letters, digits and _, as in "
                "hair_color=Black_Hair,Blond_Hair,Brown_Hair"
            )
        for column in attribute.columns:
            if not column:
                raise TraitswapError(f"attribute '{attribute.name}' has an empty label column; expected {attribute}")
            if column in seen:
                raise TraitswapError(f"label column '{column}' is given twice; a column belongs to one attribute")
            seen.add(column)
    names = [a.name for a in attributes]
    for name in names:
        if names.count(name) > 1:
            raise TraitswapError(f"attribute '{name}' is given twice")


@dataclass(frozen=True)
class Layout:
    """How the channels of an embedding are cut: one unit an attribute, in order, then the rest."""

    attributes: tuple[Attribute, ...]
    unit_channels: int
    rest_channels: int

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(a.name for a in self.attributes)

    @property
    def columns(self) -> tuple[str, ...]:
        """The label columns of all attributes, in order."""
        return tuple(column for a in self.attributes for column in a.columns)

    @property
    def swapped_channels(self) -> int:
        return len(self.attributes) * self.unit_channels

    @property
    def channels(self) -> int:
        return self.swapped_channels + self.rest_channels

    def index(self, name: str) -> int:
        """The attribute's position; raises `TraitswapError` that offers the near names."""
        if name not in self.names:
            raise TraitswapError(f"this model has no attribute '{name}'; {nearest(name, self.names)}")
        return self.names.index(name)

    def unit(self, name: str) -> slice:
        """The channels of the attribute's unit."""
        start = self.index(name) * self.unit_channels
        return slice(start, start + self.unit_channels)

    def channel_attribute(self) -> list[int]:
        """For each channel that can be swapped, the position of its attribute."""
        return [i for i in range(len(self.attributes)) for _ in range(self.unit_channels)]

    def column_attribute(self) -> list[int]:
        """For each of `columns`, the position of its attribute."""
        return [i for i, a in enumerate(self.attributes) for _ in a.columns]

    def check_names(self, names: Iterable[str]) -> None:
        for name in names:
            self.index(name)

    def check_budget(self, trunk: int, pooled: bool = False) -> None:
        """Raises `TraitswapError` unless the embedding fits the network's trunk of `trunk` channels.

        What comes from the trunk is a linear map of it: more channels than it has could not be independent. `pooled`
        units come from elsewhere, so that only the rest has to fit.
        """
        units = 0 if pooled else self.swapped_channels
        if units + self.rest_channels > trunk:
            room = max((trunk - self.rest_channels) // self.unit_channels, 0)
            raise TraitswapError(
                f"{len(self.attributes)} attributes × {self.unit_channels} channels + {self.rest_channels} for the "
                f"rest = {self.channels}, but the network's trunk has {trunk}: "
                + ("" if pooled else f"take at most {room} attributes, or set network.unit_channels lower, or ")
                + "set network.rest_channels lower, or the last of network.widths higher"
            )
