"""Module weights ↔ plain arrays, strictly: every tensor has its place and every place its tensor."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from traitswap.errors import TraitswapError


def arrays_of(module: nn.Module, prefix: str = "") -> dict[str, NDArray[Any]]:
    """All parameters and buffers as arrays, by name."""
    return {prefix + name: value.detach().cpu().contiguous().numpy() for name, value in module.state_dict().items()}


def load_arrays(module: nn.Module, arrays: Mapping[str, NDArray[Any]], folder: Path, prefix: str = "") -> None:
    """Loads the arrays whose names begin with `prefix`; raises `TraitswapError` unless they fit exactly."""
    state = {n.removeprefix(prefix): torch.tensor(a) for n, a in arrays.items() if n.startswith(prefix)}
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise TraitswapError(f"the weights in {folder} do not fit their config.json ({reason})") from None
