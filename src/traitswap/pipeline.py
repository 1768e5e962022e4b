"""Photo and references in, photo out. Encodes once, decodes as often as wanted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from traitswap.batched import Batched
from traitswap.checkpoint import CONFIG_NAME, KEYS, KIND, PACKAGED_WEIGHTS, load_config
from traitswap.codec import Codec, Codes, FloatArray
from traitswap.crops import Crop, Which, add_change, choose_faces, cut_out
from traitswap.editing import as_levels, as_pixels, drawing_of, edited
from traitswap.errors import TraitswapError
from traitswap.images import (
    Photo,
    PhotoLike,
    UInt8Array,
    encoded,
    open_photo,
    save_photo,
    square,
    to_network,
)
from traitswap.mirrored import Mirrored
from traitswap.onnx_codec import is_exported, load_onnx_codec
from traitswap.styles import MARK, Styles, load_styles

__all__ = ["STRONGEST", "Edit", "EncodedPhoto", "PhotoLike", "Reference", "Result", "TransferPipeline"]

Reference = PhotoLike | Codes
"""A photo, a style's name ("@blond"), or the codes of one face (`TransferPipeline.encode`)."""

STRONGEST = 1.5
"""The largest strength. Beyond, the model's faults grow faster than what is taken."""


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

    def encoded(self, file_format: str = "PNG", mark: bool = True) -> bytes:
        """The bytes that `save` writes, in a format by Pillow's name."""
        return encoded(self.image, file_format, mark)


@dataclass(frozen=True)
class Edit:
    """What one face of a photo is given (`TransferPipeline.edit_faces`)."""

    face: int
    """Its number, from 1, the largest first."""
    take: Mapping[str, Reference]
    strength: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class EncodedPhoto:
    """A photo and the codes of those of its faces that are to be edited, as often as wanted."""

    photo: Photo
    faces: tuple[tuple[int, Crop], ...]
    """Number and square of each face; empty for an aligned crop."""
    codes: Codes
    rebuilt: FloatArray
    """The faces as the model draws them with nothing taken, N × 3 × size × size, −1 … 1."""

    def face(self, i: int) -> "EncodedPhoto":
        """The same with one of its faces alone, counted from 0."""
        return EncodedPhoto(self.photo, self.faces[i : i + 1], self.codes[i : i + 1], self.rebuilt[i : i + 1])


class TransferPipeline:
    """Gives attributes of reference faces to a face.

    Photos may be paths, bytes of an image file, PIL images, uint8 arrays (height × width × 3, RGB) or what
    `images.open_photo` gives: any photo with a face, of which references give the largest. With `aligned=True` they are
    face crops as CelebA's are, upright, the face in the middle; one that is not square gives its centre square.
    References may also be names of styles, such as "@blond" (`styles`), or codes. Threads may use one pipeline.

    The last few single faces, as the model sees and encodes them, stay in memory until others take their place: what a
    slider does not move is not computed again.
    """

    def __init__(self, codec: Codec, config: Mapping[str, Any] | None = None, styles: Styles | None = None) -> None:
        drawing = drawing_of(config or {}, CONFIG_NAME, codec.layout)
        self._codec = Batched(Mirrored(codec) if drawing.mirrored else codec)
        self._styles = styles or Styles({})
        self.config: dict[str, Any] = dict(config or {})
        """The weights' config.json: attributes, sizes, preset, training data, images seen."""
        self._confined = drawing.confined

    @classmethod
    def from_pretrained(cls, folder: str | Path = PACKAGED_WEIGHTS) -> "TransferPipeline":
        """The pipeline of a weights folder, which needs nothing else; of the weights of the package if none is named.

        Exported networks (`traitswap export`) run in onnxruntime; others (model.safetensors) in torch. Raises
        `TraitswapError` if the folder is not one, or is damaged, or what it needs is not installed.
        """
        codec, config = _load_codec(Path(folder))
        return cls(codec, config, load_styles(Path(folder), codec.layout))

    def to(self, device: str) -> "TransferPipeline":
        """This pipeline, its networks moved to a device by torch's name, such as "cuda".

        Raises `TraitswapError` if there is none such, or the networks are exported ones.
        """
        self._codec.to(device)
        return self

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of what can be taken from a reference."""
        return self._codec.layout.names

    @property
    def styles(self) -> dict[str, tuple[str, ...]]:
        """For each attribute the styles that may stand for a reference ("@blond", "@blond-2", …), of each label the
        most typical first; none unless `traitswap find-styles` made them."""
        return {name: tuple(MARK + style for style in self._styles.names(name)) for name in self.attributes}

    @property
    def size(self) -> int:
        """Height and width of the faces that the model works on, pixels."""
        return self._codec.size

    def __call__(
        self,
        photo: PhotoLike,
        take: Mapping[str, Reference] | None = None,
        strength: Mapping[str, float] | None = None,
        face: Which = 1,
        aligned: bool = False,
    ) -> Result:
        """The photo with each attribute of `take` taken from its reference.

        `strength` per attribute: 0 keeps the photo's own, 1 (default) takes the reference's, between blends; up to
        1.5 (`STRONGEST`) goes beyond, where little changes. `face`: which one of the photo, from 1, the largest first,
        several of them, or "all" that are large enough and not cut off. The photo gets what the model changes, not what
        it rebuilds: with nothing taken, or strength 0, it stays bit for bit as it was. Only of an aligned crop the
        result is what the model rebuilds.

        Raises `TraitswapError` for an unknown attribute, a strength outside 0 … 1.5, a photo that cannot be read, or a
        photo or reference without a face that can be edited.
        """
        take, strength = dict(take or {}), dict(strength or {})
        self.check(take, strength)
        references = self.encode_references(take, aligned)
        return self.edit(self.encode_photo(photo, face, aligned), references, strength)

    def encode_photo(self, photo: PhotoLike, face: Which = 1, aligned: bool = False) -> EncodedPhoto:
        """The photo with the codes of its face, for `edit`; `face` and errors are those of a call."""
        if aligned and face != 1:
            raise TraitswapError("an aligned crop has one face: leave out which")
        opened = open_photo(photo)
        faces, squares = self._squares(opened, face, aligned)
        codes = self._encode(squares)
        return EncodedPhoto(opened, faces, codes, self._codec.decode(codes))

    def edit(
        self, encoded: EncodedPhoto, references: Mapping[str, Codes], strength: Mapping[str, float] | None = None
    ) -> Result:
        """What a call gives, of a photo and references (`encode_references`) that are encoded."""
        self.check(references, strength or {})
        if not encoded.faces:
            return Result(encoded.photo.with_pixels(self.draw(encoded.codes, references, strength)[0]))
        pixels = self._edited(encoded.photo.pixels, encoded, references, strength)
        return Result(encoded.photo.with_pixels(pixels), tuple(number for number, _ in encoded.faces))

    def edit_faces(self, photo: PhotoLike, edits: Sequence[Edit]) -> Result:
        """The photo with several faces edited, each in its own way and seen as it is in the photo, whatever its
        neighbours get.

        Raises `TraitswapError` as a call does, and where a face is given twice.
        """
        opened = open_photo(photo)
        numbers = tuple(edit.face for edit in edits)
        for edit in edits:
            self.check(edit.take, edit.strength)
            if numbers.count(edit.face) > 1:
                raise TraitswapError(f"face {edit.face} is edited twice: give all that it takes at once")
        if not edits:
            raise TraitswapError("no edits; give at least one")
        encoded = self.encode_photo(opened, numbers)
        pixels = opened.pixels
        for i, edit in enumerate(edits):
            references = self.encode_references(edit.take)
            pixels = self._edited(pixels, encoded.face(i), references, edit.strength)
        return Result(opened.with_pixels(pixels), numbers)

    def change(
        self,
        codes: Codes,
        references: Mapping[str, Codes],
        strength: Mapping[str, float] | None = None,
        rebuilt: FloatArray | None = None,
    ) -> FloatArray:
        """What an edit adds to N faces, N × size × size × 3, in 256 levels (`crops.guided` says what of it comes into
        the photo). `rebuilt` is that of `EncodedPhoto`; without it, it is drawn."""
        if rebuilt is None:
            rebuilt = self._codec.decode(codes)
        return as_levels(edited(self._codec, codes, references, strength, self._confined, rebuilt) - rebuilt)

    def check(self, take: Mapping[str, Any], strength: Mapping[str, float]) -> None:
        """Raises `TraitswapError` unless the names are the model's and the strengths are usable."""
        self._codec.layout.check_names([*take, *strength])
        for name, value in strength.items():
            if name not in take:
                raise TraitswapError(f"a strength is given for '{name}', but no reference to take it from")
            if not 0 <= value <= STRONGEST:
                raise TraitswapError(
                    f"strength of '{name}' is {value}; expected 0 (the photo's own) to 1 (the reference's), or up to "
                    f"{STRONGEST} to go beyond"
                )

    def encode(self, photos: Sequence[PhotoLike], aligned: bool = False) -> Codes:
        """The codes of the largest faces of N photos, to be swapped or blended and decoded."""
        if not photos:
            raise TraitswapError("no photos to encode; give at least one")
        return self._encode([s for photo in photos for s in self._squares(open_photo(photo), 1, aligned)[1]])

    def encode_references(self, take: Mapping[str, Reference], aligned: bool = False) -> dict[str, Codes]:
        """The codes of each attribute's reference; a photo that serves several is encoded once."""
        result: dict[str, Codes] = {}
        encoded: dict[object, Codes] = {}
        for name, reference in take.items():
            if isinstance(reference, Codes):
                result[name] = reference
            elif isinstance(reference, str) and reference.startswith(MARK):
                style = reference.removeprefix(MARK)
                result[name] = self._styles.codes(name, style, self._codec.layout, self.size)
            else:
                # Arrays and images cannot be keys, paths that are equal need not be one object.
                key = str(reference) if isinstance(reference, str | Path) else id(reference)
                if key not in encoded:
                    encoded[key] = self.encode([reference], aligned)
                result[name] = encoded[key]
        return result

    def draw(
        self, codes: Codes, references: Mapping[str, Codes], strength: Mapping[str, float] | None = None
    ) -> UInt8Array:
        """N faces with what they take, as the model draws them, N × size × size × 3 uint8, RGB."""
        return as_pixels(edited(self._codec, codes, references, strength, self._confined))

    def decode(self, codes: Codes) -> list[Image.Image]:
        """The faces of `codes` as PIL images, `size` × `size`, RGB."""
        return [Image.fromarray(face) for face in self.decode_arrays(codes)]

    def decode_arrays(self, codes: Codes) -> UInt8Array:
        """The faces of `codes`, N × size × size × 3 uint8, RGB."""
        return as_pixels(self._codec.decode(codes))

    def _edited(
        self,
        pixels: UInt8Array,
        encoded: EncodedPhoto,
        references: Mapping[str, Codes],
        strength: Mapping[str, float] | None,
    ) -> UInt8Array:
        changes = self.change(encoded.codes, references, strength, encoded.rebuilt)
        for change, face, (_, crop) in zip(changes, as_pixels(encoded.codes.photo), encoded.faces, strict=True):
            pixels = add_change(pixels, encoded.photo.pixels, change, face, crop)
        return pixels

    def _squares(
        self, photo: Photo, face: Which, aligned: bool
    ) -> tuple[tuple[tuple[int, Crop], ...], list[UInt8Array]]:
        """`EncodedPhoto.faces`, and what the model sees of each; of an aligned crop none, and the crop."""
        seen = photo.seen
        if aligned:
            return (), [square(seen, self.size)]
        faces = tuple(choose_faces(seen, face, photo.name))
        return faces, [cut_out(seen, crop, self.size) for _, crop in faces]

    def _encode(self, faces: Sequence[UInt8Array]) -> Codes:
        x = to_network(np.stack(faces).transpose(0, 3, 1, 2).astype(np.float32))
        return self._codec.encode(x)


def _load_codec(folder: Path) -> tuple[Codec, dict[str, Any]]:
    if is_exported(folder):
        return load_onnx_codec(folder)
    try:
        from traitswap.networks.weights import load_codec
    except ModuleNotFoundError as error:
        # Of a folder that is none, torch would not help.
        load_config(folder, KIND, KEYS)
        raise TraitswapError(
            f"{error.name} is needed to run weights that are not exported and is not installed: "
            "pip install 'traitswap[train]'"
        ) from None
    return load_codec(folder)
