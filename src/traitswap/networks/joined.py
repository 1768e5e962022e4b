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

    order: Tensor
    place: Tensor

    def __init__(self, members: Sequence[Generator], given: Sequence[Sequence[str]], layout: Layout) -> None:
        super().__init__(layout)
        self.members = nn.ModuleList(members)
        units: list[int] = []
        others: list[int] = []
        start = 0
        for member, names in zip(members, given, strict=True):
            for name in member.layout.names:
                unit = member.layout.unit(name)
                (units if name in names else others).extend(range(start + unit.start, start + unit.stop))
            others.extend(range(start + member.layout.swapped_channels, start + member.layout.channels))
            start += member.layout.channels
        # Which channel of the members' embeddings side by side each of ours is; and where each of theirs is in ours.
        self.register_buffer("order", torch.tensor([*units, *others]), persistent=False)
        self.register_buffer("place", torch.argsort(self.order), persistent=False)

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return torch.cat([member.encode(x) for member in self._members()], 1).index_select(1, self.order)

    def decode(self, embedding: Tensor, photo: Tensor, own: Tensor | None = None) -> Tensor:
        return sum(self.changes(embedding, photo, own), photo).clamp(-1, 1)

    def changes(self, embedding: Tensor, photo: Tensor, own: Tensor | None = None) -> list[Tensor]:
        """What each member adds to the photo, N × 3 × S × S each; as `decode`."""
        members = self._members()
        counts = [member.layout.channels for member in members]
        codes = torch.split(embedding.index_select(1, self.place), counts, 1)
        owns: Sequence[Tensor | None] = [None] * len(members)
        if own is not None:
            # What never moves is the photo's own in the embedding, too.
            whole = torch.cat([own, embedding[:, self.layout.swapped_channels :]], 1).index_select(1, self.place)
            owns = [member.units(part) for member, part in zip(members, torch.split(whole, counts, 1), strict=True)]
        each = zip(members, codes, owns, strict=True)
        return [member.decode(its_codes, photo, its_own) - photo for member, its_codes, its_own in each]

    def parts(self) -> dict[str, nn.Module]:
        return {
            f"{i}.{name}": part for i, member in enumerate(self._members()) for name, part in member.parts().items()
        }

    def _members(self) -> list[Generator]:
        return [member for member in self.members if isinstance(member, Generator)]
