"""How near a transfer on drawn faces comes to the truth, which can be drawn too.

    python benchmarks/drawn_truth.py WEIGHTS [--pairs 500] [--json FILE]

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
    result = {name: {k: v / s["pairs"] for k, v in s.items() if k != "pairs"} for name, s in sums.items()}
    for name, s in sums.items():
        result[name]["pairs"] = s["pairs"]
        result[name]["ratio"] = result[name]["error"] / result[name]["error_untouched"]
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
    own, taken = (pipe.encode([source.load(int(i)) for i in items]) for items in (photos, references))
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
                moved_other=np.abs(result - photo)[region].mean() if region.any() else 0.0,
            )


def other_region(pipe: TransferPipeline, source: DrawnFaces, name: str, photo: int) -> NDArray[np.bool_]:
    """Pixels of a photo that some other attribute of the model would change, and this one would not."""
    face = source.face(photo)
    base = draw_face(face, pipe.size)
    # Faces far apart in everything: what differs from one of them is all that the attribute can reach.
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
        print(
            f"{name:<12} {row['pairs']:>6.0f} {row['error']:>7.2f} {row['error_untouched']:>10.2f} "
            f"{row['ratio']:>6.2f} {row['moved_own']:>10.2f} {row['moved_other']:>12.2f}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
