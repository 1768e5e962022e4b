"""Weights that learnt different attributes, as one weights folder. No torch."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from traitswap.checkpoint import CONFIG_NAME, KEYS, KIND, load_config, load_tensors, save_weights
from traitswap.config import JoinedSettings, LatentSwapSettings, parse_settings
from traitswap.editing import Drawing, drawing_of
from traitswap.errors import TraitswapError
from traitswap.files import written_whole
from traitswap.styles import Styles, load_styles, save_styles


def join(weights: Sequence[Path], out: Path) -> tuple[str, ...]:
    """Writes a weights folder that knows the attributes of all, in their order, with their styles; returns their names.

    What several know is taken of the last, confined as it says, or else as those before it say. Each keeps its networks
    as long as something is taken of them, and adds its change to the photo. Raises `TraitswapError`, and writes
    nothing, unless all are of the paper's method with `network.residual`, of faces and units of one size, and each
    knows an attribute that no later one does.
    """
    configs = [load_config(folder, KIND, KEYS) for folder in weights]
    last = {name: i for i, config in enumerate(configs) for name in config["attributes"]}
    parts: list[LatentSwapSettings] = []
    tensors: dict[str, Any] = {}
    drawings: list[Drawing] = []
    attributes: dict[str, Sequence[str]] = {}
    for i, (folder, config) in enumerate(zip(weights, configs, strict=True)):
        settings = parse_settings(config["settings"], str(folder))
        if isinstance(settings, LatentSwapSettings):
            members = [("", settings, settings.layout.names)]
        elif isinstance(settings, JoinedSettings):
            each = zip(settings.parts, settings.given, strict=True)
            members = [(f"{number}.", part, given) for number, (part, given) in enumerate(each)]
        else:
            raise TraitswapError(f"{folder} is of the method {settings.method.name}; only latent-swap can be joined")
        drawings.append(drawing_of(config, folder / CONFIG_NAME, settings.layout))
        loaded = load_tensors(folder)
        for prefix, part, given in members:
            taken = [name for name in given if last[name] == i]
            if not taken:
                continue
            attributes |= {name: part.attributes[name] for name in taken}
            own = {name.removeprefix(prefix): a for name, a in loaded.items() if name.startswith(prefix)}
            tensors |= {f"{len(parts)}.{name}": array for name, array in own.items()}
            parts.append(part)
    for i, (folder, config) in enumerate(zip(weights, configs, strict=True)):
        if i not in last.values():
            names = ", ".join(config["attributes"])
            raise TraitswapError(f"later weights know all that {folder} does ({names}): leave it out")
    table = {
        "preset": _listed(part.preset for part in parts),
        "attributes": attributes,
        "network": {"size": parts[0].network.size},
        "method": {"name": "joined"},
        "data": parts[0].data.model_dump(mode="json"),
        "parts": [part.model_dump(mode="json") for part in parts],
    }
    layout = parse_settings(table, "joined weights").layout
    config = {
        "kind": KIND,
        "attributes": table["attributes"],
        "size": parts[0].network.size,
        "preset": table["preset"],
        "training_data": _together([config["training_data"] for config in configs]),
        "images_seen": sum(config["images_seen"] for config in configs),
        "settings": table,
        "confined": {name: region for drawing in drawings for name, region in drawing.confined.items()},
        "mirrored": any(drawing.mirrored for drawing in drawings),
    }
    styles = [load_styles(folder, layout) for folder in weights]
    kept = {name: units for i, one in enumerate(styles) for name, units in one.units.items() if last[name] == i}
    with written_whole(out) as fresh:
        save_weights(fresh, tensors, config)
        save_styles(fresh, Styles(kept))
    return layout.names


def _together(data: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One description of all training sets, each counted once."""
    sets = list({one["fingerprint"]: one for one in data}.values())
    return {
        "name": _listed(one["name"] for one in sets),
        "fingerprint": _listed(one["fingerprint"] for one in sets),
        "train_images": sum(one["train_images"] for one in sets),
    }


def _listed(names: Iterable[str]) -> str:
    return " + ".join(dict.fromkeys(names))
