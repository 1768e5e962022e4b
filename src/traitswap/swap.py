"""Exchange, blend, zero: what is done to embeddings. Pure functions on numpy arrays and torch tensors alike."""

from collections.abc import Iterable, Mapping
from typing import Any

from traitswap.attributes import Layout


def exchange(embedding: Any, other: Any, layout: Layout, names: Iterable[str]) -> tuple[Any, Any]:
    """Both embeddings (… × C × h × w) with the named units exchanged; all other channels are bit-identical.

    Doing it twice gives back what was there.
    """
    first, second = _copy(embedding), _copy(other)
    for name in names:
        unit = layout.unit(name)
        first[..., unit, :, :] = other[..., unit, :, :]
        second[..., unit, :, :] = embedding[..., unit, :, :]
    return first, second


def blend(embedding: Any, references: Mapping[str, Any], layout: Layout, strength: Mapping[str, Any]) -> Any:
    """The embedding with each named unit moved towards that of its reference: (1 − s) own + s reference.

    `references` maps an attribute's name to an embedding of the same shape; `strength` gives s (default 1, which
    is the exchange itself, bit for bit; 0 changes nothing), a number, or a tensor that wants its gradient.
    """
    result = _copy(embedding)
    for name, reference in references.items():
        unit = layout.unit(name)
        s = strength.get(name, 1.0)
        exact = not getattr(s, "requires_grad", False)
        if exact and s == 1.0:
            result[..., unit, :, :] = reference[..., unit, :, :]
        elif not (exact and s == 0.0):
            result[..., unit, :, :] = (1.0 - s) * embedding[..., unit, :, :] + s * reference[..., unit, :, :]
    return result


def zero(embedding: Any, layout: Layout, names: Iterable[str]) -> Any:
    """The embedding with the named units set to 0: what DNA-GAN calls annihilating."""
    result = _copy(embedding)
    for name in names:
        _clear(result[..., layout.unit(name), :, :])
    return result


def _copy(array: Any) -> Any:
    return array.clone() if hasattr(array, "clone") else array.copy()


def _clear(part: Any) -> None:
    """In place. A number assigned to a part of a tensor would travel to its GPU."""
    if hasattr(part, "zero_"):
        part.zero_()
    else:
        part[...] = 0.0
