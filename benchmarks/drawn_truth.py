"""How near a transfer on drawn faces comes to the truth, which can be drawn too.

    traitswap train --preset benchmarks/drawn_truth.toml --data drawn --out runs/drawn --max-time 30m
    python benchmarks/drawn_truth.py runs/drawn/weights [--pairs 300] [--json FILE]

For each attribute, over held-out pairs whose labels of it differ: the mean absolute error (0 … 255) of the transferred
picture and of the photo left as it was, both against the drawn truth; and how much the pixels moved that only the
*other* attribute may change (a hair-colour swap must leave the mouth alone, and the reverse).
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traitswap.config import DataSettings
from traitswap.data.drawn import COLUMNS, DrawnFaces, draw_face, labels, transfer_face
from traitswap.data.open import SEED
from traitswap.data.pairs import held_out_pairs
from traitswap.networks.weights import load_codec
from traitswap.pipeline import TransferPipeline

CHUNK = 50
WIDTHS = (7, 10, 6, 10, 12)


def measure(weights: Path, count: int) -> dict[str, Any]:
    codec, config = load_codec(weights)
    pipe = TransferPipeline(codec, config)
    drawn = DataSettings.model_validate(config["settings"]["data"]).drawn_count
    source = DrawnFaces(drawn, SEED, pipe.size)
    test = np.flatnonzero(source.partition == 2)
    first, second = held_out_pairs(test, count, SEED)
    photos, references = np.concatenate([first, second]), np.concatenate([second, first])
    sums: dict[str, dict[str, float]] = {name: {} for name in pipe.attributes}
    for start in range(0, len(photos), CHUNK):
        measure_chunk(pipe, source, photos[start : start + CHUNK], references[start : start + CHUNK], sums)
    result = {name: means(s) for name, s in sums.items()}
    return {
        "weights": str(weights.name),
        "images_seen": config["images_seen"],
        "protocol": f"drawn faces ({drawn}, seed {SEED}, {pipe.size} px), test partition, {len(first)} pairs both ways",
        "attributes": result,
    }


def measure_chunk(
    pipe: TransferPipeline,
    source: DrawnFaces,
    photos: NDArray[np.int64],
    references: NDArray[np.int64],
    sums: dict[str, dict[str, float]],
) -> None:
    own, taken = (pipe.encode([source.load(int(i)) for i in items], aligned=True) for items in (photos, references))
    for name in pipe.attributes:
        results = pipe.decode_arrays(own.blend({name: taken}))
        columns = [COLUMNS.index(c) for c in pipe.config["attributes"][name]]
        for result, p, r in zip(results, photos, references, strict=True):
            face, reference = source.face(int(p)), source.face(int(r))
            if (labels(face)[columns] == labels(reference)[columns]).all():
                continue
            photo = draw_face(face, pipe.size).astype(float)
            truth = draw_face(transfer_face(face, reference, [name]), pipe.size).astype(float)
            region = other_region(pipe, source, name, int(p))
            add(
                sums[name],
                pairs=1,
                error=np.abs(result - truth).mean(),
                error_untouched=np.abs(photo - truth).mean(),
                moved_own=np.abs(result - photo)[(truth != photo).any(2)].mean(),
            )
            if region.any():
                add(sums[name], regions=1, moved_other=np.abs(result - photo)[region].mean())


def other_region(pipe: TransferPipeline, source: DrawnFaces, name: str, photo: int) -> NDArray[np.bool_]:
    """Pixels of a photo that some other attribute of the model would change, and this one would not."""
    face = source.face(photo)
    base = draw_face(face, pipe.size)
    # What differs from one of the first eight faces is taken to be all that the attribute can reach.
    changed = {
        attribute: np.any(
            [(draw_face(transfer_face(face, source.face(i), [attribute]), pipe.size) != base).any(2) for i in range(8)],
            axis=0,
        )
        for attribute in pipe.attributes
    }
    others = [mask for attribute, mask in changed.items() if attribute != name]
    reach: NDArray[np.bool_] = np.any(others, axis=0) & ~changed[name] if others else np.zeros(base.shape[:2], bool)
    return reach


def means(sums: dict[str, float]) -> dict[str, Any]:
    """Of what was summed; `moved_other` over the photos that have such pixels. None where there is nothing."""
    counts = {"moved_other": sums.get("regions", 0)}
    keys = ("error", "error_untouched", "moved_own", "moved_other")
    found: dict[str, Any] = {}
    for key in keys:
        count = counts.get(key, sums.get("pairs", 0))
        found[key] = sums[key] / count if count else None
    ratio = found["error"] / found["error_untouched"] if found["error"] is not None else None
    return {**found, "pairs": sums.get("pairs", 0), "ratio": ratio}


def add(sums: dict[str, float], **values: float) -> None:
    for key, value in values.items():
        sums[key] = sums.get(key, 0.0) + float(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    report = measure(arguments.weights, arguments.pairs)
    print(report["protocol"], f"({report['images_seen']:,} images seen in training)")
    print(f"{'':<12} {'pairs':>6} {'error':>7} {'untouched':>10} {'ratio':>6} {'own moved':>10} {'other moved':>12}")
    for name, row in report["attributes"].items():
        values = [row[key] for key in ("error", "error_untouched", "ratio", "moved_own", "moved_other")]
        cells = ["–" if value is None else f"{value:.2f}" for value in values]
        print(f"{name:<12} {row['pairs']:>6.0f} {' '.join(f'{c:>{w}}' for c, w in zip(cells, WIDTHS, strict=True))}")
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
