"""A folder of weights that explains itself: model.safetensors beside config.json. No torch, no pickle."""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from traitswap.errors import TraitswapError
from traitswap.files import written_whole

WEIGHTS_NAME = "model.safetensors"
CONFIG_NAME = "config.json"
PACKAGED_WEIGHTS = Path(__file__).parent / "pretrained"
"""Those that come with the package, as `traitswap publish` wrote them."""
KIND = "traitswap"
KEYS = ("attributes", "size", "preset", "training_data", "images_seen", "settings")
"""What the config.json of a codec says."""


def save_weights(folder: Path, tensors: Mapping[str, NDArray[Any]], config: Mapping[str, Any]) -> None:
    """Writes a weights folder, whole or not at all."""
    with written_whole(folder) as fresh:
        fresh.mkdir()
        write_tensors(fresh / WEIGHTS_NAME, tensors)
        (fresh / CONFIG_NAME).write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def load_config(folder: Path, kind: str, keys: Collection[str]) -> dict[str, Any]:
    """The config.json of a weights folder of this `kind` ("traitswap" or "attribute-classifier"), with these keys."""
    if not folder.is_dir():
        raise TraitswapError(f"no such weights folder: {folder}")
    path = folder / CONFIG_NAME
    try:
        config: dict[str, Any] = json.loads(path.read_text("utf-8"))
        found = config["kind"]
    except FileNotFoundError:
        raise TraitswapError(f"{folder} is not a weights folder: it has no {CONFIG_NAME}") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise TraitswapError(f"{path} is damaged: get the weights folder again") from None
    if found != kind:
        raise TraitswapError(f"{folder} holds weights of kind '{found}'; expected '{kind}'")
    missing = [key for key in keys if key not in config]
    if missing:
        raise TraitswapError(f"{path} lacks {', '.join(missing)}: get the weights folder again")
    return config


def write_tensors(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Writes arrays by name; `OSError` if that fails."""
    # Not `save_file`, whose files no other user can read.
    path.write_bytes(save({name: np.ascontiguousarray(value) for name, value in tensors.items()}))


def load_tensors(folder: Path, file: str = WEIGHTS_NAME) -> dict[str, NDArray[Any]]:
    """The arrays in a file of a weights folder by name, exactly as they were saved."""
    path = folder / file
    try:
        tensors: dict[str, NDArray[Any]] = load_file(path)
    except FileNotFoundError:
        raise TraitswapError(f"{folder} is not a weights folder: it has no {file}") from None
    except (OSError, SafetensorError, ValueError) as error:
        raise TraitswapError(f"{path} is damaged or cut short ({error}): get the weights folder again") from None
    return tensors


def sha256_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
