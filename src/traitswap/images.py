"""Photo ↔ array ↔ network range. The only place that crops, resizes and scales to −1 … 1."""

import io
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from traitswap.errors import TraitswapError
from traitswap.files import written_whole

UInt8Array = NDArray[np.uint8]
PhotoLike = str | Path | bytes | Image.Image | UInt8Array

MAX_PIXELS = 100_000_000
"""Larger photos are refused before they are decoded: a small file can unpack to many gigabytes."""


def read_photo(photo: PhotoLike) -> UInt8Array:
    """Any photo as an upright RGB array, height × width × 3, uint8.

    `photo` is a path, the bytes of an image file, a PIL image, or an RGB or grey uint8 array. EXIF orientation is
    applied; alpha is laid over white. Raises `TraitswapError` naming the photo if it cannot be read.
    """
    if isinstance(photo, np.ndarray):
        return _checked_array(photo)
    name = str(photo) if isinstance(photo, str | Path) else "the image data"
    try:
        if isinstance(photo, Image.Image):
            return _rgb(photo)
        with warnings.catch_warnings():
            # Pillow warns about damaged metadata that does not concern the pixels, and about size, checked below.
            warnings.simplefilter("ignore")
            source: Any = io.BytesIO(photo) if isinstance(photo, bytes) else photo
            with Image.open(source) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise TraitswapError(
                        f"{name} has {image.width}×{image.height} pixels; at most {MAX_PIXELS:,} are read"
                    )
                return _rgb(image)
    except FileNotFoundError:
        raise TraitswapError(f"no such photo: {name}") from None
    except IsADirectoryError:
        raise TraitswapError(f"{name} is a folder: give one photo") from None
    except UnidentifiedImageError:
        raise TraitswapError(f"{name} is not an image that can be read (JPEG, PNG, WebP and the like are)") from None
    except Image.DecompressionBombError:
        raise TraitswapError(f"{name} has more than {MAX_PIXELS:,} pixels: make it smaller") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise TraitswapError(f"{name} is damaged or cut short ({error}): get another copy") from None


def _rgb(image: Image.Image) -> UInt8Array:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        # 16-bit grey: Pillow would clip it to white when converting.
        data = np.asarray(image, dtype=np.float64)
        grey = np.clip(data / 257.0 if data.max() > 255 else data, 0, 255).astype(np.uint8)
        image = Image.fromarray(grey)
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.array(image.convert("RGB"))


def _checked_array(array: NDArray[Any]) -> UInt8Array:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.size == 0 or array.shape[2:] not in ((), (3,)):
        raise TraitswapError(
            f"got an array of {array.dtype} with shape {array.shape}; "
            "expected uint8, height × width × 3 (RGB) or height × width"
        )
    return np.repeat(array[:, :, None], 3, axis=2) if array.ndim == 2 else array


RESIZE = "centre square; OpenCV area averaging to shrink, cubic to enlarge"
"""What `square` does, for protocols."""


def square(array: UInt8Array, size: int) -> UInt8Array:
    """The centre square of an H × W × 3 array, resized to `size` × `size`.

    A published CelebA picture (178×218) gives its 178×178 centre, as the paper crops it. Area averaging when
    shrinking (antialiased), cubic when enlarging.
    """
    height, width = array.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    crop = np.ascontiguousarray(array[top : top + side, left : left + side])
    if side == size:
        return crop
    how = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(crop, (size, size), interpolation=how), dtype=np.uint8)


def to_network(pixels: Any) -> Any:
    """0 … 255 to −1 … 1, for float arrays and tensors of any shape."""
    return pixels / 127.5 - 1.0


def to_pixels(values: NDArray[Any]) -> UInt8Array:
    """−1 … 1 (any shape) to 0 … 255 uint8, rounded, with what lies outside clipped."""
    scaled: UInt8Array = np.clip(np.rint((values + 1.0) * 127.5), 0, 255).astype(np.uint8)
    return scaled


def save_photo(array: UInt8Array, path: Path) -> None:
    """Writes an H × W × 3 array as an image: whole, or not at all and what was there stays."""
    if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        raise TraitswapError(f"cannot tell the image format from '{path.name}': end it in .png, .jpg or .webp")
    with written_whole(path) as fresh:
        try:
            Image.fromarray(array).save(fresh, quality=95)
        except ValueError as error:  # too large for the format, for one
            raise OSError(f"{array.shape[1]}×{array.shape[0]} pixels in this format: {error}") from None
