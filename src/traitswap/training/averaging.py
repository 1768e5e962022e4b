"""Averaged weights, and batch statistics of the path of use."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from traitswap.networks.transfer import TransferNetwork


@torch.no_grad()
def average_into(average: nn.Module, model: nn.Module, images_seen: int, batch: int, half_life: float) -> None:
    """One step of the exponential moving average of parameters; `half_life` in images, shorter at the start."""
    half_life = min(half_life, 0.05 * images_seen + batch)
    decay = 0.5 ** (batch / half_life)
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)


@torch.no_grad()
def recompute_statistics(generator: TransferNetwork, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Batch-normalization statistics over what the networks see in use: encode photos, exchange, decode.

    In training they mix in faces that are encoded a second time; with those, attributes hardly move in use.
    `batches` yields faces and which units to exchange, as `TransferNetwork.transfer` takes them; a network without
    batch normalization needs none of them.
    """
    norms = [m for m in generator.modules() if isinstance(m, nn.BatchNorm2d)]
    if not norms:
        return
    momenta = [m.momentum for m in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over all batches
    generator.train()
    for x, swapped in batches:
        generator.transfer(x, swapped)
    generator.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
