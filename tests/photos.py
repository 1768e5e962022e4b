"""Photos of faces, and a codec whose edits are known, for the tests of everything round the model."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from traitswap.attributes import Attribute, Layout
from traitswap.codec import Codes
from traitswap.pipeline import TransferPipeline
from traitswap.styles import Styles

TINT = 40.0
"""Levels that `Tint` adds where a unit comes from another photo."""


def astronaut():
    """The one real photo that comes with a package; 512 × 512, a face 90 pixels wide."""
    data = pytest.importorskip("skimage.data", reason="scikit-image, whose sample photo has a face, is missing")
    return np.asarray(data.astronaut())


def turned(image, degrees):
    """The photo turned anticlockwise about the astronaut's face, and the matrix that does it."""
    matrix = cv2.getRotationMatrix2D((222.5, 118.5), degrees, 1)
    return cv2.warpAffine(image, matrix, image.shape[1::-1], flags=cv2.INTER_CUBIC), matrix


def scaled(image, size):
    how = cv2.INTER_AREA if size < len(image) else cv2.INTER_CUBIC
    return cv2.resize(image, (size, size), interpolation=how)


def two_faces():
    """A large face left, one half as wide right."""
    image = np.full((512, 800, 3), 255, np.uint8)
    image[:, :512] = astronaut()
    image[100:356, 544:] = scaled(astronaut(), 256)
    return image


class Tint:
    """A model that sees nothing but which photo a unit is from, blurs what it rebuilds, and reddens what it takes."""

    layout = Layout((Attribute("hair_color", ("Hair",)), Attribute("smiling", ("Smiling",))), 1, 1)
    size = 64

    def encode(self, faces, labels=None):
        own = faces.mean((1, 2, 3), keepdims=True)
        return Codes(np.repeat(own, self.layout.channels, 1).astype(np.float32), faces, self.layout)

    def decode(self, codes):
        blurred = [cv2.blur(face.transpose(1, 2, 0), (9, 9)).transpose(2, 0, 1) for face in codes.photo]
        result = np.clip(np.stack(blurred), -0.9, 0.4)
        taken = codes.embedding[:, 0] != codes.embedding[:, -1]
        result[:, 0] += TINT / 127.5 * taken
        return result


def tint():
    return TransferPipeline(Tint())


class Shade(Tint):
    """A model whose units are a face's brightness, and which reddens (hair) or greens (smile) by what it takes, what is
    bright the most."""

    def decode(self, codes):
        result = np.stack([cv2.blur(face.transpose(1, 2, 0), (9, 9)).transpose(2, 0, 1) for face in codes.photo])
        units = codes.embedding
        result[:, :2] += (units[:, :2] - units[:, 2:]) / 4 * (1.5 + codes.photo[:, :2])
        return result


def shade():
    """With styles."""
    levels = {"hair_color": {"dark": -0.9, "fair": 0.9}, "smiling": {"smiling": 0.7}}
    return TransferPipeline(
        Shade(),
        styles=Styles(
            {
                name: {style: np.full((1, 1, 1), level, np.float32) for style, level in known.items()}
                for name, known in levels.items()
            }
        ),
    )


def image_file(image, file_format="PNG", **options):
    """The bytes of an image file."""
    buffer = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(buffer, file_format, **options)
    return buffer.getvalue()
