"""On a GPU, a step is recorded once and played back.

A step is thousands of small operations, which a processor takes longer to start one by one than the GPU to compute.
"""

from collections import Counter
from collections.abc import Callable, Hashable

import torch
from torch import Tensor

Losses = dict[str, Tensor]
Compute = Callable[[Tensor, Tensor], Losses]

WARM_UP = 3
"""Steps of a kind that are computed before one is recorded: optimizers make their state in the first, and libraries
choose their kernels."""


class Graphs:
    """Computes steps on faces and labels. Those of one `kind` differ in nothing but them, random numbers, and what
    their operations read from the GPU's memory.

    All runs on one stream, as what is recorded has to.
    """

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._computed: Counter[Hashable] = Counter()
        self._recorded: dict[Hashable, _Recorded] = {}

    def __call__(self, kind: Hashable, compute: Compute, x: Tensor, labels: Tensor) -> Losses:
        outside = torch.cuda.current_stream()
        self._stream.wait_stream(outside)
        with torch.cuda.stream(self._stream):
            if self._computed[kind] < WARM_UP:
                self._computed[kind] += 1
                losses = compute(x, labels)
            else:
                if kind not in self._recorded:
                    self._recorded[kind] = _Recorded(compute, x, labels, self._stream)
                losses = self._recorded[kind](x, labels)
        outside.wait_stream(self._stream)
        return losses


class _Recorded:
    def __init__(self, compute: Compute, x: Tensor, labels: Tensor, stream: torch.cuda.Stream) -> None:
        self._x, self._labels = x.clone(), labels.clone()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=stream):
            self._losses = compute(self._x, self._labels)

    def __call__(self, x: Tensor, labels: Tensor) -> Losses:
        self._x.copy_(x)
        self._labels.copy_(labels)
        self._graph.replay()
        return self._losses
