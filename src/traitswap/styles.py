"""Style prototypes: typical units of every label, stored beside the weights, that stand in for a reference photo."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from traitswap.attributes import Attribute, Layout
from traitswap.checkpoint import load_tensors, write_tensors
from traitswap.codec import Codes, FloatArray
from traitswap.errors import TraitswapError, nearest
from traitswap.files import written_whole

STYLES_NAME = "styles.safetensors"
MARK = "@"
"""What a style's name begins with where a photo could stand; a file of such a name is ./@name."""


@dataclass(frozen=True)
class Styles:
    """For each attribute, its styles by name ("blond", "blond-2", …, the most typical first): units U × h × w.

    h and w are 1 where a unit is alike at every place.
    """

    units: Mapping[str, Mapping[str, FloatArray]]

    def names(self, attribute: str) -> tuple[str, ...]:
        # A file of tensors does not keep their order.
        return tuple(sorted(self.units.get(attribute, ())))

    def codes(self, attribute: str, style: str, layout: Layout, size: int) -> Codes:
        """A reference for `Codes.blend`, of faces of this size.

        Raises `TraitswapError` if there is no such style.
        """
        known = self.units.get(attribute, {})
        if style not in known:
            offer = nearest(style, known, MARK) if known else "it has none: traitswap find-styles makes them"
            raise TraitswapError(f"this model has no style '{MARK}{style}' of {attribute}; {offer}")
        return unit_codes(attribute, known[style], layout, size)


def unit_codes(attribute: str, unit: FloatArray, layout: Layout, size: int) -> Codes:
    """Codes that have nothing but this unit (U × h × w) and no photo: a reference for `Codes.blend`."""
    embedding = np.zeros((1, layout.channels, *unit.shape[1:]), np.float32)
    embedding[0, layout.unit(attribute)] = unit
    return Codes(embedding, np.empty((0, 3, size, size), np.float32), layout)


def without_place(units: FloatArray) -> FloatArray:
    """N × U × 1 × 1 where each unit is alike at every place, as pooled units are; else as they are."""
    first = units[:, :, :1, :1]
    return first if np.array_equal(np.broadcast_to(first, units.shape), units) else units


def label_names(attribute: Attribute) -> dict[str, tuple[int, ...]]:
    """The attribute's classes by their styles' name → the labels of its columns: `hair_color` → black, blond, brown.

    An attribute of one column has two: `smiling` and `no-smiling`.
    """
    if len(attribute.columns) == 1:
        name = _short(attribute.columns[0], attribute.name)
        return {name: (1,), f"no-{name}": (0,)}
    return {
        _short(column, attribute.name): tuple(int(other == column) for other in attribute.columns)
        for column in attribute.columns
    }


def _short(column: str, attribute: str) -> str:
    """`Blond_Hair` of `hair_color` → blond."""
    words = column.lower().split("_")
    return "-".join([word for word in words if word not in attribute.lower().split("_")] or words)


def numbered(name: str, units: Sequence[FloatArray]) -> dict[str, FloatArray]:
    """`blond`, `blond-2`, …"""
    return {name if i == 0 else f"{name}-{i + 1}": unit for i, unit in enumerate(units)}


def save_styles(folder: Path, styles: Styles) -> None:
    """Writes the styles into a weights folder, whole or not at all."""
    arrays = {f"{attribute}/{name}": unit for attribute, units in styles.units.items() for name, unit in units.items()}
    with written_whole(folder / STYLES_NAME) as fresh:
        write_tensors(fresh, arrays)


def load_styles(folder: Path, layout: Layout) -> Styles:
    """The styles of a weights folder; none where it has no such file."""
    units: dict[str, dict[str, FloatArray]] = {}
    arrays = load_tensors(folder, STYLES_NAME) if (folder / STYLES_NAME).exists() else {}
    for key, unit in arrays.items():
        attribute, _, name = key.partition("/")
        layout.check_names([attribute])
        if unit.ndim != 3 or len(unit) != layout.unit_channels:
            raise TraitswapError(
                f"{folder / STYLES_NAME} holds a style of shape {unit.shape}; expected {layout.unit_channels} × h × w: "
                "it belongs to other weights, make it again with traitswap find-styles"
            )
        units.setdefault(attribute, {})[name] = unit
    return Styles(units)
