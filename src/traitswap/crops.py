"""From a photo to the upright square around a face, which the model works on, and back."""

import cmath
import math
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from traitswap.errors import TraitswapError
from traitswap.faces import FoundFace, find_faces
from traitswap.images import UInt8Array, resized

Which = int | tuple[int, ...] | Literal["all"]
"""A face's number, from 1, the largest first; or those of several; or all of them."""

FRAME = np.array([[0.381, 0.479], [0.619, 0.478], [0.500, 0.624], [0.401, 0.729], [0.603, 0.727]])
"""Where the points of a `FoundFace` lie in the square: x and y as shares of its side.

Means of YuNet's points on 300 training faces of CelebA-HQ at 128 pixels (every 80th of each of its four parts, the
first 75), enlarged as `upright_crop` enlarges them. Deviations are 0.011–0.018, the nose's x 0.038.
"""
MIN_WIDTH = 32
"""Narrower faces are refused. What lite sees of a smile then drifts from what it sees of the same face at full size: by
0.4 % of the variance between faces at 32 pixels, 4 % at 20, 11 % at 15; and the points of small faces are vague."""
MIN_MARGIN = 0.1
"""A face is cut off if one of its points is nearer to the photo's edge than this share of its width.

YuNet squeezes the points of a face that is cut off into the photo, so their being outside would be no test.
"""
SOFT = 0.125
"""The change fades over this share of the square's side towards its border. Over less, hair that goes on beyond the
square shows a straight edge."""
NEARBY = 0.8
"""Standard deviation, in pixels of the square, of what a change's slope is told from."""
CONTRAST = 20.0
"""Standard deviation of the face nearby, in levels, at which a slope is halved. Weaker detail, such as wrinkles, stays
as the photo has it: what the model draws smoothly would blur it."""
FINEST = 4096
"""Side, in pixels, of the largest square that is sampled; beyond, it is interpolated, which needs less memory."""
SMOOTHEST = 2048
"""The same of what is added, which is smoother."""
_BAND = 512
# Sides of what the detector looks at again, twice as wide as the face.
_SHRUNK, _ENLARGED = 160, 416


@dataclass(frozen=True)
class Crop:
    """A square in a photo: x + iy in its pixels lies at `turn` · (x + iy) + `shift`, 0 … 1 within the square.

    A point (0, 0) is the photo's corner, not the middle of its first pixel.
    """

    turn: complex
    shift: complex

    @classmethod
    def around(cls, points: NDArray[Any]) -> "Crop":
        """The square whose `FRAME` is nearest to `points` (5 × 2) by least squares: moved, turned and scaled."""
        photo, square = (p[:, 0] + 1j * p[:, 1] for p in (points.astype(float), FRAME))
        # Least squares of a similarity is linear in complex numbers; a mirrored face cannot come out.
        spread = photo - photo.mean()
        turn = complex(np.vdot(spread, square - square.mean()) / np.vdot(spread, spread).real)
        return cls(turn, complex(square.mean() - turn * photo.mean()))

    @classmethod
    def centred(cls, centre: complex, side: float, degrees: float = 0.0) -> "Crop":
        """The square of `side` pixels round `centre`, that a turn of the photo by `degrees` (as seen, clockwise) makes
        upright."""
        turn = cmath.rect(1 / side, math.radians(degrees))
        return cls(turn, 0.5 + 0.5j - turn * centre)

    @property
    def side(self) -> float:
        """Pixels of the photo."""
        return 1 / abs(self.turn)

    def to_photo(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """Points in the square (N × 2, 0 … 1) in pixels of the photo."""
        z = (points[:, 0] + 1j * points[:, 1] - self.shift) / self.turn
        return np.stack([z.real, z.imag], 1)

    def matrix(self, size: int, left: int = 0, top: int = 0) -> NDArray[np.float64]:
        """2 × 3, for OpenCV: from pixels of the photo's part that begins at `left`, `top` to those of the square at
        `size` × `size`."""
        turn = self.turn * size
        # OpenCV counts from the middle of the first pixel.
        shift = self.shift * size + turn * complex(left + 0.5, top + 0.5) - complex(0.5, 0.5)
        return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def choose_faces(image: UInt8Array, which: Which, name: str) -> list[tuple[int, Crop]]:
    """Number and square of the faces `which` of a photo (H × W × 3); of all that can be edited if "all".

    Raises `TraitswapError`, naming the photo, if there is no such face or it cannot be edited.
    """
    found = faces_in(image, name)
    usable = [number for number, face in enumerate(found, 1) if not trouble(face, image)]
    numbers = (which,) if isinstance(which, int) else tuple(usable or [1]) if which == "all" else which
    for number in numbers:
        if not 1 <= number <= len(found):
            raise TraitswapError(
                f"{name} has no face {number}: give one of 1 to {len(found)}", " (traitswap faces shows them)"
            )
        if number not in usable:
            raise TraitswapError(f"{name}: face {number} {trouble(found[number - 1], image)}")
    return [(number, upright_crop(image, found[number - 1])) for number in numbers]


def faces_in(image: UInt8Array, name: str) -> list[FoundFace]:
    """The faces in a photo, the largest first; raises `TraitswapError`, naming the photo, if there are none."""
    found = find_faces(image)
    if not found:
        raise TraitswapError(
            f"{name}: no face found; give a photo with an upright, well-lit face",
            ", or, if it is a face crop already, --aligned, as of traitswap transfer (aligned=True)",
        )
    return found


def trouble(face: FoundFace, image: UInt8Array) -> str:
    """Why a face cannot be edited and what to do about it; empty if it can."""
    width = face.box[2]
    if width < MIN_WIDTH:
        return f"is {width:.0f} pixels wide, at least {MIN_WIDTH} are needed: give a larger photo"
    edges = np.array(image.shape[1::-1]) - face.points
    if min(face.points.min(), edges.min()) < MIN_MARGIN * width:
        return "is cut off by the photo's edge: give a photo with the whole face"
    return ""


def upright_crop(image: UInt8Array, face: FoundFace) -> Crop:
    """The square around a face, in which it is upright however it is turned in the photo.

    YuNet sees small faces more upright than they are (5° of a turn by 15°) and puts the points there; only of faces of
    some 200 pixels it sees 13° of 15°. Its score is highest where a face is upright. So the photo is turned to where
    the score is highest, then, the face enlarged, to where the points say, until little is left.
    """
    # Shrunk once, so that turning is quick on any photo; half as wide again, for the corners of turned squares.
    around = Crop.centred(_middle(face), 3 * max(face.box[2:]))
    small = cut_out(image, around, _ENLARGED * 3 // 2)

    def look(degrees: float, size: int) -> tuple[float, NDArray[np.float64]] | None:
        """Score and points, in pixels of `small`, of the face in the middle, seen turned and at `size`."""
        view = Crop.centred(complex(len(small), len(small)) / 2, _ENLARGED, degrees)
        seen = find_faces(cut_out(small, view, size))
        off = [abs(_middle(other) / size - (0.5 + 0.5j)) for other in seen]
        if not seen or min(off) > 0.25:
            return None
        nearest = seen[off.index(min(off))]
        return nearest.score, view.to_photo(nearest.points / size)

    looks = {degrees: found for degrees in range(0, 360, 30) if (found := look(degrees, _SHRUNK))}
    angle = float(max(looks, key=lambda degrees: looks[degrees][0], default=0))
    points: NDArray[Any] = face.points
    for _ in range(3):
        if found := look(angle, _ENLARGED):
            points = around.to_photo(found[1] / len(small))
            angle = math.degrees(cmath.phase(Crop.around(points).turn))
    return Crop.around(points)


def cut_out(image: UInt8Array, crop: Crop, size: int) -> UInt8Array:
    """The square as `size` × `size` × 3; where it reaches beyond the photo, the photo's border goes on."""
    fine = min(max(size, round(crop.side)), FINEST)
    left, top, right, bottom = _reach(image, crop)
    part = np.ascontiguousarray(image[top:bottom, left:right])
    # At the photo's own scale, then averaged: turning and shrinking at once would alias.
    square = cv2.warpAffine(
        part, crop.matrix(fine, left, top), (fine, fine), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return resized(np.asarray(square, np.uint8), size)


def add_change(
    edited: UInt8Array, photo: UInt8Array, change: NDArray[np.float32], face: UInt8Array, crop: Crop
) -> UInt8Array:
    """A copy of `edited`, the photo with what other faces got, with `change` (S × S × 3, in 256 levels) added in the
    square, fading towards the border.

    `face`: what the photo shows in the square, S × S × 3. The photo keeps its own resolution: what is added
    follows its edges (`guided`), and 0 adds nothing. Outside the square not a bit moves.
    """
    fine = min(round(crop.side), SMOOTHEST)
    offset, slope = (resized(part, fine) for part in guided(change, face))
    left, top, right, bottom = _reach(photo, crop)
    result = edited.copy()
    for start in range(top, bottom, _BAND):  # a band at a time: floats of a large photo would fill the memory
        band = np.s_[start : min(start + _BAND, bottom), left:right]
        matrix, flags = crop.matrix(fine, left, start), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        added, times = (cv2.warpAffine(part, matrix, photo[band].shape[1::-1], flags=flags) for part in (offset, slope))
        result[band] = np.clip(np.rint(result[band] + added + times * photo[band]), 0, 255)
    return result


def guided(change: NDArray[np.float32], face: UInt8Array) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Offset and slope (each S × S × 3) of a change of a face (likewise, in 256 levels): with what the face shows, the
    change is offset + slope · face. Both fall to 0 towards the border.

    Enlarged, and with the photo at its own resolution in place of the face, they give a change that follows edges too
    fine for the square. The slope is the change's regression on the face nearby, a colour at a time (He et al., Guided
    Image Filtering, 2013); what it leaves is in the offset.
    """
    level = face.astype(np.float32)
    mean = _nearby(level)
    variance = _nearby(level * level) - mean * mean
    covariance = _nearby(level * change) - mean * _nearby(change)
    mask = soft_mask(len(face))[:, :, None]
    slope = np.asarray(mask * covariance / (variance + CONTRAST**2), np.float32)
    return mask * change - slope * level, slope


def _nearby(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), NEARBY, borderType=cv2.BORDER_REPLICATE), np.float32)


def soft_mask(size: int) -> NDArray[np.float32]:
    """`size` × `size`: 1 inside, falling to 0 at the border without an edge."""
    middle = (np.arange(size, dtype=np.float32) + 0.5) / size
    ramp = np.clip(np.minimum(middle, 1 - middle) / SOFT, 0, 1)
    ramp = ramp * ramp * (3 - 2 * ramp)
    return np.outer(ramp, ramp).astype(np.float32)


def _reach(image: UInt8Array, crop: Crop) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the part of the photo that the square touches."""
    corners = crop.to_photo(np.array([[0, 0], [1, 0], [0, 1], [1, 1]]))
    # A few pixels more, which cubic interpolation looks at.
    left, top = np.clip(np.floor(corners.min(0)) - 3, 0, np.array(image.shape[1::-1]) - 1).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(0)) + 3, 1, image.shape[1::-1]).astype(int)
    return int(left), int(top), int(right), int(bottom)


def _middle(face: FoundFace) -> complex:
    left, top, width, height = face.box
    return complex(left + width / 2, top + height / 2)
