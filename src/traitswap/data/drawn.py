"""Drawn faces: cartoon portraits with independent parameters, so that the truth of a swap can be drawn too.

They stand in for CelebA in tests and in a first try, and are composed as its aligned crops are.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from traitswap.data.drawing import Color, mix
from traitswap.data.drawing import Face as Face
from traitswap.data.drawing import draw_face as draw_face
from traitswap.errors import TraitswapError, nearest

DRAWING_VERSION = 1
"""Raise it when the pictures or the sampling change: caches of drawn faces are then made anew."""

COLUMNS: tuple[str, ...] = (
    "Bangs", "Black_Hair", "Blond_Hair", "Brown_Hair", "Eyeglasses", "Pale_Skin", "Smiling",
)  # fmt: skip
"""The label columns, by CelebA's names."""

UNITS: dict[str, tuple[str, ...]] = {
    "bangs": ("bangs",),
    "eyeglasses": ("eyeglasses",),
    "hair_color": ("hair_color", "hair_class"),
    "pale_skin": ("skin",),
    "smiling": ("smile",),
}
"""Which fields of a `Face` each attribute carries from the reference to the photo."""

# Each class runs from its darkest to its lightest shade, so that there is a style inside the label.
_HAIR: dict[str, tuple[Color, Color]] = {
    "Black_Hair": ((14, 12, 16), (44, 40, 46)),
    "Blond_Hair": ((204, 158, 72), (246, 222, 150)),
    "Brown_Hair": ((82, 46, 24), (144, 88, 50)),
    "": ((128, 130, 136), (206, 206, 212)),
}
_PALE_SKIN: tuple[Color, Color] = ((244, 222, 206), (252, 234, 222))
_OTHER_SKIN: tuple[Color, Color] = ((132, 86, 60), (240, 198, 164))
_PALE_LUMA = 220.0
_EYES: tuple[Color, ...] = ((78, 50, 30), (60, 100, 150), (70, 120, 80), (110, 115, 120))


def sample_face(rng: np.random.Generator) -> Face:
    """A random face: attributes are independent of each other and of everything else.

    About 50 % smile, 40 % have bangs, 30 % eyeglasses, 25 % pale skin; hair is black, blond or brown
    30 % each and grey 10 %. No face is near the threshold of a label.
    """

    def real(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    def color(low: int, high: int) -> Color:
        red, green, blue = (int(value) for value in rng.integers(low, high, 3))
        return red, green, blue

    hair_class = ("Black_Hair", "Blond_Hair", "Brown_Hair", "")[int(rng.choice(4, p=(0.3, 0.3, 0.3, 0.1)))]
    return Face(
        hair_color=mix(*_HAIR[hair_class], real(0, 1)),
        hair_class=hair_class,
        bangs=real(0.45, 1) if rng.random() < 0.4 else 0.0,
        smile=real(0.35, 1) if rng.random() < 0.5 else real(-1, 0.05),
        eyeglasses=bool(rng.random() < 0.3),
        skin=mix(*(_PALE_SKIN if rng.random() < 0.25 else _OTHER_SKIN), real(0, 1)),
        pose=(real(-0.025, 0.025), real(-0.02, 0.02), real(-7, 7), real(0.94, 1.06)),
        head_width=real(0.19, 0.22),
        jaw=real(0, 1),
        hair_length=real(0, 1),
        hair_volume=real(0.02, 0.055),
        hair_wave=real(0, 1),
        parting=real(-1, 1),
        eye_color=_EYES[int(rng.integers(len(_EYES)))],
        eye_size=real(0.9, 1.15),
        brow_color=mix((36, 28, 26), (128, 92, 62), real(0, 1)),
        brow_arch=real(0, 1),
        light=real(-1, 1),
        clothing=color(40, 230),
        background=(color(80, 225), color(80, 225)),
        background_angle=real(0, 2 * np.pi),
        spot=(real(0, 1), real(0, 1), real(0.05, 0.35)),
    )


def labels(face: Face) -> NDArray[np.uint8]:
    """The labels of `face`, 0 or 1, in the order of `COLUMNS`."""
    truth = {
        "Bangs": face.bangs > 0.2,
        "Eyeglasses": face.eyeglasses,
        "Pale_Skin": _luminance(face.skin) > _PALE_LUMA,
        "Smiling": face.smile > 0.2,
    }
    return np.array([truth.get(column, column == face.hair_class) for column in COLUMNS], np.uint8)


def degree(face: Face, column: str) -> float | None:
    """How far `face` goes in what a label column says, beyond yes and no: its `smile`, its `bangs`, or the luminance
    (0 … 255) of hair or skin. None where a drawn face has no degrees."""
    match column:
        case "Smiling":
            return face.smile
        case "Bangs":
            return face.bangs
        case "Pale_Skin":
            return _luminance(face.skin)
        case "Black_Hair" | "Blond_Hair" | "Brown_Hair":
            return _luminance(face.hair_color)
    return None


def _luminance(color: Color) -> float:
    return float(np.dot(color, (0.299, 0.587, 0.114)))


def transfer_face(photo: Face, reference: Face, attributes: Iterable[str]) -> Face:
    """The truth of a swap: `photo` with the fields of `attributes` (keys of `UNITS`) taken from `reference`.

    Raises `TraitswapError` on an attribute that is not in `UNITS`.
    """
    fields: dict[str, object] = {}
    for attribute in attributes:
        if attribute not in UNITS:
            raise TraitswapError(f"drawn faces have no attribute {attribute!r}: {nearest(attribute, UNITS)}")
        fields.update((field, getattr(reference, field)) for field in UNITS[attribute])
    return replace(photo, **fields)  # type: ignore[arg-type]


class DrawnFaces:
    """A data source of `count` drawn faces of `size` × `size` pixels; face i depends on (`seed`, i) only.

    `labels` is count × len(columns), 0 or 1; `partition` is 0 = train (the first 80 %), 1 = val, 2 = test.
    Raises `TraitswapError` on a count below 1, a negative seed or a size below 8.
    """

    name = "drawn"
    columns = COLUMNS

    def __init__(self, count: int, seed: int, size: int) -> None:
        if count < 1 or seed < 0 or size < 8:
            raise TraitswapError(
                f"drawn faces of count {count}, seed {seed}, size {size}: "
                "give a count of 1 or more, a seed of 0 or more and a size of 8 or more"
            )
        self.seed = seed
        self.size = size
        self.names = [f"drawn-{i:05d}" for i in range(count)]
        self.labels = np.stack([labels(self.face(i)) for i in range(count)])
        # In integers: 0.8 · count and 0.9 · count are not exact.
        self.partition = np.full(count, 2, np.uint8)
        self.partition[: count * 9 // 10] = 1
        self.partition[: count * 8 // 10] = 0
        about = f"drawn-v{DRAWING_VERSION}-count{count}-seed{seed}-size{size}"
        self.fingerprint = hashlib.sha256(about.encode()).hexdigest()

    def face(self, i: int) -> Face:
        """The parameters of face `i`. Raises `IndexError` if `i` is not in 0 … count − 1."""
        if not 0 <= i < len(self.names):
            raise IndexError(f"no drawn face {i}: there are {len(self.names)}")
        return sample_face(np.random.default_rng([self.seed, i]))

    def load(self, i: int) -> NDArray[np.uint8]:
        """The picture of face `i`: size × size × 3, RGB, uint8. Raises `IndexError` as `face` does."""
        return draw_face(self.face(i), self.size)
