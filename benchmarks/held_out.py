"""What figures 3 and 4 share: any weights, and faces of any data, chosen from a split by seed."""

import argparse
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from traitswap.codec import Codes
from traitswap.config import parse_settings
from traitswap.data.open import open_faces
from traitswap.data.pairs import held_out_pairs
from traitswap.metrics.chunks import Pairs, faces_of, labels_for
from traitswap.networks.weights import load_codec
from traitswap.pipeline import TransferPipeline

Split = Literal["train", "val", "test"]


class HeldOut:
    """Weights, and the faces of a split at their size. Raises `TraitswapError` where either is not usable."""

    def __init__(self, weights: Path, where: str, split: Split) -> None:
        self.codec, config = load_codec(weights)
        self.pipe = TransferPipeline(self.codec, config)
        settings = parse_settings(config["settings"], str(weights))
        data, problems = open_faces(where, self.codec.size, settings.data)
        for problem in problems:
            print(f"note: {problem}")
        self.data = data.spelled_as(self.codec.layout.columns)
        self._indices = data.split(split)
        trained = f"{config['preset']}, {config['images_seen']:,} images of {config['training_data']['name']}"
        self.caption = f"{trained}; faces of {data.source_name}, {split}"

    def pairs(self, count: int, seed: int) -> Pairs:
        """Photos and references, paired as `traitswap evaluate` pairs them; fewer where the split is small."""
        return held_out_pairs(self._indices, count, seed)

    def differing_pairs(self, count: int, seed: int, attribute: str) -> Pairs:
        """The same, only those whose labels of the attribute differ, where the data has them."""
        photos, references = self.pairs(len(self._indices), seed)
        layout = self.codec.layout
        columns = layout.attributes[layout.index(attribute)].columns
        if set(columns) <= set(self.data.columns):
            labels = self.data.columns_of(columns)
            differ = (labels[photos] != labels[references]).any(1)
            photos, references = photos[differ], references[differ]
        return photos[:count], references[:count]

    def encode(self, indices: NDArray[np.int64]) -> Codes:
        """Codes of these faces, with their labels for the methods that need them."""
        return self.codec.encode(faces_of(self.data, indices), labels_for(self.codec, self.data, indices))


def parser(doc: str | None) -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("weights", type=Path, help="weights folder of any method")
    result.add_argument("--data", required=True, help="data set's folder, or drawn; need not be what was trained on")
    result.add_argument("--split", default="test", choices=("train", "val", "test"))
    result.add_argument("--seed", type=int, default=0, help="of the choice of faces")
    result.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    return result
