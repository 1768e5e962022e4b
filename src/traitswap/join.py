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

    What several know is taken of the last. Each keeps its networks, and adds its change to the photo. Raises
    `TraitswapError`, and writes nothing, unless all are of the paper's method with `network.residual`, of faces and
    units of one size, and each knows an attribute that no later one does.
    """
    configs = [load_config(folder, KIND, KEYS) for folder in weights]
    parts: list[LatentSwapSettings] = []
    tensors: dict[str, Any] = {}
    drawings: list[Drawing] = []
    for folder, config in zip(weights, configs, strict=True):
        settings = parse_settings(config["settings"], str(folder))
        if isinstance(settings, LatentSwapSettings):
            members = {"": settings}
        elif isinstance(settings, JoinedSettings):
            members = {f"{i}.": part for i, part in enumerate(settings.parts)}
        else:
            raise TraitswapError(f"{folder} is of the method {settings.method.name}; only latent-swap can be joined")
        drawings.append(drawing_of(config, folder / CONFIG_NAME, settings.layout))
        loaded = load_tensors(folder)
        for prefix, part in members.items():
            own = {name.removeprefix(prefix): a for name, a in loaded.items() if name.startswith(prefix)}
            tensors |= {f"{len(parts)}.{name}": array for name, array in own.items()}
            parts.append(part)
    attributes: dict[str, Sequence[str]] = {}
    for part in parts:
        for name, columns in part.attributes.items():
            attributes.pop(name, None)  # its place is the last one's, too
            attributes[name] = columns
    table = {
        "preset": _listed(config["preset"] for config in configs),
        "attributes": attributes,
        "network": {"size": parts[0].network.size},
        "method": {"name": "joined"},
        "data": parts[0].data.model_dump(mode="json"),
        "parts": [part.model_dump(mode="json") for part in parts],
    }
    layout = parse_settings(table, "joined weights").layout
    last = {name: i for i, config in enumerate(configs) for name in config["attributes"]}
    config = {
        "kind": KIND,
        "attributes": table["attributes"],
        "size": parts[0].network.size,
        "preset": table["preset"],
        "training_data": _together([config["training_data"] for config in configs]),
        "images_seen": sum(config["images_seen"] for config in configs),
        "settings": table,
        "confined": {
            name: region for i, one in enumerate(drawings) for name, region in one.confined.items() if last[name] == i
        },
        "mirrored": any(drawing.mirrored for drawing in drawings),
    }
    styles = [load_styles(folder, layout) for folder in weights]
    with written_whole(out) as fresh:
        save_weights(fresh, tensors, config)
        taken = {n: units for i, one in enumerate(styles) for n, units in one.units.items() if last[n] == i}
        save_styles(fresh, Styles(taken))
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
