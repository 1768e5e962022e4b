"""Photo ↔ array ↔ network range. The only place that crops, resizes and scales to −1 … 1."""

import contextlib
import io
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from traitswap.errors import TraitswapError
from traitswap.files import written_whole
from traitswap.metadata import marked, metadata_of, saving_options

with contextlib.suppress(ImportError):
    # An extra: photos as phones take them. Pillow reads and writes them from here on.
    from pillow_heif import register_heif_opener

    register_heif_opener()

UInt8Array = NDArray[np.uint8]

Pixel = TypeVar("Pixel", np.uint8, np.float32)

MAX_PIXELS = 120_000_000
"""Larger photos are refused before they are decoded: a small file can unpack to many gigabytes."""
FORMATS = (
    "AVIF", "BMP", "DIB", "GIF", "HEIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TGA", "TIFF", "WEBP",
)  # fmt: skip
"""What photos are read from, by Pillow's names. It knows more, some of which run other programs on what they are given
(EPS), or are no photos (PDF)."""
_OF_EXTRAS = (".heic", ".heif", ".hif")
WRITTEN = ("AVIF", "HEIF", "JPEG", "PNG", "TIFF", "WEBP")
"""What pictures are written as: what has a place for EXIF, colour profile and the mark."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo that was read. `pixels`: H × W × 3, uint8, RGB, upright."""

    pixels: UInt8Array
    alpha: UInt8Array | None = None
    """H × W, if the photo has transparency."""
    metadata: dict[str, bytes] = field(default_factory=dict)
    """As `metadata_of` gives it."""
    name: str = "the photo"
    """What messages call it."""

    @cached_property
    def seen(self) -> UInt8Array:
        """The pixels as they look on white."""
        return self.pixels if self.alpha is None else np.asarray(_on_white(self.with_pixels(self.pixels)))

    def with_pixels(self, pixels: UInt8Array) -> Image.Image:
        """Other pixels in place of these: RGB, or RGBA with this alpha if they are as many; metadata in `info`."""
        image = Image.fromarray(pixels)
        if self.alpha is not None and self.alpha.shape == pixels.shape[:2]:
            image.putalpha(Image.fromarray(self.alpha))
        image.info.update(self.metadata)
        return image


PhotoLike = str | Path | bytes | Image.Image | UInt8Array | Photo


def read_photo(photo: PhotoLike) -> UInt8Array:
    """Any photo as an upright RGB array, height × width × 3, uint8; alpha is laid over white. See `open_photo`."""
    return open_photo(photo).seen


def open_photo(photo: PhotoLike, name: str = "", max_pixels: int = MAX_PIXELS) -> Photo:
    """Reads any photo: a path, the bytes of an image file, a PIL image, or an RGB or grey uint8 array.

    EXIF orientation is applied; grey, CMYK and 16-bit become 8-bit RGB. Raises `TraitswapError` if it cannot be read or
    is a file of more than `max_pixels`; messages call it `name`, or by its path.
    """
    if isinstance(photo, Photo):
        return photo
    name = name or (str(photo) if isinstance(photo, str | Path) else "the photo")
    if isinstance(photo, np.ndarray):
        return Photo(_checked_array(photo), name=name)
    try:
        if isinstance(photo, Image.Image):
            return _photo(photo, name)
        with warnings.catch_warnings():
            # Pillow warns about damaged metadata that does not concern the pixels, and about size, checked below.
            warnings.simplefilter("ignore")
            source: Any = io.BytesIO(photo) if isinstance(photo, bytes) else photo
            with Image.open(source, formats=_readable()) as image:
                if image.width * image.height > max_pixels:
                    raise TraitswapError(
                        f"{name} has {image.width}×{image.height} pixels; at most {max_pixels:,} are read: "
                        "make it smaller"
                    )
                return _photo(image, name)
    except TraitswapError:
        raise
    except FileNotFoundError:
        raise TraitswapError(f"no such photo: {name}") from None
    except IsADirectoryError:
        raise TraitswapError(f"{name} is a folder: give one photo") from None
    except UnidentifiedImageError:
        raise TraitswapError(
            f"{name} is not an image that can be read: save it as JPEG, PNG, WebP or the like"
            + ("" if "HEIF" in Image.OPEN else ", or, if it is HEIC, pip install 'traitswap[heic]'")
        ) from None
    except Image.DecompressionBombError:
        raise TraitswapError(f"{name} has more than {max_pixels:,} pixels: make it smaller") from None
    except Exception as error:  # each format's reader has its own
        raise TraitswapError(f"{name} is damaged or cut short ({error}): get another copy") from None


def _readable() -> list[str]:
    """Those of `FORMATS` that are installed."""
    Image.init()
    return [file_format for file_format in FORMATS if file_format in Image.OPEN]


def names_photo(path: Path) -> bool:
    """Whether a file's name is that of a photo, by its ending, whether it can be read or not; hidden ones are none."""
    suffix = path.suffix.lower()
    known = Image.registered_extensions().get(suffix) in FORMATS or suffix in _OF_EXTRAS
    return known and not path.name.startswith(".")


def _photo(image: Image.Image, name: str) -> Photo:
    image = _upright(image)
    metadata = metadata_of(image)
    if image.mode.startswith(("I", "F")):
        # 16-bit grey: Pillow would clip it to white when converting.
        data = np.asarray(image, dtype=np.float64)
        grey = np.clip(data / 257.0 if data.max() > 255 else data, 0, 255).astype(np.uint8)
        image = Image.fromarray(grey)
    if "A" in image.getbands() or "transparency" in image.info:
        pixels = np.array(image.convert("RGBA"))
        return Photo(np.ascontiguousarray(pixels[:, :, :3]), np.ascontiguousarray(pixels[:, :, 3]), metadata, name)
    return Photo(np.array(image.convert("RGB")), None, metadata, name)


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # EXIF damaged in any of many ways: the pixels, which are loaded, are whole.
        image = image.copy()
        image.info.pop("exif", None)
        return image


def _on_white(image: Image.Image) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _checked_array(array: NDArray[Any]) -> UInt8Array:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.size == 0 or array.shape[2:] not in ((), (3,)):
        raise TraitswapError(
            f"got an array of {array.dtype} with shape {array.shape}; "
            "expected uint8, height × width × 3 (RGB) or height × width"
        )
    return np.repeat(array[:, :, None], 3, axis=2) if array.ndim == 2 else array


RESIZE = "centre square; OpenCV linear to shrink to no less than half, area averaging to less, cubic to enlarge"
"""What `square` does, for protocols."""


def square(array: UInt8Array, size: int) -> UInt8Array:
    """The centre square of an H × W × 3 array, resized to `size` × `size`.

    A published CelebA picture (178×218) gives its 178×178 centre, as the paper crops it.
    """
    height, width = array.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return np.ascontiguousarray(resized(array[top : top + side, left : left + side], size))


def resized(square: NDArray[Pixel], size: int) -> NDArray[Pixel]:
    """A square array (S × S × 3, uint8 or float32) at `size` × `size`: averaged to shrink, cubic to enlarge."""
    if len(square) == size:
        return square
    # Down to half, linear interpolation takes in every pixel too, in a sixth of the time.
    to_shrink = cv2.INTER_LINEAR if len(square) <= 2 * size else cv2.INTER_AREA
    how = to_shrink if len(square) > size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(square, (size, size), interpolation=how), square.dtype)


def to_network(pixels: Any) -> Any:
    """0 … 255 to −1 … 1, for float arrays and tensors of any shape."""
    return pixels / 127.5 - 1.0


def to_pixels(values: NDArray[Any]) -> UInt8Array:
    """−1 … 1 (any shape) to 0 … 255 uint8, rounded, with what lies outside clipped."""
    scaled: UInt8Array = np.clip(np.rint((values + 1.0) * 127.5), 0, 255).astype(np.uint8)
    return scaled


def save_photo(image: UInt8Array | Image.Image, path: Path, mark: bool = False) -> None:
    """Writes a picture as `encoded` makes it, in the format that the path's ending says: whole, or not at all and what
    was there stays."""
    file_format = format_of(path)
    if not file_format:
        raise TraitswapError(
            f"'{path.name}' names no format that pictures are written in: end it in .png, .jpg or .webp"
        )
    data = encoded(image, file_format, mark)
    with written_whole(path) as fresh:
        fresh.write_bytes(data)


def format_of(path: Path) -> str:
    """Pillow's name of the format that a path's ending says; empty if it is none of `WRITTEN` that is installed."""
    file_format = Image.registered_extensions().get(path.suffix.lower(), "")
    return file_format if file_format in WRITTEN and file_format in Image.SAVE else ""


def encoded(image: UInt8Array | Image.Image, file_format: str, mark: bool = False) -> bytes:
    """The bytes of an image file of a picture, an array (H × W × 3) or an image; `file_format` is Pillow's name.

    Metadata in the image's `info` (`Photo.with_pixels`) is written too, where the format has a place for it; `mark`
    adds that a trained model made part of it. Where the format has no transparency, it is laid over white.
    """
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    metadata: dict[str, bytes] = {
        name: picture.info[name] for name in ("exif", "icc_profile", "xmp") if name in picture.info
    }
    if mark:
        metadata["xmp"] = marked(metadata.get("xmp", b""))
    if picture.mode == "RGBA" and file_format == "JPEG":
        picture = _on_white(picture)
    data = io.BytesIO()
    try:
        picture.save(data, file_format, quality=95, **saving_options(file_format, metadata))
    except (ValueError, OSError) as error:  # too large for the format, for one
        raise TraitswapError(
            f"a picture of {picture.width}×{picture.height} pixels cannot be written as {file_format} ({error}): "
            "choose another format"
        ) from None
    return data.getvalue()
