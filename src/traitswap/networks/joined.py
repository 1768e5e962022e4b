"""Generators that learnt different attributes, as one: each adds its own change to the photo."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from traitswap.attributes import Layout
from traitswap.networks.autoencoder import Generator
from traitswap.networks.transfer import TransferNetwork


class JoinedGenerator(TransferNetwork):
    """Its embedding has the units of all members in their order, then what each knows of the rest."""

    def __init__(self, members: Sequence[Generator], layout: Layout) -> None:
        super().__init__(layout)
        self.members = nn.ModuleList(members)

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        units, rests = [], []
        for member in self._members():
            embedding = member.encode(x)
            units.append(member.units(embedding))
            rests.append(embedding[:, member.layout.swapped_channels :])
        return torch.cat([*units, *rests], 1)

    def decode(self, embedding: Tensor, photo: Tensor, own: Tensor | None = None) -> Tensor:
        members = self._members()
        counts = [member.layout.swapped_channels for member in members]
        rests = [member.layout.rest_channels for member in members]
        cut = torch.split(embedding, [*counts, *rests], 1)
        owns = [None] * len(members) if own is None else torch.split(own, counts, 1)
        result = photo
        for i, member in enumerate(members):
            codes = torch.cat([cut[i], cut[len(members) + i]], 1)
            result = result + (member.decode(codes, photo, owns[i]) - photo)
        return result.clamp(-1, 1)

    def parts(self) -> dict[str, nn.Module]:
        return {
            f"{i}.{name}": part for i, member in enumerate(self._members()) for name, part in member.parts().items()
        }

    def _members(self) -> list[Generator]:
        return [member for member in self.members if isinstance(member, Generator)]
