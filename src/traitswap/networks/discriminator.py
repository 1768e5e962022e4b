"""The discriminator: a PatchGAN trunk, spectrally normalized in the paper, with two heads."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from traitswap.config import NetworkSettings


class Discriminator(nn.Module):
    """Faces (N × 3 × S × S in −1 … 1) → a map of real/fake scores (N × 1 × p × p) and label logits (N × columns)."""

    def __init__(self, settings: NetworkSettings, columns: int) -> None:
        super().__init__()
        normalized: Callable[[nn.Conv2d], nn.Module] = spectral_norm if settings.spectral_norm else lambda layer: layer
        layers: list[nn.Module] = []
        channels = 3
        for width in settings.discriminator_widths:
            layers += [
                normalized(nn.Conv2d(channels, width, 4, stride=2, padding=1)),
                nn.LeakyReLU(settings.discriminator_leak),
            ]
            channels = width
        self.trunk = nn.Sequential(*layers)
        self.score = normalized(nn.Conv2d(channels, 1, 3, padding=1, bias=False))
        # Without spectral normalization: bounded logits could not fit the labels.
        side = settings.size // 2 ** len(settings.discriminator_widths)
        self.label = nn.Conv2d(channels, columns, side, bias=False)
        if not settings.spectral_norm:
            # Nothing keeps the scale from layer to layer then but the initialization (He et al., 2015).
            for layer in self.trunk:
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight, settings.discriminator_leak)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.trunk(x)
        return self.score(h).float(), self.label(h).flatten(1).float()
