"""Training faces and their labels, where the steps are computed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from traitswap.data.cache import FaceData
from traitswap.images import to_network
from traitswap.training.classifier import faces_tensor

HELD_SHARE = 0.5
"""Of a GPU's free memory: the faces are held there if they take no more."""
_CHUNK = 2048


class Feed:
    """The train split of `data`. `labels`: M × columns, 0 or 1, for the host, which chooses faces by them."""

    def __init__(self, data: FaceData, columns: Sequence[str], device: torch.device) -> None:
        self.data = data
        self.split = data.split("train")
        self.labels = data.columns_of(columns)[self.split]
        self.device = device
        self._held = self._copied() if self._fits() else None

    def __len__(self) -> int:
        return len(self.split)

    def faces(self, pick: NDArray[np.int64]) -> Tensor:
        """The faces at `pick` of the train split: N × 3 × S × S float32 in −1 … 1."""
        if self._held is None:
            return faces_tensor(self.data, self.split[pick], self.device)
        pixels = self._held[self._sent(pick)]
        x: Tensor = to_network(pixels.permute(0, 3, 1, 2).float())
        return x

    def labels_of(self, pick: NDArray[np.int64]) -> Tensor:
        """Theirs, N × columns, as floats."""
        return self._sent(self.labels[pick]).float()

    def _sent(self, array: NDArray[Any]) -> Tensor:
        """On the device. From pinned memory, so that the host need not wait until a GPU gets to it."""
        tensor = torch.from_numpy(array)
        return tensor.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else tensor

    def _fits(self) -> bool:
        if self.device.type != "cuda":
            return False
        free, _ = torch.cuda.mem_get_info(self.device)
        return len(self) * self.data.images[:1].nbytes <= HELD_SHARE * free

    def _copied(self) -> Tensor:
        held = torch.empty((len(self), *self.data.images.shape[1:]), dtype=torch.uint8, device=self.device)
        for begin in range(0, len(self), _CHUNK):
            part = self.split[begin : begin + _CHUNK]
            held[begin : begin + _CHUNK] = torch.from_numpy(self.data.images[part])
        return held
