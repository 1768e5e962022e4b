"""What a run needs to go on: written to a temporary file and renamed, the last two kept."""

import re
from pathlib import Path
from typing import Any

import torch

from traitswap.checkpoint import written_whole
from traitswap.errors import TraitswapError

_NAME = re.compile(r"state-(\d+)\.pt")


def save_state(run: Path, images_seen: int, state: dict[str, Any]) -> None:
    """Writes `run`/state/state-<images seen>.pt, then removes all but the last two."""
    with written_whole(run / "state" / f"state-{images_seen:09d}.pt") as fresh:
        torch.save(state, fresh)
    for old in _states(run)[:-2]:
        old.unlink(missing_ok=True)


def load_state(run: Path) -> dict[str, Any] | None:
    """The newest readable state of a run, or None where there is none. Tensors and plain values only."""
    states = _states(run)
    for path in reversed(states):
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return state
        except Exception:
            continue
    if states:
        raise TraitswapError(
            f"none of the states in {run / 'state'} can be read: give another --out, or remove that folder"
        )
    return None


def _states(run: Path) -> list[Path]:
    found = (run / "state").glob("state-*.pt") if (run / "state").is_dir() else ()
    return sorted(path for path in found if _NAME.fullmatch(path.name))
