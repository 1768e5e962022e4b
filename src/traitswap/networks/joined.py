"""Generators that learnt different attributes, as one: each adds its own change to the photo."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from traitswap.attributes import Layout
from traitswap.networks.autoencoder import Generator, everywhere
from traitswap.networks.transfer import TransferNetwork


class _Places(NamedTuple):
    """Where in the joined embedding the channels of one member are."""

    units: tuple[slice, ...]
    rest: slice


class JoinedGenerator(TransferNetwork):
    """Its embedding has the units that are taken of each member, in their order, then what else each has: units of
    attributes that are taken of another, which never move, and what it knows of the rest."""

    def __init__(self, members: Sequence[Generator], given: Sequence[Sequence[str]], layout: Layout) -> None:
        super().__init__(layout)
        self.members = nn.ModuleList(members)
        self._places: list[_Places] = []
        end = layout.swapped_channels
        for member, names in zip(members, given, strict=True):
            units = tuple(
                layout.unit(name) if name in names else slice(end, end := end + layout.unit_channels)
                for name in member.layout.names
            )
            self._places.append(_Places(units, slice(end, end := end + member.layout.rest_channels)))

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        parts: list[tuple[slice, Tensor]] = []
        for member, places in zip(self._members(), self._places, strict=True):
            units, rest = member.encoder.apart(x)
            each = torch.split(everywhere(units, rest), member.layout.unit_channels, 1)
            parts += [*zip(places.units, each, strict=True), (places.rest, rest)]
        return torch.cat([part for _, part in sorted(parts, key=lambda placed: placed[0].start)], 1)

    def decode(self, embedding: Tensor, photo: Tensor, own: Tensor | None = None) -> Tensor:
        return sum(self.changes(embedding, photo, own), photo).clamp(-1, 1)

    def changes(self, embedding: Tensor, photo: Tensor, own: Tensor | None = None) -> list[Tensor]:
        """What each member adds to the photo, N × 3 × S × S each; as `decode`."""
        found = []
        for member, places in zip(self._members(), self._places, strict=True):
            units = torch.cat([embedding[:, place] for place in places.units], 1)
            its_own = None
            if own is not None:
                # What never moves is the photo's own in the embedding, too.
                moving = self.layout.swapped_channels
                sources = [own if place.stop <= moving else embedding for place in places.units]
                its_own = torch.cat([s[:, place] for s, place in zip(sources, places.units, strict=True)], 1)
            found.append(member.decode_apart(units, embedding[:, places.rest], photo, its_own) - photo)
        return found

    def parts(self) -> dict[str, nn.Module]:
        return {
            f"{i}.{name}": part for i, member in enumerate(self._members()) for name, part in member.parts().items()
        }

    def _members(self) -> list[Generator]:
        return [member for member in self.members if isinstance(member, Generator)]
