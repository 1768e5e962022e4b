"""Several processes that train one model (`torchrun`): each has its share of every batch, all have the same weights.

What is random is drawn for the whole batch by every process, which then takes its share: so a batch is the same batch
however many processes work on it. With one process nothing here does anything.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_PATIENCE = timedelta(hours=24)
"""How long the others wait while the first decodes images or trains a classifier."""


def join() -> None:
    """Joins the processes that torchrun began with this one, if it did."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=_PATIENCE)


def leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def count() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if count() > 1 else 0


def local_rank() -> int:
    """Among the processes of this machine: which of its GPUs is this one's."""
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def first_before_others() -> Iterator[None]:
    """The first process goes through the block before all others, which then find what it made."""
    if rank() > 0:
        dist.barrier()
    yield
    if rank() == 0 and count() > 1:
        dist.barrier()


def own(whole: Any, groups: int = 2) -> Any:
    """This process's rows of a tensor or array that is the whole batch's: an equal part of each of its `groups`.

    A batch of pairs is two groups, the images and their partners, so that partners stay together.
    """
    size = count()
    if size == 1:
        return whole
    parts = whole.reshape(groups, size, len(whole) // (groups * size), *whole.shape[1:])[:, rank()]
    return parts.reshape(-1, *whole.shape[1:])


def rand(count_own: int, *shape: int, device: torch.device, groups: int = 2) -> Tensor:
    """Numbers from 0 to 1 for this process's rows of a batch, `count_own` × `shape`."""
    result: Tensor = own(torch.rand(count_own * count(), *shape, device=device), groups)
    return result


def whole(rows: Tensor) -> Tensor:
    """The tensor of a whole batch of pairs, of which each process has its `rows`; no gradient flows."""
    if count() == 1:
        return rows
    halves = torch.stack([part.reshape(2, -1, *rows.shape[1:]) for part in _of_all(rows.contiguous())], 1)
    return halves.reshape(-1, *rows.shape[1:])


def mean(value: Tensor) -> Tensor:
    """The mean over all processes, in each of them; no gradient flows."""
    if count() == 1:
        return value
    # Of few numbers, which gloo gathers in half the time that it takes to reduce them.
    return torch.stack(_of_all(value.detach())).mean(0)


def _of_all(value: Tensor) -> list[Tensor]:
    """The tensor as each process has it, in their order."""
    parts = [torch.empty_like(value) for _ in range(count())]
    dist.all_gather(parts, value)
    return parts


def any_of(flag: bool, device: torch.device) -> bool:
    """Whether it is so in at least one process: they stop together, or they would wait for each other for ever."""
    return flag if count() == 1 else bool(mean(torch.tensor(float(flag), device=device)) > 0)


def average_gradients(module: nn.Module) -> None:
    """Each process has those of its share's mean loss; afterwards all have those of the whole batch's."""
    if count() == 1:
        return
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    # One message for all of them.
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    parts = torch.split(flat / count(), [gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def synchronized(module: nn.Module) -> nn.Module:
    """The module, its batch normalization over the batches of all processes."""
    if count() > 1:
        for part in module.modules():
            if type(part) is nn.BatchNorm2d:
                part.__class__ = _SynchronizedBatchNorm2d
    return module


class _SynchronizedBatchNorm2d(nn.BatchNorm2d):
    """torch's own needs a GPU."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        average, variance = _statistics(x)
        values = count() * x.numel() / x.shape[1]
        self.running_mean.lerp_(average, self.momentum)
        self.running_var.lerp_(variance * values / (values - 1), self.momentum)
        result: Tensor = _Normalized.apply(x, self.weight, self.bias, average, variance, self.eps)  # type: ignore[no-untyped-call]
        return result


@torch.no_grad()
def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and (biased) variance of each channel over the batches of all processes, by one message."""
    # torch's own kernel for it is ten times as fast as var_mean. The running averages that it updates are not wanted.
    unused = x.new_zeros(2, x.shape[1], dtype=torch.float32)
    own_statistics = torch.stack(torch.batch_norm_update_stats(x, unused[0], unused[1], 0.0))
    means, variances = torch.stack(_of_all(own_statistics), 1)
    # Every process has as many values. Squares of means would lose digits where a mean is far from 0.
    return means.mean(0), variances.mean(0) + means.var(0, correction=0)


class _Normalized(torch.autograd.Function):
    """Batch normalization with given statistics, and the gradient of what depends on them as well.

    The losses of all processes hang on the statistics; what comes back of them is averaged, as gradients of weights
    are. Both directions use torch's own kernels, which go over the batch once.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, average: Tensor, variance: Tensor, eps: float
    ) -> Tensor:
        ctx.save_for_backward(x, weight, average, variance)
        ctx.eps = eps
        return torch.batch_norm(x, weight, bias, average, variance, False, 0.0, eps, False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, average, variance = ctx.saved_tensors
        # With g the gradient, h the normalized x and s the deviation: first term w g / s, the sums of g h and of g.
        direct, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, average, variance, None, None, False, ctx.eps, [True, True, True]
        )
        gh, g = mean(torch.stack([of_weight, of_bias])) / (x.numel() / x.shape[1])
        # Less w / s (mean(g) + h mean(g h)): of the form of batch normalization itself.
        scale = weight * torch.rsqrt(variance + ctx.eps)
        through = torch.batch_norm(x, scale * gh, scale * g, average, variance, False, 0.0, ctx.eps, False)
        return direct.sub_(through), of_weight, of_bias, None, None, None
