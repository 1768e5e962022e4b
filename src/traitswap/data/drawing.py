"""How a drawn face is painted: layer by layer, from the background to the glasses.

Change a picture, and raise `DRAWING_VERSION` in `traitswap.data.drawn`. What a face's parameters mean is told here,
beside their use; how they are sampled and labelled, there.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from traitswap.errors import TraitswapError

Color = tuple[int, int, int]
Points = NDArray[np.float64]

_SUPERSAMPLING = 4
_FRAME: Color = (26, 24, 30)


@dataclass(frozen=True)
class Face:
    """Everything that determines a picture. Lengths are in frame sides, colours are RGB of 0 to 255."""

    hair_color: Color
    hair_class: str
    """"Black_Hair", "Blond_Hair", "Brown_Hair", or "" for grey, which is none of the three."""
    bangs: float
    """0 = none to 1 = down to the brows."""
    smile: float
    """−1 = mouth turned down to 1 = wide open, teeth showing; above 0.2 counts as Smiling."""
    eyeglasses: bool
    skin: Color
    pose: tuple[float, float, float, float]
    """Shift right, shift down, tilt in degrees clockwise, scale (1 = the usual)."""
    head_width: float
    """Half the width of the face at the eyes."""
    jaw: float
    """0 = pointed to 1 = square chin."""
    hair_length: float
    """0 = ends at the ears to 1 = on the chest."""
    hair_volume: float
    """How far the hair stands off the head."""
    hair_wave: float
    """0 = straight to 1 = curly outline."""
    parting: float
    """−1 = left to 1 = right."""
    eye_color: Color
    eye_size: float
    """1 = the usual."""
    brow_color: Color
    brow_arch: float
    """0 = flat to 1 = arched."""
    light: float
    """−1 = from the left to 1 = from the right."""
    clothing: Color
    background: tuple[Color, Color]
    """The two ends of a gradient."""
    background_angle: float
    """Where the gradient runs to, radians."""
    spot: tuple[float, float, float]
    """A disc in the background: x, y, radius."""


def draw_face(face: Face, size: int) -> NDArray[np.uint8]:
    """The picture of `face`: size × size × 3, RGB, uint8. The same face at any size.

    Raises `TraitswapError` if `size` is below 8.
    """
    if size < 8:
        raise TraitswapError(f"a drawn face of {size}×{size} pixels shows nothing: give a size of 8 or more")
    side = size * _SUPERSAMPLING
    canvas = _Canvas(_background(face, side), face.pose)
    _hair_behind(canvas, face)
    _body(canvas, face)
    _head(canvas, face)
    _eyes(canvas, face)
    _mouth(canvas, face)
    _hair_in_front(canvas, face)
    if face.eyeglasses:
        _glasses(canvas, face)
    return np.asarray(cv2.resize(canvas.pixels, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def mix(a: Color, b: Color, share: float) -> Color:
    """The colour between `a` (`share` = 0) and `b` (`share` = 1)."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def _darker(color: Color, share: float) -> Color:
    return mix(color, (0, 0, 0), share)


def _dark(hair: Color) -> Color:
    return _darker(hair, 0.25)


def _light(hair: Color) -> Color:
    return mix(hair, (255, 240, 214), 0.16)


_TURN = np.linspace(0, 2 * np.pi, 40, endpoint=False)
_CIRCLE = np.stack((np.cos(_TURN), np.sin(_TURN)), axis=1)
_FROM_0_TO_1 = np.linspace(0, 1, 17)
_FROM_MINUS_1_TO_1 = np.linspace(-1, 1, 17)


def _path(x: Points | float, y: Points | float) -> Points:
    return np.stack(np.broadcast_arrays(x, y), axis=1)


def _band(there: Points, back: Points) -> Points:
    """The outline of the area between two paths of the same direction."""
    return np.concatenate((there, back[::-1]))


class _Canvas:
    """Shapes on pixels, in the face's coordinates: origin between the eyes, y down, 1 = a frame side."""

    def __init__(self, pixels: NDArray[np.uint8], pose: tuple[float, float, float, float]) -> None:
        self.pixels = pixels
        side = len(pixels)
        dx, dy, tilt, scale = pose
        cos, sin = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
        # OpenCV takes points in sixteenths of a pixel, counted from the centre of the first one.
        self._linear = np.array(((cos, sin), (-sin, cos))) * (scale * side * 16)
        self._origin = np.array(((0.5 + dx) * side - 0.5, (0.48 + dy) * side - 0.5)) * 16
        self._unit = scale * side

    def _pixels_of(self, points: Points) -> NDArray[np.int32]:
        pixels: Points = points @ self._linear + self._origin
        return np.rint(pixels).astype(np.int32)

    def fill(self, points: Points, color: Color) -> None:
        cv2.fillPoly(self.pixels, [self._pixels_of(points)], color, shift=4)

    def ellipse(self, x: float, y: float, width: float, height: float, color: Color) -> None:
        self.fill(_CIRCLE * (width, height) + (x, y), color)

    def line(self, points: Points, color: Color, width: float, *, closed: bool = False) -> None:
        thickness = max(1, round(width * self._unit))
        cv2.polylines(self.pixels, [self._pixels_of(points)], closed, color, thickness, shift=4)


def _background(face: Face, side: int) -> NDArray[np.uint8]:
    grid = np.linspace(-0.5, 0.5, 9)
    along = grid[:, None] * np.sin(face.background_angle) + grid * np.cos(face.background_angle) + 0.5
    start, end = (np.array(color, np.float64) for color in face.background)
    coarse = start + np.clip(along, 0, 1)[..., None] * (end - start)
    pixels = np.asarray(cv2.resize(coarse.astype(np.uint8), (side, side)), np.uint8)
    x, y, radius = face.spot
    center = (round(x * side), round(y * side))
    cv2.circle(pixels, center, round(radius * side), mix(*face.background, 0.5), -1)
    return pixels


def _hair_behind(canvas: _Canvas, face: Face) -> None:
    outer = face.head_width + face.hair_volume
    end = 0.06 + 0.36 * face.hair_length
    down = _FROM_0_TO_1
    side = outer + 0.03 * face.hair_length * np.sin(np.pi * down) + 0.008 * face.hair_wave * np.sin(down * 22)
    top = _CIRCLE[20:] * (outer, 0.27 + face.hair_volume)
    sides = _band(_path(side, down * end), _path(-side, down * end))
    canvas.fill(np.concatenate((top, sides)), _darker(face.hair_color, 0.3))


def _body(canvas: _Canvas, face: Face) -> None:
    x = _FROM_MINUS_1_TO_1
    neck = np.array(((-0.1, 0.2), (0.1, 0.2), (0.12, 0.5), (-0.12, 0.5)))
    canvas.fill(neck, _darker(face.skin, 0.2))
    shoulders = 0.40 + 0.16 * np.abs(x) ** 1.6
    outline = np.concatenate((_path(0.62 * x, shoulders), _path(np.array((0.9, -0.9)), 0.9)))
    canvas.fill(outline, face.clothing)
    canvas.ellipse(0, 0.385, 0.115, 0.06, _darker(face.skin, 0.12))
    collar = _CIRCLE[:21] * (0.122, 0.066) + (0, 0.385)
    canvas.line(collar, _darker(face.clothing, 0.3), 0.014)


def _head(canvas: _Canvas, face: Face) -> None:
    width, skin = face.head_width, face.skin
    for side in (-1, 1):
        canvas.ellipse(side * (width + 0.008), 0.03, 0.028, 0.05, _darker(skin, 0.12))
    cos, sin = _CIRCLE[:, 0], _CIRCLE[:, 1]
    below = np.clip(sin, 0, 1)
    # An ellipse of two heights; below the eyes it may be widened to a square jaw.
    x = width * np.sign(cos) * np.abs(cos) ** (1 - 0.32 * face.jaw * below)
    outline = _path(x, np.where(sin > 0, 0.325, 0.25) * sin)
    for step in range(4):
        inset = 1 - 0.045 * step
        canvas.fill(outline * inset + (0.012 * step * face.light, 0.0), _darker(skin, 0.15 - 0.05 * step))
    for side in (-1, 1):
        for step in range(1, 4):
            radius = 0.056 - 0.013 * step
            canvas.ellipse(side * 0.118, 0.115, radius, 0.8 * radius, mix(skin, (222, 96, 90), 0.07 * step))
    canvas.line(np.array(((-0.012, 0.02), (-0.024, 0.09))), _darker(skin, 0.16), 0.008)
    nostrils = _path(0.026 * _FROM_MINUS_1_TO_1, 0.102 - 0.014 * _FROM_MINUS_1_TO_1**2)
    canvas.line(nostrils, _darker(skin, 0.35), 0.01)


def _eyes(canvas: _Canvas, face: Face) -> None:
    bow = _FROM_MINUS_1_TO_1
    for side in (-1, 1):
        x, size = side * 0.1, face.eye_size
        canvas.ellipse(x, 0, 0.043 * size, 0.026 * size, (250, 248, 246))
        canvas.ellipse(x, 0, 0.02 * size, 0.023 * size, face.eye_color)
        canvas.ellipse(x, 0, 0.010 * size, 0.011 * size, (16, 14, 16))
        canvas.ellipse(x + 0.008 * size, -0.008 * size, 0.005 * size, 0.005 * size, (255, 255, 255))
        lid = _path(x + 0.045 * size * bow, -0.027 * size * (1 - bow**2))
        canvas.line(lid, _darker(face.skin, 0.75), 0.012)
        brow = _path(x + 0.052 * bow, -0.056 - 0.02 * face.brow_arch * (1 - bow**2))
        canvas.line(brow, face.brow_color, 0.018)


def _mouth(canvas: _Canvas, face: Face) -> None:
    # The corners rise with the smile, and from 0.3 on the lips part over the teeth.
    smile, opening = face.smile, 0.075 * max(0.0, face.smile - 0.3)
    x = (0.08 + 0.026 * max(0.0, smile)) * _FROM_MINUS_1_TO_1
    belly = 1 - _FROM_MINUS_1_TO_1**2
    middle = 0.187 + 0.046 * smile * (belly - 0.5)
    upper, lower = middle - 0.3 * opening * belly, middle + opening * belly
    lip = mix(face.skin, (176, 48, 58), 0.6)
    canvas.fill(_band(_path(x, upper - 0.02 * belly), _path(x, lower + 0.021 * belly)), lip)
    if opening > 0:
        canvas.fill(_band(_path(x, upper), _path(x, lower)), (84, 20, 28))
        canvas.fill(_band(_path(x, upper), _path(x, upper + 0.62 * (lower - upper))), (252, 250, 244))
    canvas.line(_path(x, upper), _darker(lip, 0.45), 0.009)


def _hair_in_front(canvas: _Canvas, face: Face) -> None:
    color, width = face.hair_color, face.head_width
    outer, crown = width + face.hair_volume, 0.27 + face.hair_volume
    part = 0.09 * face.parting
    _locks(canvas, face, outer)
    hairline_x = width * 0.98 * _FROM_MINUS_1_TO_1
    span = np.where(hairline_x < part, width * 0.98 + part, width * 0.98 - part)
    hairline = -0.165 + 0.185 * (np.abs(hairline_x - part) / span) ** 2.4
    dome = _CIRCLE[20:] * (outer, crown)
    ends = np.array(((-outer, 0.02), (outer, 0.02)))
    canvas.fill(np.concatenate((ends[:1], dome, ends[1:], _path(hairline_x, hairline)[::-1])), color)
    if face.bangs > 0:
        _bangs(canvas, face)
    # Strands fan out over the dome from the parting.
    down = _FROM_0_TO_1[:14]
    for reach, strand in ((0.3, _dark), (0.55, _light), (0.8, _dark), (1.0, _light)):
        for side in (-1, 1):
            target = side * width * (0.3 + 0.72 * reach)
            x = part + (target - part) * np.sin(down * np.pi / 2)
            canvas.line(_path(x, -0.9 * crown + (0.02 + 0.27 * reach**2) * down**1.6), strand(color), 0.008)


def _locks(canvas: _Canvas, face: Face, outer: float) -> None:
    # Beside the face, never nearer to its middle than the corners of a smile.
    down = _FROM_0_TO_1
    wave = 0.01 * face.hair_wave * np.sin(down * 20)
    end = 0.05 + 0.38 * face.hair_length
    edge = outer + 0.03 * face.hair_length * np.sin(np.pi * down) + wave
    inner = face.head_width * 0.96 - 0.015 * np.sin(np.pi * down) + wave
    for side in (-1, 1):
        outline = _band(_path(side * edge, -0.06 + down * (end + 0.06)), _path(side * inner, down * end))
        canvas.fill(outline, face.hair_color)
        for share, strand in ((0.35, _dark), (0.7, _light)):
            x = side * (inner + share * (edge - inner))
            canvas.line(_path(x, -0.02 + down * end * 0.95), strand(face.hair_color), 0.007)


def _bangs(canvas: _Canvas, face: Face) -> None:
    x = 0.9 * face.head_width * _FROM_MINUS_1_TO_1
    # Every other point is shorter: the ends of the strands.
    ends = -0.145 + 0.11 * face.bangs + 0.012 * _FROM_MINUS_1_TO_1**2
    ends[1::2] -= 0.022
    canvas.fill(_band(_path(x, ends), _path(0.8 * x, -0.2)), face.hair_color)
    for i in range(1, len(x), 2):
        line = np.array(((0.82 * x[i], -0.19), (x[i], ends[i] - 0.004)))
        canvas.line(line, (_light if i % 4 == 1 else _dark)(face.hair_color), 0.007)


def _glasses(canvas: _Canvas, face: Face) -> None:
    rim = np.sign(_CIRCLE) * np.abs(_CIRCLE) ** 0.7 * (0.075, 0.06)
    for side in (-1, 1):
        canvas.line(rim + np.array((side * 0.1, 0.006)), _FRAME, 0.016, closed=True)
        temple = np.array(((side * 0.175, -0.012), (side * (face.head_width + 0.005), -0.02)))
        canvas.line(temple, _FRAME, 0.016)
    canvas.line(_path(0.026 * _FROM_MINUS_1_TO_1, -0.006 - 0.01 * (1 - _FROM_MINUS_1_TO_1**2)), _FRAME, 0.016)
