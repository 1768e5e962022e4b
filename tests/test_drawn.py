from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traitswap.data.drawn import (
    COLUMNS,
    UNITS,
    DrawnFaces,
    Face,
    draw_face,
    labels,
    sample_face,
    transfer_face,
)
from traitswap.errors import TraitswapError

SIZE = 64
faces = st.integers(0, 2**32 - 1).map(lambda seed: sample_face(np.random.default_rng(seed)))
quick = settings(max_examples=40, deadline=None)


def mouth_region(face: Face) -> np.ndarray:
    """An ellipse tilted as the face is: the mouth is never outside of it, hair never inside."""
    dx, dy, tilt, scale = face.pose
    y, x = (np.mgrid[:SIZE, :SIZE] + 0.5) / SIZE
    x, y = (x - 0.5 - dx) / scale, (y - 0.48 - dy) / scale
    cos, sin = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
    x, y = cos * x + sin * y, cos * y - sin * x
    return (x / 0.13) ** 2 + ((y - 0.19) / 0.111) ** 2 < 1


def changed(a: Face, b: Face) -> np.ndarray:
    return (draw_face(a, SIZE) != draw_face(b, SIZE)).any(axis=2)


@quick
@given(faces, st.integers(8, 80))
def test_a_face_is_drawn_the_same_every_time(face, size):
    picture = draw_face(face, size)
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.uint8
    assert np.array_equal(picture, draw_face(face, size))


@quick
@given(faces)
def test_a_face_looks_the_same_at_any_size(face):
    small, large = draw_face(face, 64).astype(float), draw_face(face, 128).astype(float)
    assert np.abs(large.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3)) - small).mean() < 4


def test_labels_agree_with_the_fields():
    for seed in range(300):
        face = sample_face(np.random.default_rng(seed))
        got = dict(zip(COLUMNS, labels(face).tolist(), strict=True))
        assert got["Bangs"] == (face.bangs > 0)
        assert got["Eyeglasses"] == face.eyeglasses
        assert got["Smiling"] == (face.smile > 0.2)
        assert [name for name in COLUMNS if name.endswith("_Hair") and got[name]] == [face.hair_class][
            : face.hair_class != ""
        ]
        assert min(abs(face.smile - 0.2), abs(face.bangs - 0.2)) > 0.1


@quick
@given(faces, faces)
def test_transfer_of_nothing_of_everything_and_there_and_back(photo, reference):
    assert transfer_face(photo, reference, []) == photo
    everything = transfer_face(photo, reference, UNITS)
    carried = {field for unit in UNITS.values() for field in unit}
    for field in fields(Face):
        source = reference if field.name in carried else photo
        assert getattr(everything, field.name) == getattr(source, field.name)
    assert np.array_equal(labels(everything), labels(reference))
    assert transfer_face(everything, photo, UNITS) == photo


@quick
@given(faces, faces)
def test_hair_color_changes_hair_alone(photo, reference):
    # Hair is what differs between two colours that are far apart in every channel.
    hair = changed(replace(photo, hair_color=(0, 0, 0)), replace(photo, hair_color=(255, 255, 255)))
    swapped = transfer_face(photo, reference, ["hair_color"])
    difference = changed(photo, swapped)
    assert not difference[mouth_region(photo)].any()
    assert not (difference & ~hair).any()
    assert 0.06 < hair.mean() < 0.45
    if max(abs(a - b) for a, b in zip(photo.hair_color, reference.hair_color, strict=True)) > 20:
        assert difference.sum() > 0.8 * hair.sum()


@quick
@given(faces, faces)
def test_smile_changes_the_mouth_alone(photo, reference):
    difference = changed(photo, transfer_face(photo, reference, ["smiling"]))
    assert not difference[~mouth_region(photo)].any()
    if abs(photo.smile - reference.smile) > 0.2:
        assert difference.sum() > 10


@quick
@given(faces)
def test_every_attribute_shows(face):
    assert changed(replace(face, bangs=0.0), replace(face, bangs=0.45)).mean() > 0.01
    assert changed(replace(face, eyeglasses=False), replace(face, eyeglasses=True)).mean() > 0.02


def test_attributes_are_independent():
    drawn = [sample_face(np.random.default_rng([5, i])) for i in range(3000)]
    nuisances = ["head_width", "jaw", "hair_length", "hair_volume", "hair_wave", "parting", "eye_size"]
    nuisances += ["brow_arch", "light", "background_angle"]
    numbers = np.array(
        [
            [*labels(face), *face.pose, *face.clothing, *face.background[0], *face.brow_color]
            + [getattr(face, name) for name in nuisances]
            for face in drawn
        ],
        float,
    )
    attributes = numbers[:, : len(COLUMNS)]
    correlation = np.abs(np.corrcoef(numbers.T))[: len(COLUMNS)]
    np.fill_diagonal(correlation, 0)
    # The three hair colours exclude each other.
    correlation[1:4, 1:4] = 0
    assert correlation.max() < 0.08
    assert attributes.mean(axis=0) == pytest.approx((0.4, 0.3, 0.3, 0.3, 0.3, 0.25, 0.5), abs=0.04)


def test_shades_vary_within_a_class():
    drawn = [sample_face(np.random.default_rng(seed)) for seed in range(300)]
    for name in ("Black_Hair", "Blond_Hair", "Brown_Hair", ""):
        assert np.std([sum(face.hair_color) for face in drawn if face.hair_class == name]) > 15


def test_the_source_is_consistent():
    source = DrawnFaces(30, 7, 32)
    assert (source.name, source.columns) == ("drawn", COLUMNS)
    assert len(set(source.names)) == 30
    assert source.names[3] == "drawn-00003"
    assert source.labels.shape == (30, len(COLUMNS))
    assert source.labels.dtype == source.partition.dtype == np.uint8
    assert source.partition.tolist() == [0] * 24 + [1] * 3 + [2] * 3
    for i in (0, 17, 29):
        assert np.array_equal(source.labels[i], labels(source.face(i)))
        assert np.array_equal(source.load(i), draw_face(source.face(i), 32))
    assert len({source.face(i) for i in range(30)}) == 30
    assert DrawnFaces(40, 7, 64).face(17) == source.face(17)
    for i in (-1, 30):
        with pytest.raises(IndexError, match="there are 30"):
            source.load(i)


def test_the_fingerprint_tells_sources_apart(monkeypatch):
    prints = [DrawnFaces(*key).fingerprint for key in ((4, 0, 32), (4, 0, 32), (5, 0, 32), (4, 1, 32), (4, 0, 64))]
    monkeypatch.setattr("traitswap.data.drawn.DRAWING_VERSION", -1)
    prints.append(DrawnFaces(4, 0, 32).fingerprint)
    assert prints[0] == prints[1]
    assert len(set(prints)) == 5


def test_errors_name_the_remedy():
    face = sample_face(np.random.default_rng(0))
    with pytest.raises(TraitswapError, match=r"'smilling'.*did you mean smiling\?"):
        transfer_face(face, face, ["smilling"])
    with pytest.raises(TraitswapError, match="size of 8 or more"):
        draw_face(face, 7)
    for count, seed, size in ((0, 0, 64), (1, -1, 64), (1, 0, 7)):
        with pytest.raises(TraitswapError, match="or more"):
            DrawnFaces(count, seed, size)
