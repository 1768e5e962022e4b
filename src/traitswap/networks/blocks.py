"""The layers that encoder and decoder share, after CycleGAN and StarGAN."""

from functools import partial

import torch
from torch import Tensor, nn


def conv_block(channels_in: int, channels_out: int, kernel: int) -> nn.Sequential:
    """Convolution at the same size, batch normalization, ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def down_block(channels_in: int, channels_out: int) -> nn.Sequential:
    """Half the size: 4×4 convolution of stride 2, batch normalization, ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def up_block(channels_in: int, channels_out: int) -> nn.Sequential:
    """Twice the size: 4×4 transposed convolution of stride 2, batch normalization, ReLU."""
    return nn.Sequential(
        nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


class ResidualBlock(nn.Module):
    """x + BN(conv(ReLU(BN(conv(x))))), 3×3, the channels unchanged."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_block(channels, channels, 3),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.body(x)
        return x + change


def beside(*parts: Tensor) -> Tensor:
    """Channels put together, N × … × s × s.

    If any part is laid out in memory channels last, then so is the whole, as `torch.cat` would not have it of mixed
    ones, and each gradient as its part: as cut from the whole's, what comes next would take several times as long.
    """
    layouts = [_layout(part) for part in parts]
    if torch.channels_last in layouts:
        for part, layout in zip(parts, layouts, strict=True):
            if part.requires_grad:
                part.register_hook(partial(_laid_out, layout=layout))  # type: ignore[no-untyped-call]
        parts = tuple(_laid_out(part, torch.channels_last) for part in parts)
    return torch.cat(parts, 1)


def _layout(x: Tensor) -> torch.memory_format:
    return torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format


def _laid_out(x: Tensor, layout: torch.memory_format) -> Tensor:
    return x.contiguous(memory_format=layout)
