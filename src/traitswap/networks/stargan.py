"""StarGAN's generator (Choi et al., CVPR 2018, table 4): one network that redraws a face to match labels."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from traitswap.attributes import Layout
from traitswap.baselines import StarGANNetwork
from traitswap.errors import TraitswapError
from traitswap.networks.transfer import TransferNetwork


class StarGANGenerator(TransferNetwork):
    """G(x, c). Its embedding is the labels alone, N × C × 1 × 1: unit i holds the columns of attribute i."""

    column_channel: Tensor

    def __init__(self, settings: StarGANNetwork, layout: Layout) -> None:
        super().__init__(layout)
        # Where a unit is wider than its attribute has columns, the channels that are left stay 0.
        channels = [
            i * layout.unit_channels + j for i, a in enumerate(layout.attributes) for j in range(len(a.columns))
        ]
        self.register_buffer("column_channel", torch.tensor(channels), persistent=False)
        widths = settings.widths
        self.generator = nn.Sequential(
            _block(nn.Conv2d(3 + len(layout.columns), widths[0], 7, padding=3, bias=False)),
            *(_block(nn.Conv2d(a, b, 4, stride=2, padding=1, bias=False)) for a, b in pairwise(widths)),
            *(_ResidualBlock(widths[-1]) for _ in range(settings.blocks)),
            *(_block(nn.ConvTranspose2d(a, b, 4, stride=2, padding=1, bias=False)) for a, b in pairwise(widths[::-1])),
            nn.Conv2d(widths[0], 3, 7, padding=3, bias=False),
        )

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """Faces and labels (N × columns, 0 … 1) → faces that show the labels."""
        maps = labels[:, :, None, None].expand(-1, -1, *x.shape[2:])
        return torch.tanh(self.generator(torch.cat([x, maps], 1)).float())

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        if labels is None:
            raise TraitswapError(
                "stargan needs the labels of photo and reference, which a picture alone does not have: use weights "
                "of latent-swap, which needs none, or traitswap evaluate on labelled data"
            )
        embedding = x.new_zeros(len(x), self.layout.channels, 1, 1)
        embedding[:, self.column_channel, 0, 0] = labels.to(embedding)
        return embedding

    def decode(self, embedding: Tensor, photo: Tensor, own: Tensor | None = None) -> Tensor:
        result: Tensor = self(photo, embedding[:, self.column_channel, 0, 0])
        return result


def _block(convolution: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    return nn.Sequential(convolution, _norm(convolution.out_channels), nn.ReLU(inplace=True))


def _norm(channels: int) -> nn.GroupNorm:
    """Instance normalization: statistics of the image at hand, in training and in use.

    A group of one channel is the same, and a training step takes 0.85 of the time with it (channels last, on a CPU).
    """
    return nn.GroupNorm(channels, channels)


class _ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _block(nn.Conv2d(channels, channels, 3, padding=1, bias=False)),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            _norm(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.body(x)
        return x + change
