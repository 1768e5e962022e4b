"""StarGAN (Choi et al., CVPR 2018): one generator that is told labels."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from traitswap import losses, ranks
from traitswap.baselines import StarGANSettings
from traitswap.methods.base import Phase, Term, draw_any, gradient_between
from traitswap.networks.discriminator import Discriminator
from traitswap.networks.stargan import StarGANGenerator


class StarGANStep(NamedTuple):
    x_real: Tensor
    y_org: Tensor
    y_trg: Tensor
    """Labels that the synthesized images are to show: those of the batch, permuted. N × columns."""
    x_fake: Tensor


class StarGAN:
    """Eq. 2–6 and 8 of its paper, with the settings of `settings.method`."""

    fingerprint = ""
    groups = 2

    def __init__(self, settings: StarGANSettings) -> None:
        m = settings.method
        self.settings = settings
        self.columns = settings.layout.columns
        self.phases = (
            Phase(
                "D",
                "discriminator",
                (Term("adv", m.lambda_adv), Term("cls", m.lambda_cls), Term("gp", m.lambda_gp)),
            ),
            Phase(
                "G",
                "generator",
                (Term("adv", m.lambda_adv), Term("cls", m.lambda_cls), Term("rec", m.lambda_rec)),
                period=m.critic_updates,
                idle=m.critic_updates - 1,
            ),
        )

    def networks(self) -> dict[str, nn.Module]:
        n = self.settings.network
        return {
            "generator": StarGANGenerator(n, self.settings.layout),
            "discriminator": Discriminator(
                n.size, n.discriminator_widths, n.discriminator_leak, len(self.columns), spectral=False
            ),
        }

    def draw(self, labels: NDArray[Any], seed: int, images_seen: int, count: int) -> NDArray[np.int64]:
        return draw_any(labels, seed, images_seen, count)

    def stage(self, images_seen: int) -> int:
        return 0

    def prepare(
        self, networks: Mapping[str, Any], x: Tensor, labels: Tensor, images_seen: int, updates: Collection[str]
    ) -> StarGANStep:
        everyone = ranks.whole(labels)
        y_trg: Tensor = ranks.own(everyone[torch.randperm(len(everyone), device=labels.device)])
        with torch.set_grad_enabled("G" in updates):
            return StarGANStep(x, labels, y_trg, networks["generator"](x, y_trg))

    def losses(
        self, phase: str, due: Collection[str], networks: Mapping[str, Any], shared: StarGANStep
    ) -> dict[str, Tensor]:
        if phase == "D":
            return self._discriminator_losses(due, networks["discriminator"], shared)
        return self._generator_losses(networks, shared)

    def _discriminator_losses(self, due: Collection[str], discriminator: Any, s: StarGANStep) -> dict[str, Tensor]:
        x_fake = s.x_fake.detach()
        scores, logits = discriminator(torch.cat([s.x_real, x_fake]))
        scores_real, scores_fake = scores.chunk(2)
        parts = {
            "adv": losses.wasserstein_discriminator(scores_real, scores_fake),
            "cls": losses.classification(logits[: len(s.x_real)], s.y_org),
        }
        if "gp" in due:
            # As released: of the sum of the patch map.
            gradient = gradient_between(lambda x: discriminator(x)[0].sum((1, 2, 3)), s.x_real, x_fake)
            parts["gp"] = losses.gradient_penalty(gradient)
        return parts

    def _generator_losses(self, networks: Mapping[str, Any], s: StarGANStep) -> dict[str, Tensor]:
        scores, logits = networks["discriminator"](s.x_fake)
        return {
            "adv": losses.adversarial_generator(scores),
            "cls": losses.classification(logits, s.y_trg),
            "rec": losses.reconstruction(s.x_real, networks["generator"](s.x_fake, s.y_org)),
        }
