"""What a method is to the training loop: networks, phases of weighted terms, and losses. No loop here."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from traitswap import ranks
from traitswap.data.pairs import images_at


@dataclass(frozen=True)
class Term:
    """A loss and its weight. With an interval it is taken every so many steps, as many times heavier."""

    name: str
    weight: float
    interval: int = 1

    def due(self, step: int) -> bool:
        return self.weight > 0 and step % self.interval == 0


@dataclass(frozen=True)
class Phase:
    """One optimizer step: only `module` takes gradients from the weighted sum of `terms`."""

    name: str
    module: str
    terms: tuple[Term, ...]
    period: int = 1
    idle: int = 0
    """The first `idle` of every `period` steps make no update: this is how often D moves without G."""
    clip: float | None = None
    """After the update, all parameters of the module are brought to within ± this."""

    def weights(self, step: int) -> dict[str, float]:
        """Of the terms that are due in a step, by name; none where nothing is updated."""
        if step % self.period < self.idle:
            return {}
        return {term.name: term.weight * term.interval for term in self.terms if term.due(step)}


class Method(Protocol):
    @property
    def phases(self) -> tuple[Phase, ...]: ...
    @property
    def columns(self) -> tuple[str, ...]:
        """The label columns whose values `draw` and `prepare` are given, in this order."""
        ...

    @property
    def groups(self) -> int:
        """Of how many groups of equal size a batch consists; processes that share it take a part of each."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes with whatever the losses depend on besides settings and data; "" where there is nothing."""
        ...

    def networks(self) -> dict[str, nn.Module]:
        """New networks by name; `generator`, a `TransferNetwork`, is the one that is averaged and kept.

        Those that no phase updates are frozen: the losses ask them.
        """
        ...

    def draw(self, labels: NDArray[Any], seed: int, images_seen: int, count: int) -> NDArray[np.int64]:
        """Which `count` training faces the step after `images_seen` images sees: a pure function.

        `labels`: those of all training faces, M × columns, 0 or 1. Returns positions in them.
        """
        ...

    def stage(self, images_seen: int) -> int:
        """Another number where, with the same terms due, a step computes something else than before."""
        ...

    def prepare(
        self, networks: Mapping[str, Any], x: Tensor, labels: Tensor, images_seen: int, updates: Collection[str]
    ) -> Any:
        """What all phases of one step share, computed once. x: N × 3 × S × S; labels: N × columns, 0 or 1.

        It and `losses` may be recorded on a GPU, and played back at other steps of the same terms and `stage`: they
        copy nothing to it from the host and read nothing from it but what they copied before.

        `networks`: those of `networks()`, in the run's precision.

        `updates` names the phases that are due. Where the generator's is not, its graph is not needed.
        """
        ...

    def losses(self, phase: str, due: Collection[str], networks: Mapping[str, Any], shared: Any) -> dict[str, Tensor]:
        """The unweighted losses of `phase` by name: at least those that are `due`."""
        ...


def draw_any(labels: NDArray[Any], seed: int, images_seen: int, count: int) -> NDArray[np.int64]:
    """`Method.draw` of the methods that take faces as they come."""
    return images_at(len(labels), seed, images_seen, count)


def gradient_between(score: Callable[[Tensor], Tensor], x_real: Tensor, x_fake: Tensor) -> Tensor:
    """∇ of `score` (faces → N) at x̂ = εx + (1 − ε)x̃, one ε ~ U[0, 1] an image: N × 3 × S × S, differentiable."""
    epsilon = ranks.rand(len(x_fake), 1, 1, 1, device=x_fake.device)
    x_hat = (epsilon * x_real + (1 - epsilon) * x_fake).requires_grad_()
    # Images are independent: the gradient of the sum holds that of each.
    (gradient,) = torch.autograd.grad(score(x_hat).sum(), x_hat, create_graph=True)
    return gradient
