"""Each equation of the paper, and what the baselines add, once: pure functions of tensors to one number.

Weights are applied elsewhere.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def adversarial_discriminator(scores_real: Tensor, scores_fake: Tensor) -> Tensor:
    """L_D of eq. 1, the hinge: E ReLU(1 − D_adv(x)) + E ReLU(1 + D_adv(x̃)). Scores of any shape."""
    return F.relu(1 - scores_real).mean() + F.relu(1 + scores_fake).mean()


def adversarial_generator(scores_fake: Tensor) -> Tensor:
    """L_G of eq. 1: −E D_adv(x̃) (printed without its minus sign)."""
    return -scores_fake.mean()


def wasserstein_discriminator(scores_real: Tensor, scores_fake: Tensor) -> Tensor:
    """The critic's part of eq. 8 of StarGAN, and of DNA-GAN: −E D(x) + E D(x̃). Scores of any shape."""
    return scores_fake.mean() - scores_real.mean()


def gradient_penalty(gradient: Tensor) -> Tensor:
    """The last term of eq. 1: E(‖∇D_adv(x̂)‖₂ − 1)², for the N × … gradient at N points x̂."""
    norms: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    return (norms - 1).square().mean()


def r1(gradient: Tensor) -> Tensor:
    """Half of E‖∇D_adv(x)‖₂² over real images (Mescheder et al., 2018), for the N × … gradient at N of them."""
    return gradient.square().sum() / (2 * len(gradient))


def classification(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Eq. 2 and 3: binary cross-entropy of N × L logits to 0/1 labels, summed over columns, averaged over images.

    `weights` (N × L) makes some columns of some images count more.
    """
    each = F.binary_cross_entropy_with_logits(logits, labels, weight=weights, reduction="none")
    return each.sum(1).mean()


def cycle_consistency(x_real: Tensor, x_rec: Tensor) -> Tensor:
    """Eq. 4: ‖x_a − x′_a‖₁ + ‖x_b − x′_b‖₁, each a mean over pixels, for batches that hold both images of each pair."""
    return 2 * F.l1_loss(x_rec, x_real)


def reconstruction(x_real: Tensor, x_rec: Tensor) -> Tensor:
    """Eq. 4 of StarGAN, and DNA-GAN's: ‖x − x′‖₁, a mean over pixels and images."""
    return F.l1_loss(x_rec, x_real)


def verification(same: Tensor, other: Tensor) -> Tensor:
    """Eq. 5 and 6: V(e_a, ê_a) + V(e_b, ê_b) + V(e_a, ê_b) + V(e_b, ê_a), V a mean over attributes.

    `same` holds the logits (2n × k) of the first two, to be 1; `other` those of the last two, to be 0.
    """
    to_one = F.binary_cross_entropy_with_logits(same, torch.ones_like(same))
    to_zero = F.binary_cross_entropy_with_logits(other, torch.zeros_like(other))
    return 2 * (to_one + to_zero)


def distances(x_real: Tensor, x_fake: Tensor) -> Tensor:
    """L1 of each of N images and its result, a mean over pixels: N."""
    return (x_fake - x_real).abs().mean((1, 2, 3))


def self_reconstruction(distances: Tensor, untouched: Tensor) -> Tensor:
    """The mean of `distances` (N) over the images with nothing swapped (`untouched`, N, bool), weighed as eq. 4.

    0 where there is none of them.
    """
    return 2 * (distances * untouched).sum() / untouched.sum().clamp(min=1)
