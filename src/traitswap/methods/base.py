"""What a method is to the training loop: networks, phases of weighted terms, and losses. No loop, no data here."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn


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


class Method(Protocol):
    @property
    def phases(self) -> tuple[Phase, ...]: ...
    @property
    def columns(self) -> tuple[str, ...]:
        """The label columns whose values `prepare` is given, in this order."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes with whatever the losses depend on besides settings and data; "" where there is nothing."""
        ...

    def networks(self) -> dict[str, nn.Module]:
        """New networks by name; `generator` is the one that is averaged and kept."""
        ...

    def prepare(self, networks: Mapping[str, Any], x: Tensor, labels: Tensor) -> Any:
        """What all phases of one step share, computed once. x: N × 3 × S × S; labels: N × columns, 0 or 1."""
        ...

    def losses(self, phase: str, due: Collection[str], networks: Mapping[str, Any], shared: Any) -> dict[str, Tensor]:
        """The unweighted losses of `phase` by name: at least those that are `due`."""
        ...
