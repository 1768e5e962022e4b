"""DNA-GAN (Xiao et al., 2017): an embedding cut into pieces, of which one is exchanged and annihilated at a time."""

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from traitswap.attributes import Layout
from traitswap.baselines import DNAGANNetwork
from traitswap.networks.transfer import TransferNetwork
from traitswap.swap import blend, zero

LEAK = 0.2


class DNAGANPass(NamedTuple):
    """Of a batch whose first half has the attributes that its second half lacks (`by_attribute`), in that order."""

    x_fake: Tensor
    """B_x, each B with A's piece, then A_e, each A with its piece zeroed: N × 3 × S × S."""
    x_rec: Tensor | None
    """A′, then B′ (from B with its piece zeroed): N × 3 × S × S."""


class DNAGANGenerator(TransferNetwork):
    def __init__(self, settings: DNAGANNetwork, layout: Layout) -> None:
        super().__init__(layout)
        widths = settings.widths
        self.encoder = nn.Sequential(*_down((3, *widths)))
        up = (widths[-1], *widths[:0:-1])
        layers: list[nn.Module] = []
        for a, b in pairwise(up):
            layers += [nn.ConvTranspose2d(a, b, 4, stride=2, padding=1, bias=False), _norm(b), nn.ReLU(inplace=True)]
        self.decoder = nn.Sequential(*layers, nn.ConvTranspose2d(up[-1], 3, 4, stride=2, padding=1))
        self.apply(_initialize)

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        embedding: Tensor = self.encoder(x)
        return embedding

    def decode(self, embedding: Tensor, photo: Tensor | None = None, own: Tensor | None = None) -> Tensor:
        return torch.tanh(self.decoder(embedding).float())

    def forward(self, x: Tensor, rebuild: bool) -> DNAGANPass:
        """The faces of a step, as `by_attribute` cuts them. All are encoded together: so are those of use, and
        batch normalization over faces that all smile would take the smile away."""
        embedding = self.encoder(x)
        given, without, erased = [], [], []
        for name, a, b in by_attribute(embedding, self.layout):
            given.append(blend(b, {name: a}, self.layout, {}))
            erased.append(zero(a, self.layout, [name]))
            without.append(zero(b, self.layout, [name]))
        x_fake = self.decode(torch.cat([*given, *erased]))
        has = embedding[: len(embedding) // 2]
        return DNAGANPass(x_fake, self.decode(torch.cat([has, *without])) if rebuild else None)


def by_attribute(batch: Tensor, layout: Layout) -> Iterable[tuple[str, Tensor, Tensor]]:
    """For each attribute i its name, A_i (that have it) and B_i (that lack it), of a step's batch.

    The batch holds A_1 … A_k, then B_1 … B_k, all equally many.
    """
    has, lacks = batch.chunk(2)
    count = len(layout.attributes)
    return zip(layout.names, has.chunk(count), lacks.chunk(count), strict=True)


class DNAGANDiscriminator(nn.Module):
    """Faces (N × 3 × S × S in −1 … 1) and their labels (N × k, 0 or 1) → scores N × k, one an attribute."""

    def __init__(self, settings: DNAGANNetwork, attributes: int) -> None:
        super().__init__()
        widths = settings.discriminator_widths
        self.trunk = nn.Sequential(*_down((3 + attributes, *widths)))
        side = settings.size // 2 ** len(widths)
        self.score = nn.Linear(widths[-1] * side * side, attributes)
        self.apply(_initialize)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        maps = (2 * labels - 1)[:, :, None, None].expand(-1, -1, *x.shape[2:])
        scores: Tensor = self.score(self.trunk(torch.cat([x, maps], 1)).flatten(1))
        return scores.float()


def _down(channels: tuple[int, ...]) -> list[nn.Module]:
    """4×4 convolutions of stride 2 with leaky ReLU, and batch normalization in all but the first."""
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(pairwise(channels)):
        layers.append(nn.Conv2d(a, b, 4, stride=2, padding=1, bias=False))
        layers += [_norm(b)] if i else []
        layers.append(nn.LeakyReLU(LEAK))
    return layers


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
