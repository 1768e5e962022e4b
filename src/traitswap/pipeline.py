"""Photo and references in, photo out. Encodes once, decodes as often as wanted; keeps nothing between calls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from traitswap.codec import Codec, Codes
from traitswap.errors import TraitswapError
from traitswap.images import PhotoLike, UInt8Array, read_photo, square, to_network, to_pixels
from traitswap.onnx_codec import is_exported, load_onnx_codec

__all__ = ["PhotoLike", "Result", "TransferPipeline"]


BATCH = 32
"""Faces that are in a network at a time: bounds the memory, however many are given."""


@dataclass(frozen=True)
class Result:
    image: Image.Image
    """The edited face, RGB, as large as the model works (`TransferPipeline.size`)."""


class TransferPipeline:
    """Gives attributes of reference faces to a face.

    Photos may be paths, bytes of an image file, PIL images or uint8 arrays (height × width × 3, RGB). They are face
    crops as CelebA's are: upright, the face in the middle; a picture that is not square gives its centre square.
    Calls share no state, so threads may use one pipeline.
    """

    def __init__(self, codec: Codec, config: Mapping[str, Any] | None = None) -> None:
        self._codec = codec
        self.config: dict[str, Any] = dict(config or {})
        """The weights' config.json: attributes, sizes, preset, training data, images seen."""

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "TransferPipeline":
        """The pipeline of a weights folder, which needs nothing else.

        Exported networks (`traitswap export`) run in onnxruntime; others (model.safetensors) in torch. Raises
        `TraitswapError` if the folder is not one, or is damaged, or what it needs is not installed.
        """
        if is_exported(Path(folder)):
            return cls(*load_onnx_codec(Path(folder)))
        try:
            from traitswap.networks.weights import load_codec
        except ModuleNotFoundError as error:
            raise TraitswapError(
                f"{error.name} is needed to run weights that are not exported and is not installed: "
                "pip install 'traitswap[train]'"
            ) from None
        return cls(*load_codec(Path(folder)))

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of what can be taken from a reference."""
        return self._codec.layout.names

    @property
    def size(self) -> int:
        """Height and width of the faces that the model works on, pixels."""
        return self._codec.size

    def __call__(
        self,
        photo: PhotoLike,
        take: Mapping[str, PhotoLike] | None = None,
        strength: Mapping[str, float] | None = None,
        aligned: bool = True,
    ) -> Result:
        """The photo with each attribute of `take` taken from its reference; with none, its reconstruction.

        `strength` per attribute: 0 keeps the photo's own, 1 (default) takes the reference's, between blends.
        Raises `TraitswapError` for an unknown attribute, a strength outside 0 … 1 or a photo that cannot be read.
        """
        take, strength = dict(take or {}), dict(strength or {})
        self.check(take, strength)
        if not aligned:
            raise TraitswapError("only aligned face crops can be edited so far: crop the face and pass aligned=True")
        codes = self.encode([photo])
        references = self.encode_references(take)
        return Result(self.decode(codes.blend(references, strength))[0])

    def check(self, take: Mapping[str, Any], strength: Mapping[str, float]) -> None:
        """Raises `TraitswapError` unless the names are the model's and the strengths are usable."""
        self._codec.layout.check_names([*take, *strength])
        for name, value in strength.items():
            if name not in take:
                raise TraitswapError(f"a strength is given for '{name}', but no reference to take it from")
            if not 0 <= value <= 1:
                raise TraitswapError(
                    f"strength of '{name}' is {value}; expected 0 (the photo's own) to 1 (the reference's)"
                )

    def encode(self, photos: Sequence[PhotoLike]) -> Codes:
        """The codes of N photos, to be swapped or blended and decoded."""
        if not photos:
            raise TraitswapError("no photos to encode; give at least one")
        faces = np.stack([square(read_photo(photo), self.size) for photo in photos])
        x = to_network(faces.transpose(0, 3, 1, 2).astype(np.float32))
        parts = [self._codec.encode(np.ascontiguousarray(x[i : i + BATCH])) for i in range(0, len(x), BATCH)]
        embedding = np.concatenate([part.embedding for part in parts])
        return Codes(embedding, np.concatenate([part.photo for part in parts]), self._codec.layout)

    def encode_references(self, take: Mapping[str, PhotoLike]) -> dict[str, Codes]:
        """The codes of each attribute's reference; a photo that serves several is encoded once."""
        # Arrays and images cannot be keys, paths that are equal need not be one object.
        keys = {name: str(r) if isinstance(r, str | Path) else id(r) for name, r in take.items()}
        codes = {key: self.encode([take[name]]) for name, key in keys.items()}
        return {name: codes[key] for name, key in keys.items()}

    def decode(self, codes: Codes) -> list[Image.Image]:
        """The faces of `codes` as PIL images, `size` × `size`, RGB."""
        return [Image.fromarray(face) for face in self.decode_arrays(codes)]

    def decode_arrays(self, codes: Codes) -> UInt8Array:
        """The faces of `codes`, N × size × size × 3 uint8, RGB."""
        parts = [to_pixels(self._codec.decode(codes[i : i + BATCH])) for i in range(0, len(codes), BATCH)]
        return np.ascontiguousarray(np.concatenate(parts).transpose(0, 2, 3, 1))
