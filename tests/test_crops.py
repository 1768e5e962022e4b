"""Where the square around a face lies, and what comes back from it into the photo."""

import cmath
import math

import numpy as np
import pytest

from traitswap.crops import FRAME, MIN_WIDTH, Crop, add_change, choose_faces, cut_out, guided, soft_mask, trouble
from traitswap.errors import TraitswapError
from traitswap.faces import FoundFace
from traitswap.images import resized

from .photos import astronaut, scaled, turned, two_faces


@pytest.fixture(scope="module")
def photo():
    return astronaut()


@pytest.fixture(scope="module")
def crop(photo):
    return the_crop(photo)


def the_crop(image):
    [(number, crop)] = choose_faces(image, 1, "it")
    assert number == 1
    return crop


def degrees(crop):
    return math.degrees(cmath.phase(crop.turn))


def corners(crop):
    return crop.to_photo(np.array([[0, 0], [1, 0], [1, 1], [0, 1]]))


def seen(image, crop, size=64):
    return cut_out(image, crop, size).astype(np.float32)


def difference(a, b):
    return np.abs(a.astype(float) - b).mean()


@pytest.mark.parametrize("angle", [0, 30, -75, 180])
def test_the_square_is_found_again_from_its_points(angle):
    square = Crop.centred(300 + 200j, 150, angle)
    found = Crop.around(square.to_photo(FRAME))
    assert found.turn == pytest.approx(square.turn)
    assert found.shift == pytest.approx(square.shift)
    assert found.side == pytest.approx(150)


def test_points_that_do_not_fit_are_fitted_by_least_squares():
    true = Crop.centred(100 + 100j, 100, 10)
    points = true.to_photo(FRAME) + np.array([[5, 0], [-5, 0], [0, 3], [0, 0], [0, 0]])

    def error(crop):
        z = crop.turn * (points[:, 0] + 1j * points[:, 1]) + crop.shift
        return (np.abs(z - FRAME[:, 0] - 1j * FRAME[:, 1]) ** 2).sum()

    best = Crop.around(points)
    assert error(best) < error(true)
    for change in (1e-3, -1e-3, 1e-3j, -1e-3j):
        assert error(best) < error(Crop(best.turn * (1 + change), best.shift))
        assert error(best) < error(Crop(best.turn, best.shift + change))


def test_a_crop_shows_what_stands_there():
    ramp = np.zeros((200, 200, 3), np.uint8)
    ramp[..., 1], ramp[..., 2] = np.mgrid[:200, :200]
    crop = Crop.centred(100 + 100j, 80)
    assert (cut_out(ramp, crop, 80) == ramp[60:140, 60:140]).all()
    assert np.abs(cut_out(ramp, crop, 40)[0, :, 2] - np.arange(60.5, 140, 2)).max() <= 1
    quarter = Crop.centred(100 + 100j, 80, 90)
    assert (cut_out(ramp, quarter, 80) == np.rot90(ramp[60:140, 60:140], -1)).all()


def test_a_crop_of_a_large_face_is_averaged():
    board = (np.indices((512, 512)).sum(0) % 2 * 255).astype(np.uint8)[:, :, None].repeat(3, 2)
    assert np.abs(cut_out(board, Crop.centred(256 + 256j, 320, 20), 64).astype(int) - 127).max() < 30


def test_a_square_beyond_the_photo_goes_on_with_its_border():
    image = np.zeros((100, 100, 3), np.uint8)
    image[:, -1] = 200
    shown = cut_out(image, Crop.centred(100 + 50j, 40), 40)
    assert (shown[:, 21:] == 200).all()
    assert (shown[:, :18] == 0).all()


def test_the_astronaut_is_framed_as_celeba_frames_faces(photo, crop):
    assert degrees(crop) == pytest.approx(-5, abs=4), "she holds her head a little to the side"
    eyes = crop.to_photo(FRAME[:2])
    assert np.abs(eyes - [[200.5, 103], [247, 103]]).max() < 6
    again = the_crop(cut_out(photo, crop, 256))
    assert np.abs(corners(again) - [[0, 0], [256, 0], [256, 256], [0, 256]]).max() < 20


@pytest.mark.parametrize("angle", [-45, -20, 30, 60])
def test_a_turned_face_is_upright_in_its_crop(photo, crop, angle):
    image, matrix = turned(photo, angle)
    found = the_crop(image)
    assert degrees(found) - degrees(crop) == pytest.approx(angle, abs=5)
    expected = corners(crop) @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(corners(found) - expected).max() < 0.12 * crop.side
    assert difference(cut_out(image, found, 64), cut_out(photo, crop, 64)) < 28


@pytest.mark.parametrize("size", [300, 4000])
def test_other_sizes_give_the_same_crop(photo, crop, size):
    image = scaled(photo, size)
    found = the_crop(image)
    assert np.abs(corners(found) * 512 / size - corners(crop)).max() < 0.06 * crop.side
    assert difference(cut_out(image, found, 64), cut_out(photo, crop, 64)) < 18


def test_nothing_outside_the_square_moves(photo):
    crop = Crop.centred(150 + 400j, 300, 30)  # reaches beyond the photo's edge
    noise = np.random.default_rng(0).normal(0, 60, (64, 64, 3)).astype(np.float32)
    changed = add_change(photo, photo, noise, noise + 128, crop)
    y, x = np.mgrid[:512, :512] + 0.5
    z = crop.turn * (x + 1j * y) + crop.shift
    margin = 2 / crop.side
    inside = (np.minimum(z.real, z.imag) > -margin) & (np.maximum(z.real, z.imag) < 1 + margin)
    assert (changed[~inside] == photo[~inside]).all()
    assert (changed[inside] != photo[inside]).mean() > 0.5


@pytest.mark.parametrize("side", [40, 64, 350])
def test_the_middle_gets_the_change_and_keeps_its_grain(side):
    image = np.random.default_rng(0).integers(50, 150, (400, 400, 3)).astype(np.uint8)
    crop = Crop.centred(200 + 200j, side, 20)
    changed = add_change(image, image, np.full((64, 64, 3), 30, np.float32), seen(image, crop), crop)
    reach = int(side / 4)
    middle = np.s_[200 - reach : 200 + reach, 200 - reach : 200 + reach]
    assert (changed[middle] == image[middle] + 30).all()


def test_no_change_changes_nothing(photo, crop):
    nothing = np.zeros((64, 64, 3), np.float32)
    assert (add_change(photo, photo, nothing, seen(photo, crop), crop) == photo).all()


def test_a_change_comes_back_where_it_was_cut_out(photo):
    crop = Crop.centred(220 + 150j, 200, 25)
    before = cut_out(photo, crop, 128)
    change = np.zeros((128, 128, 3), np.float32)
    change[40:60, 70:100] = 50
    photo = photo // 2  # darker, so that nothing is clipped
    after = cut_out(add_change(photo, photo, change, seen(photo, crop, 128), crop), crop, 128).astype(float)
    after -= cut_out(photo, crop, 128)
    assert before.shape == after.shape
    assert np.abs(after - change).mean() < 1
    assert after[45:55, 75:95].min() > 45


def test_a_change_follows_edges_that_are_too_fine_for_the_square():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:512, :512]
    edge = np.hypot(x - 256, y - 256) < 120 + 12 * np.sin(np.arctan2(y - 256, x - 256) * 9)
    photo = (np.where(edge, 60, 200)[:, :, None] + rng.normal(0, 3, (512, 512, 3))).astype(np.uint8)
    wanted = np.where(edge, 100, 0)[:, :, None].repeat(3, 2)  # what is dark gets light, and the rest stays
    crop = Crop.centred(256 + 256j, 512)
    change = resized(wanted.astype(np.float32), 64)
    result = add_change(photo, photo, change, seen(photo, crop), crop).astype(float) - photo
    plain = resized(change, 512)
    middle = np.s_[100:412, 100:412]
    assert difference(result[middle], wanted[middle]) < 0.5 * difference(plain[middle], wanted[middle])


def test_faces_that_overlap_are_changed_in_any_order(photo):
    left, right = Crop.centred(150 + 150j, 200), Crop.centred(250 + 150j, 200, 10)
    photo = photo // 2 + 64  # so that nothing is clipped

    def changed(first, second):
        result = photo
        for crop, times in (first, second):
            face = seen(photo, crop)
            result = add_change(result, photo, times * (face - 128), face, crop)
        return result.astype(int)

    one, other = (left, 0.5), (right, -0.4)
    assert np.abs(changed(one, other) - changed(other, one)).max() <= 1
    assert difference(changed(one, other), changed(one, (right, 0.0))) > 1


def test_offset_and_slope_are_the_change_where_the_face_is_as_it_was_seen(photo, crop):
    face, change = seen(photo, crop), np.random.default_rng(0).normal(0, 40, (64, 64, 3)).astype(np.float32)
    offset, slope = guided(change, face)
    assert offset + slope * face == pytest.approx(change * soft_mask(64)[:, :, None], abs=1e-3)
    assert np.abs(slope).max() > 0.1


def test_fine_detail_is_no_guide():
    """What the model draws smoothly must not blur wrinkles; strands and edges are followed."""
    for contrast, least, most in ((3, 0.0, 0.05), (80, 0.5, 1.0)):
        face = np.clip(np.random.default_rng(0).normal(128, contrast, (64, 64, 3)), 0, 255).astype(np.uint8)
        _, slope = guided((128 - face.astype(np.float32)), face)
        assert least <= np.abs(slope[16:48, 16:48]).mean() <= most


def test_the_mask_falls_to_nothing_without_a_step():
    mask = soft_mask(128)
    assert mask[0].max() < 0.01
    assert mask[64, 64] == 1
    assert np.abs(np.diff(mask, axis=0)).max() < 0.12
    assert (mask == mask[::-1, ::-1]).all()


def face_at(left, top, width):
    height = 1.2 * width
    points = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]]) * [width, height] + [left, top]
    return FoundFace((left, top, width, height), points.astype(np.float32), 0.9)


@pytest.mark.parametrize(
    ("face", "expected"),
    [
        (face_at(50, 50, 60), ""),
        (face_at(50, 50, MIN_WIDTH - 1), f"is {MIN_WIDTH - 1} pixels wide, at least {MIN_WIDTH} are needed"),
        (face_at(-10, 50, 60), ""),
        (face_at(-13, 50, 60), "is cut off"),
        (face_at(155, 50, 60), "is cut off"),
        (face_at(50, -24, 60), "is cut off"),
        (face_at(50, 150, 60), "is cut off"),
    ],
)
def test_faces_too_small_or_cut_off_are_told(face, expected):
    assert trouble(face, np.zeros((200, 200, 3), np.uint8)).startswith(expected)
    assert bool(trouble(face, np.zeros((200, 200, 3), np.uint8))) == bool(expected)


def test_faces_are_chosen_by_number(photo):
    image = two_faces()
    [(_, first)], [(_, second)] = choose_faces(image, 1, "it"), choose_faces(image, 2, "it")
    assert second.side == pytest.approx(first.side / 2, rel=0.1)
    assert corners(second)[:, 0].min() > 512
    both = choose_faces(image, "all", "it")
    assert [number for number, _ in both] == [1, 2]
    assert [crop for _, crop in both] == [first, second]
    for wrong in (0, 3):
        with pytest.raises(TraitswapError, match=f"it has no face {wrong}: give one of 1 to 2"):
            choose_faces(image, wrong, "it")


def test_all_leaves_out_faces_that_cannot_be_edited(photo):
    image = two_faces()
    image[:, 544:] = 255
    image[100:240, 544:684] = scaled(photo, 140)
    assert [number for number, _ in choose_faces(image, "all", "it")] == [1]
    with pytest.raises(TraitswapError, match=r"it: face 2 is 2[0-9] pixels wide"):
        choose_faces(image, 2, "it")
    with pytest.raises(TraitswapError, match=r"it: face 1 is 2[0-9] pixels wide"):
        choose_faces(image[:, 520:], "all", "it")
