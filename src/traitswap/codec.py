"""The cut between using and training: whatever turns faces into codes and back, torch or not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from traitswap import swap
from traitswap.attributes import Layout

FloatArray = NDArray[np.float32]
LabelArray = NDArray[np.uint8]


@dataclass(frozen=True)
class Codes:
    """Encoded faces: embeddings N × C × s × s, cut as `layout` says, and the N × 3 × S × S faces they came from.

    Arrays are float32, faces in −1 … 1. A decoder with `residual` adds its change to `photo`, by how far each unit is
    from the photo's own.
    """

    embedding: FloatArray
    photo: FloatArray
    layout: Layout
    untaken: FloatArray | None = None
    """The units of `photo`, N × k·u × s × s, once others may have been taken; None as long as `embedding` has them."""

    def __len__(self) -> int:
        return len(self.embedding)

    def __getitem__(self, items: slice | NDArray[Any]) -> "Codes":
        untaken = None if self.untaken is None else self.untaken[items]
        return replace(self, embedding=self.embedding[items], photo=self.photo[items], untaken=untaken)

    @property
    def own(self) -> FloatArray:
        """The units of `photo`, N × k·u × s × s."""
        return self.embedding[:, : self.layout.swapped_channels] if self.untaken is None else self.untaken

    def swap(self, other: "Codes", names: Iterable[str]) -> tuple["Codes", "Codes"]:
        """Both with the named units exchanged, item by item."""
        first, second = swap.exchange(self.embedding, other.embedding, self.layout, names)
        return replace(self, embedding=first, untaken=self.own), replace(other, embedding=second, untaken=other.own)

    def blend(self, take: Mapping[str, "Codes"], strength: Mapping[str, float] | None = None) -> "Codes":
        """These with each named unit moved towards that of its reference; strength 1 (default) takes it whole."""
        self.layout.check_names(strength or {})
        references = {name: codes.embedding for name, codes in take.items()}
        embedding = swap.blend(self.embedding, references, self.layout, strength or {})
        return replace(self, embedding=embedding, untaken=self.own)


class Codec(Protocol):
    @property
    def layout(self) -> Layout: ...

    @property
    def size(self) -> int:
        """Height and width of a face, pixels."""
        ...

    def to(self, device: str) -> None:
        """Moves the networks to a device by torch's name; `TraitswapError` if there is none such."""
        ...

    def encode(self, faces: FloatArray, labels: LabelArray | None = None) -> Codes:
        """Faces (N × 3 × size × size, −1 … 1) → codes.

        `labels`: N × columns of 0 and 1 in the order of `layout.columns`, for the methods that need them (StarGAN);
        these raise `TraitswapError` where there are none.
        """
        ...

    def decode(self, codes: Codes) -> FloatArray:
        """Codes → faces (N × 3 × size × size, −1 … 1)."""
        ...


class Around(Codec):
    """Another codec's layout, size and device, for those that change how it encodes or decodes."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    @property
    def layout(self) -> Layout:
        return self._codec.layout

    @property
    def size(self) -> int:
        return self._codec.size

    def to(self, device: str) -> None:
        self._codec.to(device)
