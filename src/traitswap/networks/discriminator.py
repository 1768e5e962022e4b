"""The discriminator: a PatchGAN trunk, spectrally normalized in the paper and plain in StarGAN, with two heads."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from traitswap.networks.classifier import AttributeClassifier

_FEATURE_SCORES_WIDTH = 48


class Discriminator(nn.Module):
    """Faces (N × 3 × S × S in −1 … 1) → maps of real/fake scores (N × maps × p × p) and label logits (N × columns).

    With more than one map, each of the trunk's last layers scores what it sees: strands as well as whole faces. Coarser
    maps are enlarged to the finest, so that a mean over all weighs them alike.

    With `conditions`, a score is of a face together with that many labels, each 0 or 1, which the face is said to have:
    every label adds to the score, or takes from it, what the trunk sees of it (the projection of Miyato and Koyama,
    2018).

    `guide`: its maps of a face are scored as well. It is frozen, and no part of the discriminator's weights.
    """

    def __init__(
        self,
        size: int,
        widths: tuple[int, ...],
        leak: float,
        columns: int,
        *,
        spectral: bool,
        maps: int = 1,
        conditions: int = 0,
        guide: AttributeClassifier | None = None,
    ) -> None:
        super().__init__()
        normalized: Callable[[nn.Conv2d], nn.Module] = spectral_norm if spectral else lambda layer: layer
        # A bound method: a module would become one of the discriminator's own.
        self._features = guide.features if guide is not None else None
        self.feature_scores = nn.ModuleList(
            nn.Sequential(
                normalized(nn.Conv2d(width, _FEATURE_SCORES_WIDTH, 3, padding=1)),
                nn.LeakyReLU(leak),
                normalized(nn.Conv2d(_FEATURE_SCORES_WIDTH, 1 + conditions, 3, padding=1, bias=False)),
            )
            for width in (guide.feature_channels if guide is not None else ())
        )
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
            normalized(nn.Conv2d(width, 1 + conditions, 3, padding=1, bias=False)) for width in widths[-maps:]
        )
        # Without spectral normalization: bounded logits could not fit the labels.
        side = size // 2 ** len(widths)
        self.label = nn.Conv2d(channels, columns, side, bias=False)

    def forward(self, x: Tensor, shown: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`shown`: the labels that x is said to have, N × conditions."""
        finest = 2 * (len(self.trunk) // 2 - len(self.scores) + 1)
        h = self.trunk[:finest](x)
        maps = [_score(self.scores[0](h), shown)]
        side = maps[0].shape[2:]
        for i, score in enumerate(self.scores[1:]):
            h = self.trunk[finest + 2 * i : finest + 2 * i + 2](h)
            maps.append(F.interpolate(_score(score(h), shown), size=side))
        if self._features is not None:
            for features, score in zip(self._features(x), self.feature_scores, strict=True):
                maps.append(F.interpolate(_score(score(features), shown), size=side))
        return torch.cat(maps, 1).float(), self.label(h).flatten(1).float()


def _score(h: Tensor, shown: Tensor | None) -> Tensor:
    """Of one layer, N × 1 × p × p: the first channel, and each of the others with the sign of its label."""
    return h if shown is None else h[:, :1] + torch.einsum("nchw,nc->nhw", h[:, 1:], 2 * shown.to(h) - 1)[:, None]
