"""Encoder, decoder, and the generator's whole training pass: encode, swap, decode, and back again."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from traitswap.attributes import Layout
from traitswap.config import NetworkSettings
from traitswap.networks.blocks import ResidualBlock, beside, conv_block, down_block, up_block
from traitswap.networks.classifier import TRUNK_GROWTH, AttributeClassifier, averaged_to, classifier_trunk
from traitswap.networks.transfer import TransferNetwork, partner


class UnitBranch(nn.Module):
    """Faces (N × 3 × S × S in −1 … 1) → N × channels: what the attributes are like, wherever they lie."""

    def __init__(self, channels: int, size: int, width: int) -> None:
        super().__init__()
        self.size = size
        self.trunk = classifier_trunk(width)
        self.head = nn.Linear(TRUNK_GROWTH * width, channels)

    @torch.no_grad()
    def start_from(self, classifier: AttributeClassifier, columns: Mapping[int, int]) -> None:
        """Copies the classifier: its trunk, and for every channel in `columns` its logit of that column."""
        self.trunk.load_state_dict(classifier.trunk.state_dict())
        for channel, column in columns.items():
            self.head.weight[channel] = classifier.head.weight[column]
            self.head.bias[channel] = classifier.head.bias[column]

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
        units, rest = self.apart(x)
        return beside(everywhere(units, rest), rest)

    def apart(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The units, N × k·u × s × s, or × 1 × 1 where they know no places, and the rest of the embedding."""
        patches = F.pixel_unshuffle(x, self.patch) if self.patch > 1 else x
        embedding: Tensor = self.body(patches)
        if self.units is not None:
            # The mean of a patch is that of its channels here: quicker than of its pixels.
            means = patches.view(x.shape[0], 3, -1, *patches.shape[2:]).mean(2)
            even = means.shape[-1] % self.units.size == 0
            return self.units(means if even else x)[:, :, None, None], embedding
        units, rest = embedding.tensor_split([self.layout.swapped_channels], 1)
        return units, rest

    def own_units(self, x: Tensor) -> Tensor:
        """The units alone, as `apart` gives them."""
        return self.apart(x)[0] if self.units is None else self.units(x)[:, :, None, None]


def everywhere(units: Tensor, rest: Tensor) -> Tensor:
    """Units that know no places, at all those of `rest`."""
    return units if units.shape[2:] == rest.shape[2:] else units.expand(-1, -1, *rest.shape[2:])


class Decoder(nn.Module):
    """Embedding, its units and the rest of it as `Encoder.apart` gives them → faces (N × 3 × S × S in −1 … 1)."""

    def __init__(self, settings: NetworkSettings, layout: Layout) -> None:
        super().__init__()
        widths = settings.widths[::-1]
        self.patch = settings.patch
        self.body = nn.Sequential(
            *entry(settings, layout.channels),
            *(up_block(a, b) for a, b in pairwise(widths)),
        )
        kernel = settings.stem_kernel
        self.head = nn.Conv2d(widths[-1], 3 * self.patch**2, kernel, padding=kernel // 2)

    def forward(self, units: Tensor, rest: Tensor, photo: Tensor, own: Tensor) -> Tensor:
        """The faces that were encoded, `photo`, and their `own` units are not looked at."""
        h = self.head(self.body(beside(everywhere(units, rest), rest))).float()
        return torch.tanh(F.pixel_shuffle(h, self.patch) if self.patch > 1 else h)


class ResidualDecoder(nn.Module):
    """An embedding, apart, and the faces it came from (N × 3 × S × S) → faces: the photo and a change.

    It is told how far each unit is from the photo's own: where nothing is swapped there is nothing to change. At every
    size on the way up the photo is at hand, so that the change follows lips and strands, which the embedding is too
    coarse to place.
    """

    def __init__(self, settings: NetworkSettings, layout: Layout) -> None:
        super().__init__()
        widths = settings.widths[::-1]
        patch = settings.patch
        self.entry = nn.Sequential(*entry(settings, layout.channels + layout.swapped_channels))
        self.enlarge = nn.ModuleList(up_block(a, b) for a, b in pairwise(widths))
        # Channels of `folded` at each size: at full size, which only patch 1 reaches here, the photo itself.
        seen = [12] * (len(widths) - 2) + [12 if patch > 1 else 3]
        self.merge = nn.ModuleList(conv_block(b + c, b, 3) for b, c in zip(widths[1:], seen, strict=False))
        finest = widths[-1]
        if patch > 1:
            # Enlarged smoothly: what is shuffled from channels into pixels takes on the pattern of the patches.
            finest //= patch
            smooth = nn.Upsample(scale_factor=patch, mode="bilinear")
            self.enlarge.append(nn.Sequential(nn.Conv2d(widths[-1], finest - 3, 1), smooth))
            self.merge.append(nn.Sequential(nn.Conv2d(finest, finest, 3, padding=1), nn.ReLU(inplace=True)))
        kernel = settings.stem_kernel
        self.head = nn.Conv2d(finest, 12 if settings.recolor else 3, kernel, padding=kernel // 2)
        self.flow = nn.Conv2d(widths[0], 2, 3, padding=1) if settings.warp else None
        # Training starts from the photo as it is.
        for last in (self.head, self.flow):
            if last is not None:
                nn.init.zeros_(last.weight)
                nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def forward(self, units: Tensor, rest: Tensor, photo: Tensor, own: Tensor) -> Tensor:
        """`own`: the photo's own units."""
        h = self.entry(beside(everywhere(units, rest), rest, everywhere(units - own, rest)))
        if self.flow is not None:
            photo = warped(photo, planes(self.flow(h)))
        for enlarge, merge in zip(self.enlarge, self.merge, strict=True):
            h = enlarge(h)
            h = merge(beside(h, folded(photo, h.shape[-1]).to(h.dtype)))
        return (photo + change_of(photo, self.head(h))).clamp(-1, 1)


def planes(x: Tensor) -> Tensor:
    """float32, a channel after the other: what has few channels and is seen pixel by pixel is faster so."""
    return x.to(torch.float32, memory_format=torch.contiguous_format)


def warped(photo: Tensor, flow: Tensor) -> Tensor:
    """The photo (N × 3 × S × S), each pixel taken from up to 7.5 % of the side away, as `flow` (N × 2 × s × s) says."""
    side = photo.shape[-1]
    shift = F.interpolate(0.15 * torch.tanh(flow), size=(side, side), mode="bilinear").permute(0, 2, 3, 1)
    centres = (torch.arange(side, device=photo.device) * 2 + 1) / side - 1
    here = torch.stack([centres.expand(side, side), centres[:, None].expand(side, side)], 2)
    return F.grid_sample(photo, here + shift, padding_mode="border", align_corners=False)


def change_of(photo: Tensor, h: Tensor) -> Tensor:
    """What is added to the photo. `h`: that, N × 3 × S × S, or with a 3×3 matrix of colours, 12 channels."""
    if h.shape[1] == 3:
        return planes(h)
    # From black, so that the matrix alone leaves black as it is.
    changed: Tensor = _Recolored.apply(photo + 1, h)  # type: ignore[no-untyped-call]
    return changed


class _Recolored(torch.autograd.Function):
    """h₀ + colour₀ h₁ + colour₁ h₂ + colour₂ h₃, h (N × 12 × S × S) in four parts of three channels each.

    As autograd would have it, but for the gradient of h: put together once, with the precision that h has.
    """

    @staticmethod
    def forward(ctx: Any, colour: Tensor, h: Tensor) -> Tensor:
        parts = planes(h)
        changed, *factors = torch.chunk(parts, 4, 1)
        for of_channel, channel in zip(factors, torch.split(colour, 1, 1), strict=True):
            changed = torch.addcmul(changed, of_channel, channel)
        ctx.save_for_backward(colour, parts)
        ctx.dtype = h.dtype
        return changed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor]:
        colour, parts = ctx.saved_tensors
        parts = parts.unflatten(1, (4, 3))
        of_colour = (parts[:, 1:] * gradient[:, None]).sum(2) if ctx.needs_input_grad[0] else None
        gradient, colour = gradient.to(ctx.dtype), colour.to(ctx.dtype)
        of_h = torch.empty(parts.shape, dtype=ctx.dtype, device=parts.device)
        of_h[:, 0] = gradient
        torch.mul(gradient[:, None], colour[:, :, None], out=of_h[:, 1:])
        return of_colour, of_h.flatten(1, 2)


def folded(photo: Tensor, size: int) -> Tensor:
    """The photo (N × 3 × S × S) at a smaller size: averaged down to twice it, 2×2 pixels folded into 12 channels."""
    return photo if photo.shape[-1] == size else F.pixel_unshuffle(averaged_to(photo, 2 * size), 2)


def entry(settings: NetworkSettings, channels: int) -> list[nn.Module]:
    """How either decoder begins: from the embedding's channels to the trunk's."""
    width = settings.widths[-1]
    return [conv_block(channels, width, 1), *(ResidualBlock(width) for _ in range(settings.decoder_blocks))]


def decoder_of(settings: NetworkSettings, layout: Layout) -> Decoder | ResidualDecoder:
    return ResidualDecoder(settings, layout) if settings.residual else Decoder(settings, layout)


class Verification(nn.Module):
    """One fully-connected layer an attribute: do two units come from the same image? (Before eq. 5.)"""

    def __init__(self, settings: NetworkSettings, layout: Layout, averaged: bool) -> None:
        super().__init__()
        side = settings.size // settings.stride
        self.attributes = len(layout.attributes)
        self.side = side
        self.averaged = averaged
        inputs = layout.unit_channels * (1 if averaged else side * side)
        self.layers = nn.ModuleList(nn.Linear(inputs, 1) for _ in range(self.attributes))

    def forward(self, units: Tensor, other: Tensor) -> Tensor:
        """Units of two batches (each N × k·u × s × s, or × 1 × 1) → logits N × k."""
        difference = (units - other).abs().view(len(units), self.attributes, -1, *units.shape[2:])
        if self.averaged:
            features = difference.mean((3, 4))
        else:
            features = difference.expand(-1, -1, -1, self.side, self.side).flatten(2)
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
        self.decoder = decoder_of(settings, layout)
        self.verification = Verification(settings, layout, verify_averaged)

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        embedding: Tensor = self.encoder(x)
        return embedding

    def decode(self, embedding: Tensor, photo: Tensor, own: Tensor | None = None) -> Tensor:
        units, rest = embedding.tensor_split([self.layout.swapped_channels], 1)
        return self.decode_apart(units, rest, photo, own)

    def decode_apart(self, units: Tensor, rest: Tensor, photo: Tensor, own: Tensor | None = None) -> Tensor:
        """`decode`, of an embedding as `Encoder.apart` gives it."""
        if own is None:
            own = self.encoder.own_units(photo) if isinstance(self.decoder, ResidualDecoder) else units
        result: Tensor = self.decoder(units, rest, photo, own)
        return result

    def parts(self) -> dict[str, nn.Module]:
        """Without the verification layers, which only training needs."""
        return {"encoder": self.encoder, "decoder": self.decoder}

    @torch.no_grad()
    def start_from(self, other: "Generator") -> None:
        """Copies encoder and decoder of a generator of the same sizes.

        Units of attributes that both know, by whatever name, come to their place here. The encoder's weights of a unit
        that is new stay as they are, and the decoder begins deaf to it.
        """
        ours, theirs = self.layout, other.layout
        known = {a.columns: i for i, a in enumerate(theirs.attributes)}
        shared = [(i, known[a.columns]) for i, a in enumerate(ours.attributes) if a.columns in known]
        unit = range(ours.unit_channels)
        to, source = ([pair[side] * len(unit) + c for pair in shared for c in unit] for side in (0, 1))
        rest = range(ours.rest_channels)
        to_all = [*to, *(ours.swapped_channels + c for c in rest)]
        source_all = [*source, *(theirs.swapped_channels + c for c in rest)]
        last, first = f"encoder.body.{len(self.encoder.body) - 1}.", "decoder.body.0.0."
        inputs, fed = to_all, source_all
        if isinstance(self.decoder, ResidualDecoder):
            # It also sees how far each unit is from the photo's own.
            first = "decoder.entry.0.0."
            inputs = [*inputs, *(ours.channels + c for c in to)]
            fed = [*fed, *(theirs.channels + c for c in source)]
        old = other.state_dict()
        for name, mine in self.state_dict().items():
            if name.startswith("encoder.units.head."):
                mine[to] = old[name][source]
            elif name.startswith(last) and self.encoder.units is None:
                mine[to_all] = old[name][source_all]
            elif name.startswith(first):
                mine.zero_()
                mine[:, inputs] = old[name][:, fed]
            elif not name.startswith("verification."):
                mine.copy_(old[name])

    def forward(self, x_real: Tensor, swapped: Tensor) -> GeneratorPass:
        units, rest = self.encoder.apart(x_real)
        x_fake = self.decoder(self.exchanged(units, swapped), rest, x_real, units)
        units_fake, rest_fake = self.encoder.apart(x_fake)
        units_hat = self.exchanged(units_fake, swapped)
        x_rec = self.decoder(units_hat, rest_fake, x_fake, units_fake)
        return GeneratorPass(
            x_fake, x_rec, self.verification(units, units_hat), self.verification(units, partner(units_hat))
        )
