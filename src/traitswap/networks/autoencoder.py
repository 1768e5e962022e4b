"""Encoder, decoder, and the generator's whole training pass: encode, swap, decode, and back again."""

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from traitswap.attributes import Layout
from traitswap.config import NetworkSettings
from traitswap.networks.blocks import ResidualBlock, conv_block, down_block, up_block
from traitswap.networks.classifier import TRUNK_GROWTH, averaged_to, classifier_trunk
from traitswap.networks.transfer import TransferNetwork, partner


class UnitBranch(nn.Module):
    """Faces (N × 3 × S × S in −1 … 1) → N × channels: what the attributes are like, wherever they lie."""

    def __init__(self, channels: int, size: int, width: int) -> None:
        super().__init__()
        self.size = size
        self.trunk = classifier_trunk(width)
        self.head = nn.Linear(TRUNK_GROWTH * width, channels)

    def forward(self, x: Tensor) -> Tensor:
        units: Tensor = self.head(self.trunk(averaged_to(x, self.size)).mean((2, 3)))
        return units


class Encoder(nn.Module):
    """Faces (N × 3 × S × S in −1 … 1) → embedding (N × C × s × s), its channels cut as the layout says."""

    def __init__(self, settings: NetworkSettings, layout: Layout) -> None:
        super().__init__()
        widths = settings.widths
        self.layout = layout
        self.patch = settings.patch
        pooled = layout.swapped_channels if settings.pool_units else 0
        self.units = UnitBranch(pooled, settings.unit_size, settings.unit_width) if pooled else None
        self.body = nn.Sequential(
            conv_block(3 * self.patch**2, widths[0], settings.stem_kernel),
            *(down_block(a, b) for a, b in pairwise(widths)),
            *(ResidualBlock(widths[-1]) for _ in range(settings.encoder_blocks)),
            nn.Conv2d(widths[-1], layout.channels - pooled, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        embedding: Tensor = self.body(F.pixel_unshuffle(x, self.patch) if self.patch > 1 else x)
        if self.units is not None:
            units = self.units(x)[:, :, None, None].expand(-1, -1, *embedding.shape[2:])
            embedding = torch.cat([units, embedding], 1)
        return embedding


class Decoder(nn.Module):
    """Embedding (N × C × s × s) → faces (N × 3 × S × S in −1 … 1).

    With `residual`, what is decoded is a change, added to the photo that the embedding came from.
    """

    def __init__(self, settings: NetworkSettings, layout: Layout) -> None:
        super().__init__()
        widths = settings.widths[::-1]
        self.residual = settings.residual
        self.patch = settings.patch
        folded = 3 * self.patch**2
        self.body = nn.Sequential(
            conv_block(layout.channels, widths[0], 1),
            *(ResidualBlock(widths[0]) for _ in range(settings.decoder_blocks)),
            *(up_block(a, b) for a, b in pairwise(widths)),
        )
        # The photo's own detail is at hand where the change is drawn, so that it follows strands and edges.
        self.merge = conv_block(widths[-1] + folded, widths[-1], 3) if self.residual else nn.Identity()
        # And once more at full size, where lips and strands are a pixel or two.
        finest = widths[-1] // self.patch
        self.finish = conv_block(widths[-1] + 3, finest, 3) if self.residual and self.patch > 1 else nn.Identity()
        inputs, outputs = (finest, 3) if self.residual else (widths[-1], folded)
        self.head = nn.Conv2d(inputs, outputs, settings.stem_kernel, padding=settings.stem_kernel // 2)
        if self.residual:
            # Training starts from the photo as it is.
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, embedding: Tensor, photo: Tensor) -> Tensor:
        """`photo`: the faces that were encoded; looked at only with `residual`."""
        h: Tensor = self.body(embedding)
        if self.residual:
            h = self.merge(torch.cat([h, F.pixel_unshuffle(photo, self.patch) if self.patch > 1 else photo], 1))
            if self.patch > 1:
                # Enlarged smoothly: what is shuffled from channels into pixels takes on the pattern of the patches.
                h = F.interpolate(h, scale_factor=self.patch, mode="bilinear")
                h = self.finish(torch.cat([h, photo], 1))
        h = self.head(h).float()
        if not self.residual:
            return torch.tanh(F.pixel_shuffle(h, self.patch) if self.patch > 1 else h)
        return (photo + h).clamp(-1, 1)


class Verification(nn.Module):
    """One fully-connected layer an attribute: do two units come from the same image? (Before eq. 5.)"""

    def __init__(self, settings: NetworkSettings, layout: Layout, averaged: bool) -> None:
        super().__init__()
        side = settings.size // (settings.patch * 2 ** (len(settings.widths) - 1))
        self.attributes = len(layout.attributes)
        self.averaged = averaged
        inputs = layout.unit_channels * (1 if averaged else side * side)
        self.layers = nn.ModuleList(nn.Linear(inputs, 1) for _ in range(self.attributes))

    def forward(self, units: Tensor, other: Tensor) -> Tensor:
        """Units of two batches (each N × k·u × s × s) → logits N × k."""
        n, channels, *positions = units.shape
        difference = (units - other).abs().view(n, self.attributes, channels // self.attributes, *positions)
        features = difference.mean((3, 4)) if self.averaged else difference.flatten(2)
        return torch.cat([layer(features[:, i]) for i, layer in enumerate(self.layers)], 1)


class GeneratorPass(NamedTuple):
    x_fake: Tensor
    """x̃: the batch with units exchanged, N × 3 × S × S."""
    x_rec: Tensor
    """x′: exchanged back, N × 3 × S × S."""
    same: Tensor
    """Verification logits of (a, â) and (b, b̂), N × k."""
    other: Tensor
    """Verification logits of (a, b̂) and (b, â), N × k."""


class Generator(TransferNetwork):
    """Enc, Dec and the verification layers: all that the generator's optimizer trains, in one forward pass."""

    def __init__(self, settings: NetworkSettings, layout: Layout, verify_averaged: bool = True) -> None:
        super().__init__(layout)
        self.encoder = Encoder(settings, layout)
        self.decoder = Decoder(settings, layout)
        self.verification = Verification(settings, layout, verify_averaged)

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        embedding: Tensor = self.encoder(x)
        return embedding

    def decode(self, embedding: Tensor, photo: Tensor) -> Tensor:
        result: Tensor = self.decoder(embedding, photo)
        return result

    def parts(self) -> dict[str, nn.Module]:
        """Without the verification layers, which only training needs."""
        return {"encoder": self.encoder, "decoder": self.decoder}

    def forward(self, x_real: Tensor, swapped: Tensor) -> GeneratorPass:
        e = self.encoder(x_real)
        x_fake = self.decoder(self.exchanged(e, swapped), x_real)
        e_fake = self.encoder(x_fake)
        e_hat = self.exchanged(e_fake, swapped)
        x_rec = self.decoder(e_hat, x_fake)
        units, units_hat = (t[:, : self.layout.swapped_channels] for t in (e, e_hat))
        return GeneratorPass(
            x_fake, x_rec, self.verification(units, units_hat), self.verification(units, partner(units_hat))
        )
