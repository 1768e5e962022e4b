"""Photo and references in, photo out. Encodes once, decodes as often as wanted; keeps nothing between calls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from traitswap.codec import Codec, Codes, FloatArray
from traitswap.crops import Which, add_change, choose_faces, cut_out
from traitswap.errors import TraitswapError
from traitswap.images import (
    PhotoLike,
    UInt8Array,
    name_of,
    open_photo,
    read_photo,
    save_photo,
    square,
    to_network,
    to_pixels,
)
from traitswap.onnx_codec import is_exported, load_onnx_codec
from traitswap.styles import MARK, Styles, load_styles

__all__ = ["PhotoLike", "Result", "TransferPipeline"]


BATCH = 32
"""Faces that are in a network at a time: bounds the memory, however many are given."""


@dataclass(frozen=True)
class Result:
    image: Image.Image
    """The whole photo, edited: upright, as large as it was, RGB, or RGBA if it has transparency, with the photo's
    metadata in `info`. Of an aligned crop: the face, as large as the model works (`TransferPipeline.size`)."""
    faces: tuple[int, ...] = ()
    """Numbers of the faces that were edited, from 1, the largest first; empty for an aligned crop."""

    def save(self, path: str | Path, mark: bool = True) -> None:
        """Writes the picture, whole or not at all, in the format that the ending says; the photo's EXIF, ICC profile
        and XMP are kept.

        `mark`: say in its XMP (IPTC's DigitalSourceType) that a trained model made part of it. Raises
        `TraitswapError` if it cannot be written.
        """
        save_photo(self.image, Path(path), mark)


class TransferPipeline:
    """Gives attributes of reference faces to a face.

    Photos may be paths, bytes of an image file, PIL images or uint8 arrays (height × width × 3, RGB): any photo with a
    face, of which references give the largest. With `aligned=True` they are face crops as CelebA's are, upright, the
    face in the middle; one that is not square gives its centre square. A reference may also be a style's name, such as
    "@blond" (`styles`). Calls share no state, so threads may use one pipeline.
    """

    def __init__(self, codec: Codec, config: Mapping[str, Any] | None = None, styles: Styles | None = None) -> None:
        self._codec = codec
        self._styles = styles or Styles({})
        self.config: dict[str, Any] = dict(config or {})
        """The weights' config.json: attributes, sizes, preset, training data, images seen."""

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "TransferPipeline":
        """The pipeline of a weights folder, which needs nothing else.

        Exported networks (`traitswap export`) run in onnxruntime; others (model.safetensors) in torch. Raises
        `TraitswapError` if the folder is not one, or is damaged, or what it needs is not installed.
        """
        codec, config = _load_codec(Path(folder))
        return cls(codec, config, load_styles(Path(folder), codec.layout))

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of what can be taken from a reference."""
        return self._codec.layout.names

    @property
    def styles(self) -> dict[str, tuple[str, ...]]:
        """For each attribute the styles that may stand for a reference ("@blond", "@blond-2", …), the commonest first;
        none unless `traitswap find-styles` made them."""
        return {name: tuple(MARK + style for style in self._styles.names(name)) for name in self.attributes}

    @property
    def size(self) -> int:
        """Height and width of the faces that the model works on, pixels."""
        return self._codec.size

    def __call__(
        self,
        photo: PhotoLike,
        take: Mapping[str, PhotoLike] | None = None,
        strength: Mapping[str, float] | None = None,
        face: Which = 1,
        aligned: bool = False,
    ) -> Result:
        """The photo with each attribute of `take` taken from its reference.

        `strength` per attribute: 0 keeps the photo's own, 1 (default) takes the reference's, between blends. `face`:
        which one of the photo, from 1, the largest first, or "all" that are large enough and not cut off. The photo
        gets what the model changes, not what it rebuilds: with nothing taken, or strength 0, it stays bit for bit as
        it was. Only of an aligned crop the result is what the model rebuilds.

        Raises `TraitswapError` for an unknown attribute, a strength outside 0 … 1, a photo that cannot be read, or a
        photo or reference without a face that can be edited.
        """
        take, strength = dict(take or {}), dict(strength or {})
        self.check(take, strength)
        if aligned and face != 1:
            raise TraitswapError("an aligned crop has one face: leave out which")
        references = self.encode_references(take, aligned)
        opened = open_photo(photo)
        if aligned:
            codes = self._encode([square(opened.seen, self.size)])
            return Result(opened.with_pixels(self.decode_arrays(codes.blend(references, strength))[0]))
        chosen = choose_faces(opened.seen, face, name_of(photo))
        codes = self._encode([cut_out(opened.seen, crop, self.size) for _, crop in chosen])
        edited, rebuilt = self._decode(codes.blend(references, strength)), self._decode(codes)
        pixels = opened.pixels
        for change, (_, crop) in zip((edited - rebuilt).transpose(0, 2, 3, 1), chosen, strict=True):
            pixels = add_change(pixels, change * np.float32(127.5), crop)
        return Result(opened.with_pixels(pixels), tuple(number for number, _ in chosen))

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

    def encode(self, photos: Sequence[PhotoLike], aligned: bool = False) -> Codes:
        """The codes of the largest faces of N photos, to be swapped or blended and decoded."""
        if not photos:
            raise TraitswapError("no photos to encode; give at least one")
        return self._encode([self._face(photo, aligned) for photo in photos])

    def encode_references(self, take: Mapping[str, PhotoLike], aligned: bool = False) -> dict[str, Codes]:
        """The codes of each attribute's reference, a photo or a style; a photo that serves several is encoded once."""
        styles = {name: r[len(MARK) :] for name, r in take.items() if isinstance(r, str) and r.startswith(MARK)}
        found = {n: self._styles.codes(n, style, self._codec.layout, self.size) for n, style in styles.items()}
        # Arrays and images cannot be keys, paths that are equal need not be one object.
        keys = {n: str(r) if isinstance(r, str | Path) else id(r) for n, r in take.items() if n not in styles}
        codes = {key: self.encode([take[name]], aligned) for name, key in keys.items()}
        return found | {name: codes[key] for name, key in keys.items()}

    def decode(self, codes: Codes) -> list[Image.Image]:
        """The faces of `codes` as PIL images, `size` × `size`, RGB."""
        return [Image.fromarray(face) for face in self.decode_arrays(codes)]

    def decode_arrays(self, codes: Codes) -> UInt8Array:
        """The faces of `codes`, N × size × size × 3 uint8, RGB."""
        return np.ascontiguousarray(to_pixels(self._decode(codes)).transpose(0, 2, 3, 1))

    def _face(self, photo: PhotoLike, aligned: bool) -> UInt8Array:
        image = read_photo(photo)
        if aligned:
            return square(image, self.size)
        [(_, crop)] = choose_faces(image, 1, name_of(photo))
        return cut_out(image, crop, self.size)

    def _encode(self, faces: Sequence[UInt8Array]) -> Codes:
        x = to_network(np.stack(faces).transpose(0, 3, 1, 2).astype(np.float32))
        parts = [self._codec.encode(np.ascontiguousarray(x[i : i + BATCH])) for i in range(0, len(x), BATCH)]
        embedding = np.concatenate([part.embedding for part in parts])
        return Codes(embedding, np.concatenate([part.photo for part in parts]), self._codec.layout)

    def _decode(self, codes: Codes) -> FloatArray:
        return np.concatenate([self._codec.decode(codes[i : i + BATCH]) for i in range(0, len(codes), BATCH)])


def _load_codec(folder: Path) -> tuple[Codec, dict[str, Any]]:
    if is_exported(folder):
        return load_onnx_codec(folder)
    try:
        from traitswap.networks.weights import load_codec
    except ModuleNotFoundError as error:
        raise TraitswapError(
            f"{error.name} is needed to run weights that are not exported and is not installed: "
            "pip install 'traitswap[train]'"
        ) from None
    return load_codec(folder)
