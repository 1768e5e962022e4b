"""Generators that learnt different attributes, as one: each adds its own change to the photo."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from traitswap.attributes import Layout
from traitswap.networks.autoencoder import Generator
from traitswap.networks.transfer import TransferNetwork


class JoinedGenerator(TransferNetwork):
    """Its embedding has the units that are taken of each member, in their order, then what else each has: units of
    attributes that are taken of another, which never move, and what it knows of the rest."""

    def __init__(self, members: Sequence[Generator], given: Sequence[Sequence[str]], layout: Layout) -> None:
        super().__init__(layout)
        self.members = nn.ModuleList(members)
        self.given = given

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        units: list[Tensor] = []
        others: list[Tensor] = []
        for member, given in zip(self._members(), self.given, strict=True):
            embedding = member.encode(x)
            for name in member.layout.names:
                (units if name in given else others).append(embedding[:, member.layout.unit(name)])
            others.append(embedding[:, member.layout.swapped_channels :])
        return torch.cat([*units, *others], 1)

    def decode(self, embedding: Tensor, photo: Tensor, own: Tensor | None = None) -> Tensor:
        result = photo
        other = self.layout.swapped_channels  # where what is not taken of the member begins
        for member, given in zip(self._members(), self.given, strict=True):
            cut, owns = [], []
            for name in member.layout.names:
                taken = name in given
                unit = self.layout.unit(name) if taken else slice(other, other + self.layout.unit_channels)
                other = other if taken else unit.stop
                cut.append(embedding[:, unit])
                owns.append((embedding if own is None or not taken else own)[:, unit])
            cut.append(embedding[:, other : other + member.layout.rest_channels])
            other += member.layout.rest_channels
            known = None if own is None else torch.cat(owns, 1)
            result = result + (member.decode(torch.cat(cut, 1), photo, known) - photo)
        return result.clamp(-1, 1)

    def parts(self) -> dict[str, nn.Module]:
        return {
            f"{i}.{name}": part for i, member in enumerate(self._members()) for name, part in member.parts().items()
        }

    def _members(self) -> list[Generator]:
        return [member for member in self.members if isinstance(member, Generator)]
