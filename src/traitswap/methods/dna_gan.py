"""DNA-GAN (Xiao et al., 2017): pieces exchanged and annihilated between faces that have and lack an attribute."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from traitswap import losses
from traitswap.baselines import DNAGANSettings
from traitswap.data.pairs import images_at
from traitswap.errors import TraitswapError
from traitswap.methods.base import Phase, Term
from traitswap.networks.dna_gan import DNAGANDiscriminator, DNAGANGenerator, DNAGANPass


class DNAGANStep(NamedTuple):
    x_real: Tensor
    """A_1 … A_k, then B_1 … B_k, equally many: A_i have attribute i, B_i lack it."""
    labels: Tensor
    own: Tensor
    """The attribute for which each image is in the batch, N × 1."""
    result: DNAGANPass


class DNAGAN:
    """The losses of its section 3, with the settings of `settings.method`; WGAN by weight clipping.

    D judges a synthesized image by the labels of the real one that it stands beside: B_x by those of A, A_e by those of
    B. So the labels that D sees are the same for real and synthesized images, and tell it nothing.
    """

    fingerprint = ""

    def __init__(self, settings: DNAGANSettings) -> None:
        m = settings.method
        self.settings = settings
        self.layout = settings.layout
        self.columns = self.layout.columns
        self.attributes = len(self.layout.attributes)
        # The paper adds up attributes, and A and B of each; the losses are means over all images of the step.
        groups = 2 * self.attributes
        self.groups = groups
        self.phases = (
            Phase("D", "discriminator", (Term("adv", groups * m.lambda_adv),), clip=m.clip),
            Phase(
                "G",
                "generator",
                # Half: L1 is weighed for a scale of 0 … 1, faces are on one of −1 … 1.
                (Term("adv", groups * m.lambda_adv), Term("rec", groups * m.lambda_rec / 2)),
                period=m.critic_every + m.critic_updates - 1,
                idle=m.critic_updates - 1,
            ),
        )

    def networks(self) -> dict[str, nn.Module]:
        network = self.settings.network
        return {
            "generator": DNAGANGenerator(network, self.layout),
            "discriminator": DNAGANDiscriminator(network, self.attributes),
        }

    def draw(self, labels: NDArray[Any], seed: int, images_seen: int, count: int) -> NDArray[np.int64]:
        """For every attribute as many faces that have it as lack it: A_1 … A_k, then B_1 … B_k."""
        each = count // (2 * self.attributes)
        position = images_seen // (2 * self.attributes)
        picks = []
        for has in (1, 0):
            for i, column in enumerate(self.columns):
                group = np.flatnonzero(labels[:, i] == has)
                if len(group) < 2:
                    raise TraitswapError(
                        f"dna-gan needs training faces with and without {column}; there are {len(group)} "
                        + ("with" if has else "without")
                    )
                group_seed = int(np.random.SeedSequence([seed, has, i]).generate_state(1)[0])
                picks.append(group[images_at(len(group), group_seed, position, each)])
        return np.concatenate(picks)

    def stage(self, images_seen: int) -> int:
        return 0

    def prepare(
        self, networks: Mapping[str, Any], x: Tensor, labels: Tensor, images_seen: int, updates: Collection[str]
    ) -> DNAGANStep:
        own = torch.arange(self.attributes, device=x.device).repeat_interleave(len(x) // (2 * self.attributes))
        rebuild = "G" in updates
        with torch.set_grad_enabled(rebuild):
            result = networks["generator"](x, rebuild)
        return DNAGANStep(x, labels, own.repeat(2)[:, None], result)

    def losses(
        self, phase: str, due: Collection[str], networks: Mapping[str, Any], shared: DNAGANStep
    ) -> dict[str, Tensor]:
        s = shared

        def scores(x: Tensor) -> Tensor:
            """Of the attribute that each image is there for. Real and synthesized faces are batches of their own."""
            found: Tensor = networks["discriminator"](x, s.labels)
            return found.gather(1, s.own)

        if phase == "D":
            return {"adv": losses.wasserstein_discriminator(scores(s.x_real), scores(s.result.x_fake.detach()))}
        assert s.result.x_rec is not None
        return {
            "adv": losses.adversarial_generator(scores(s.result.x_fake)),
            "rec": losses.reconstruction(s.x_real, s.result.x_rec),
        }
