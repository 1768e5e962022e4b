"""The discriminator: a PatchGAN trunk, spectrally normalized in the paper and plain in StarGAN, with two heads."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class Discriminator(nn.Module):
    """Faces (N × 3 × S × S in −1 … 1) → a map of real/fake scores (N × 1 × p × p) and label logits (N × columns)."""

    def __init__(self, size: int, widths: tuple[int, ...], leak: float, columns: int, *, spectral: bool) -> None:
        super().__init__()
        normalized: Callable[[nn.Conv2d], nn.Module] = spectral_norm if spectral else lambda layer: layer
        layers: list[nn.Module] = []
        channels = 3
        for width in widths:
            layers += [
                normalized(nn.Conv2d(channels, width, 4, stride=2, padding=1)),
                nn.LeakyReLU(leak),
            ]
            channels = width
        self.trunk = nn.Sequential(*layers)
        self.score = normalized(nn.Conv2d(channels, 1, 3, padding=1, bias=False))
        # Without spectral normalization: bounded logits could not fit the labels.
        side = size // 2 ** len(widths)
        self.label = nn.Conv2d(channels, columns, side, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.trunk(x)
        return self.score(h).float(), self.label(h).flatten(1).float()
