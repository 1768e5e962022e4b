"""The layers that encoder and decoder share, after CycleGAN and StarGAN."""

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
