"""A small attribute classifier: it guides, watches or judges a generator, and is frozen while it does."""

import copy
import functools
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

TRUNK_GROWTH = 8
"""Channels that a classifier's trunk ends with, in widths."""


def classifier_trunk(width: int) -> nn.Sequential:
    """3×3 convolutions with batch normalization and ReLU: a face N × 3 × s × s → N × 8·width × s/16 × s/16."""
    layers: list[nn.Module] = []
    channels = 3
    for factor, stride in ((1, 2), (2, 2), (4, 1), (4, 2), (8, 1), (TRUNK_GROWTH, 2)):
        layers += [
            nn.Conv2d(channels, factor * width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(factor * width),
            nn.ReLU(inplace=True),
        ]
        channels = factor * width
    return nn.Sequential(*layers)


def averaged_to(x: Tensor, size: int) -> Tensor:
    """Faces N × 3 × S × S, S a multiple of `size`, averaged down to it."""
    return F.avg_pool2d(x, x.shape[-1] // size) if x.shape[-1] != size else x


class Augmentation(NamedTuple):
    """Random changes to N faces of s × s pixels."""

    parameters: Tensor
    """Shift (x, y: in half sides), scale − 1, brightness, contrast − 1: N × 5."""
    noise: Tensor
    """Added to the pixels: N × 3 × s × s."""


@functools.cache
def _spread(device: torch.device) -> Tensor:
    return torch.tensor([0.16, 0.16, 0.1, 0.2, 0.2], device=device)


def draw_augmentation(
    count: int, size: int, grains: Sequence[int], device: torch.device, generator: torch.Generator | None = None
) -> Augmentation:
    """Shift up to ±8 % of the side, scale ±10 %, brightness ±0.2, contrast ±20 %, noise of a deviation up to 0.2.

    `grains`: sizes, in pixels, of the grains of the noise; the noises of all of them are added up.
    """
    parameters = (torch.rand(count, 5, device=device, generator=generator) * 2 - 1) * _spread(device)
    deviation = torch.rand(count, 1, 1, 1, device=device, generator=generator) * 0.2
    noise = torch.zeros(count, 3, size, size, device=device)
    for grain in grains:
        drawn = torch.randn(count, 3, size // grain, size // grain, device=device, generator=generator)
        noise += drawn if grain == 1 else F.interpolate(drawn, size=size, mode="bilinear", align_corners=False)
    return Augmentation(parameters, noise * deviation)


def augment(x: Tensor, augmentation: Augmentation) -> Tensor:
    """Faces N × 3 × s × s moved, scaled, brightened and made noisy. Differentiable in `x`.

    A generator could otherwise please a frozen classifier by a pattern that only works pixel for pixel. Noise makes a
    classifier's gradient point at what people see, too (Kaur et al., 2019): fine noise against patterns, coarse noise
    against tints.
    """
    parameters = augmentation.parameters
    shift, scale = parameters[:, :2], 1 + parameters[:, 2]
    theta = torch.zeros(len(x), 2, 3, device=x.device, dtype=torch.float32)
    theta[:, 0, 0] = scale
    theta[:, 1, 1] = scale
    theta[:, :, 2] = shift
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    moved = F.grid_sample(x.float(), grid, padding_mode="border", align_corners=False)
    brightness, contrast = parameters[:, 3, None, None, None], 1 + parameters[:, 4, None, None, None]
    mean = moved.mean((1, 2, 3), keepdim=True)
    return (moved - mean) * contrast + mean + brightness + augmentation.noise


class AttributeClassifier(nn.Module):
    """Faces → one logit for each label column.

    Input N × 3 × S × S in −1 … 1, S a multiple of `size`, to which it is averaged down first; output N × `columns`.
    """

    def __init__(self, columns: int, size: int, width: int) -> None:
        super().__init__()
        self.size = size
        self.trunk = classifier_trunk(width)
        self.head = nn.Linear(TRUNK_GROWTH * width, columns)

    @property
    def width(self) -> int:
        return self.head.in_features // TRUNK_GROWTH

    @property
    def feature_channels(self) -> tuple[int, int, int]:
        """Of the maps of `features`."""
        return 2 * self.width, 4 * self.width, TRUNK_GROWTH * self.width

    def folded(self) -> "AttributeClassifier":
        """A copy that learns no more, with batch normalization done by the convolutions before it: less work."""
        copied = copy.deepcopy(self).eval()
        for i, (convolution, norm) in enumerate(pairwise(copied.trunk)):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                copied.trunk[i], copied.trunk[i + 1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()
        return copied.requires_grad_(False)

    def features(self, x: Tensor) -> list[Tensor]:
        """What the trunk makes of faces, at a quarter, an eighth and a sixteenth of `size`."""
        h = averaged_to(x, self.size)
        maps = []
        for layers in (self.trunk[:6], self.trunk[6:12], self.trunk[12:]):
            h = layers(h)
            maps.append(h)
        return maps

    def forward(self, x: Tensor, augmentation: Augmentation | None = None) -> Tensor:
        """`augmentation`, of N faces of `size`, is applied first."""
        x = averaged_to(x, self.size)
        if augmentation is not None:
            x = augment(x, augmentation)
        logits: Tensor = self.head(self.trunk(x).mean((2, 3)))
        return logits
