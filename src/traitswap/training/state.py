"""What a run needs to go on: its settings, and states written to a temporary file and renamed, the last two kept."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from traitswap import ranks
from traitswap.config import Settings
from traitswap.data.cache import FaceData
from traitswap.errors import TraitswapError
from traitswap.files import remove_leftovers, written_whole

RUN_NAME = "run.json"
_STATE_NAME = re.compile(r"state-(\d+)\.pt")

# What may change between two calls: how often is reported, when it ends, and the name of the data's folder.
_FREE = {
    *(
        f"settings.train.{key}"
        for key in ("images", "graphs", "report_images", "save_images", "sample_images", "keep_weights", "health_pairs")
    ),
    "data.name",
}


def open_run(settings: Settings, data: FaceData, out: Path) -> None:
    """Begins the folder of a run, or checks that it was begun with these settings and this data.

    Of several processes (`ranks`) the first alone writes.
    """
    path = out / RUN_NAME
    wanted = {
        "settings": settings.model_dump(mode="json"),
        # Their order is that of the units.
        "attributes": list(settings.attributes),
        "data": {"name": data.source_name, "fingerprint": data.fingerprint},
    }
    if _states(out):
        try:
            found = json.loads(path.read_text("utf-8"))
            changed = differences(wanted, found)
        except (OSError, ValueError, AttributeError):
            raise TraitswapError(f"{path} is missing or damaged: give another --out, or remove {out}") from None
        if changed:
            raise TraitswapError(f"{out} was begun otherwise ({'; '.join(changed)}): give the same, or another --out")
    if ranks.rank() > 0:
        return
    with written_whole(path) as fresh:
        fresh.write_text(json.dumps(wanted, indent=2) + "\n", "utf-8")
    for place in (path, out / "weights", out / "kept" / "*"):
        remove_leftovers(place)


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Settings that differ, as «key: there x, now y»."""
    now, there = flattened(wanted), flattened(found)
    # Where the learning rate falls towards the end, another end is another schedule.
    free = _FREE - {"settings.train.images"} if now.get("settings.train.lr_decay") else _FREE
    return [
        f"{key}: there {there.get(key)}, now {now.get(key)}"
        for key in dict.fromkeys([*now, *there])
        if now.get(key) != there.get(key) and key not in free
    ]


def flattened(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= flattened(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat


def save_state(run: Path, images_seen: int, state: dict[str, Any]) -> None:
    """Writes `run`/state/state-<images seen>.pt, then removes all but the last two, and what a kill left behind."""
    path = run / "state" / f"state-{images_seen:09d}.pt"
    # Opened here: torch's own writer reports a full disk as something else than an OSError.
    with written_whole(path) as fresh, fresh.open("wb") as file:
        torch.save(state, file)
    for old in _states(run)[:-2]:
        old.unlink(missing_ok=True)
    remove_leftovers(path.parent / "state-*.pt")


def load_state(run: Path) -> dict[str, Any] | None:
    """The newest readable state of a run, or None where there is none. Tensors and plain values only."""
    states = _states(run)
    for path in reversed(states):
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return state
        except Exception:  # whatever is wrong with the newest, the one before it may be whole
            continue
    if states:
        raise TraitswapError(
            f"none of the states in {run / 'state'} can be read: give another --out, or remove that folder"
        )
    return None


def _states(run: Path) -> list[Path]:
    return sorted(path for path in (run / "state").glob("state-*.pt") if _STATE_NAME.fullmatch(path.name))
