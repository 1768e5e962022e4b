"""The discriminator: a PatchGAN trunk, spectrally normalized in the paper and plain in StarGAN, with two heads."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class Discriminator(nn.Module):
    """Faces (N × 3 × S × S in −1 … 1) → maps of real/fake scores (N × maps × p × p) and label logits (N × columns).

    With more than one map, each of the trunk's last layers scores what it sees: strands as well as whole faces. Coarser
    maps are enlarged to the finest, so that a mean over all weighs them alike.
    """

    def __init__(
        self, size: int, widths: tuple[int, ...], leak: float, columns: int, *, spectral: bool, maps: int = 1
    ) -> None:
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
        self.scores = nn.ModuleList(
            normalized(nn.Conv2d(width, 1, 3, padding=1, bias=False)) for width in widths[-maps:]
        )
        # Without spectral normalization: bounded logits could not fit the labels.
        side = size // 2 ** len(widths)
        self.label = nn.Conv2d(channels, columns, side, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        finest = 2 * (len(self.trunk) // 2 - len(self.scores) + 1)
        h = self.trunk[:finest](x)
        maps = [self.scores[0](h)]
        for i, score in enumerate(self.scores[1:]):
            h = self.trunk[finest + 2 * i : finest + 2 * i + 2](h)
            maps.append(F.interpolate(score(h), size=maps[0].shape[2:]))
        return torch.cat(maps, 1).float(), self.label(h).flatten(1).float()
