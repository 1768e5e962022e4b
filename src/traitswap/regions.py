"""The parts of a face that an attribute may be confined to."""

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from traitswap.codec import FloatArray
from traitswap.crops import FRAME
from traitswap.images import Pixel, UInt8Array

FOREHEAD = "forehead"
SIDE = 64
"""Pixels at which the region is cut out: milliseconds, and the change of a model is no finer than twice that."""
SURE, LIKELY, HARDLY = 0.5, 0.25, 0.05
"""Shares of the strongest change. Where there is more than the first, there is hair; less than the last, there is none;
between, colours decide."""
LEAST = 8.0
"""Levels of 256. Where the strongest change is below, there is nothing to tell hair by."""
SMALLEST = 0.1
"""Parts below this share of the largest are taken for something else."""
EYES, MOUTH, FADE = 0.15, 0.18, 0.06
"""As shares of the square's side: how far glasses reach from the line between the eyes, and a smile from that between
the mouth's corners; and over how much their change fades beyond."""
BROWS, FRINGE = 0.45, 0.08
"""As shares of the square's side: how far down a fringe covers the face, and over how much its change fades below."""
# As shares of the square's side (`crops.FRAME`): an ellipse round eyes, nose and mouth, in which there is no hair, and
# the mouth's height, below which hair reaches but does not begin.
_MIDDLE, _RADII, _MOUTH = (0.5, 0.64), (0.16, 0.18), 0.73


def hair_region(face: UInt8Array, change: FloatArray) -> FloatArray:
    """Where the hair is that `change` (S × S × 3, in 256 levels) recolours in a face (S × S × 3): S × S, 1 there, 0
    elsewhere, with a soft edge; 1 everywhere if that cannot be told.

    A change of hair colour is strong on hair and weak where it spills, and hair has colours of its own: GrabCut
    (Rother et al., 2004) parts the two.
    """
    size = len(face)
    strength = _shrunk(np.abs(change).max(2))
    inner = _inner_face(len(strength))
    strongest = float(np.percentile(strength[~inner], 98))
    surely = (strength > SURE * strongest) & ~inner
    surely_not = (strength < HARDLY * strongest) | inner
    # Each colour model of GrabCut has five parts, which need some pixels.
    if strongest < LEAST or min(surely.sum(), surely_not.sum()) < 20:
        return np.ones((size, size), np.float32)
    marks = np.where(strength > LIKELY * strongest, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    marks[surely] = cv2.GC_FGD
    marks[surely_not] = cv2.GC_BGD
    cv2.setRNGSeed(0)
    cv2.grabCut(_shrunk(face), marks, None, np.zeros((1, 65)), np.zeros((1, 65)), 2, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    region = _likely_parts(np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8))
    fine = cv2.resize(region.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    grown = cv2.dilate((fine > 0.4).astype(np.float32), np.ones((3, 3), np.uint8))
    return np.asarray(cv2.GaussianBlur(grown, (5, 5), 1.0), np.float32)


def eye_region(size: int) -> FloatArray:
    """Round the eyes of a face of `size` pixels: S × S, 1 there, 0 elsewhere, with a soft edge."""
    return _around(FRAME[0], FRAME[1], EYES, size)


def mouth_region(size: int) -> FloatArray:
    """From the nose to the chin, as `eye_region`."""
    return _around(FRAME[3], FRAME[4], MOUTH, size)


def forehead_region(size: int) -> FloatArray:
    """All that is above the eyes, as `eye_region`."""
    y = (np.arange(size) + 0.5) / size
    rows = np.clip((BROWS + FRINGE - y) / FRINGE, 0, 1)
    return np.repeat(rows[:, None], size, 1).astype(np.float32)


def _around(left: NDArray[np.float64], right: NDArray[np.float64], reach: float, size: int) -> FloatArray:
    """1 within `reach` of the line between two points of the face, 0 beyond `FADE` more."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    distance = np.hypot(x - np.clip(x, left[0], right[0]), y - (left[1] + right[1]) / 2)
    return np.asarray(np.clip((reach + FADE - distance) / FADE, 0, 1), np.float32)


_PLACES: Mapping[str, Callable[[int], FloatArray]] = {
    "eyes": eye_region,
    "mouth": mouth_region,
    FOREHEAD: forehead_region,
}
REGIONS = ("hair", *_PLACES)


def regions_of(faces: UInt8Array, name: str, change: Callable[[], FloatArray]) -> FloatArray:
    """The region of this name (one of `REGIONS`) in N faces, N × S × S × 3: N × S × S, or 1 × S × S for all.

    `change` gives their change by the attribute, in 256 levels. It is called where a region needs it: for hair.
    """
    if name in _PLACES:
        return _PLACES[name](faces.shape[1])[None]
    return np.stack([hair_region(face, added) for face, added in zip(faces, change(), strict=True)])


def _shrunk(image: NDArray[Pixel]) -> NDArray[Pixel]:
    side = min(SIDE, len(image))
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), image.dtype)


def _inner_face(side: int) -> NDArray[np.bool_]:
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    ellipse: NDArray[np.bool_] = ((x - _MIDDLE[0]) / _RADII[0]) ** 2 + ((y - _MIDDLE[1]) / _RADII[1]) ** 2 < 1
    return ellipse


def _likely_parts(region: UInt8Array) -> UInt8Array:
    _, parts, about, _ = cv2.connectedComponentsWithStats(region)
    areas = np.where(about[:, cv2.CC_STAT_TOP] < _MOUTH * len(region), about[:, cv2.CC_STAT_AREA], 0)
    areas[0] = 0  # what is no part
    likely: UInt8Array = (areas >= max(SMALLEST * areas.max(), 1))[parts].astype(np.uint8)
    return likely
