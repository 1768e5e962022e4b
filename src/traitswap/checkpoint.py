"""A folder of weights that explains itself: model.safetensors beside config.json. No torch, no pickle."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from traitswap.errors import TraitswapError

WEIGHTS_NAME = "model.safetensors"
CONFIG_NAME = "config.json"


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A new path beside `target` to write a file or folder to; it takes `target`'s place only if all went well.

    Until then, and after any failure, what stood at `target` is untouched. Raises `TraitswapError` where the disk
    is full or the place cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise TraitswapError(f"cannot write {target}: {error.strerror or error}") from None
    try:
        fresh = scratch / "new"
        yield fresh
        if target.is_dir():
            # A folder cannot be replaced in one step; the old one is moved aside and removed last.
            target.rename(scratch / "old")
        fresh.replace(target)
    except (OSError, SafetensorError) as error:
        if (scratch / "old").exists() and not target.exists():
            (scratch / "old").rename(target)
        raise TraitswapError(f"cannot write {target}: {getattr(error, 'strerror', None) or error}") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def save_weights(folder: Path, tensors: Mapping[str, NDArray[Any]], config: Mapping[str, Any]) -> None:
    """Writes a weights folder, whole or not at all."""
    with written_whole(folder) as fresh:
        fresh.mkdir()
        save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, fresh / WEIGHTS_NAME)
        (fresh / CONFIG_NAME).write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def load_config(folder: Path, kind: str) -> dict[str, Any]:
    """The config.json of a weights folder of this `kind` ("traitswap" or "attribute-classifier")."""
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
    return config


def load_tensors(folder: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a weights folder by name, exactly as they were saved."""
    path = folder / WEIGHTS_NAME
    try:
        tensors: dict[str, NDArray[Any]] = load_file(path)
    except FileNotFoundError:
        raise TraitswapError(f"{folder} is not a weights folder: it has no {WEIGHTS_NAME}") from None
    except (OSError, SafetensorError, ValueError) as error:
        raise TraitswapError(f"{path} is damaged or cut short ({error}): get the weights folder again") from None
    return tensors
