import contextlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from PIL import Image

from traitswap.errors import TraitswapError
from traitswap.images import open_photo, read_photo, save_photo, square, to_network, to_pixels
from traitswap.metadata import SOURCE_TYPE

PIXELS = arrays(np.uint8, (4, 5, 3))


@given(PIXELS)
def test_pixels_survive_the_networks_range(pixels):
    values = to_network(pixels.astype(np.float32))
    assert values.min() >= -1
    assert values.max() <= 1
    assert (to_pixels(values) == pixels).all()


def test_what_lies_outside_the_range_is_clipped():
    assert to_pixels(np.array([-3.0, -1.0, 0.0, 1.0, 3.0])).tolist() == [0, 0, 128, 255, 255]


@given(PIXELS)
def test_every_way_to_give_a_photo_gives_the_same(pixels):
    image = Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    for photo in (pixels, image, buffer.getvalue()):
        assert (read_photo(photo) == pixels).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 10
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    upright = {1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1], 5: pixels.transpose(1, 0, 2)}
    upright |= {6: np.rot90(pixels, -1), 7: np.rot90(pixels[::-1], 1)[:, :], 8: np.rot90(pixels, 1)}
    if orientation == 7:
        upright[7] = pixels[::-1, ::-1].transpose(1, 0, 2)
    assert (read_photo(buffer.getvalue()) == upright[orientation]).all()


def test_heic_is_read_and_written_with_its_metadata(tmp_path):
    y, x = np.mgrid[:32, :48]
    pixels = np.stack([4 * x, 6 * y, 128 + 0 * x], 2).astype(np.uint8)
    exif = Image.Exif()
    exif[0x010F] = "maker"
    file = tmp_path / "a.heic"
    Image.fromarray(pixels).save(file, quality=95, exif=exif)
    photo = open_photo(file)
    assert np.abs(photo.pixels.astype(int) - pixels).mean() < 3
    assert b"maker" in photo.metadata["exif"]
    save_photo(photo.with_pixels(photo.pixels), tmp_path / "b.heic", mark=True)
    again = open_photo(tmp_path / "b.heic")
    assert np.abs(again.pixels.astype(int) - photo.pixels).mean() < 3
    assert SOURCE_TYPE.encode() in again.metadata["xmp"]


def test_without_the_extra_it_is_named(monkeypatch):
    Image.init()
    monkeypatch.delitem(Image.OPEN, "HEIF")
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
    with pytest.raises(TraitswapError, match=r"or, if it is HEIC, pip install 'traitswap\[heic\]'"):
        read_photo(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        ("L", 100, (100, 100, 100)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("LA", (50, 255), (50, 50, 50)),
        ("I;16", 257 * 40, (40, 40, 40)),
        ("1", 1, (255, 255, 255)),
        ("CMYK", (0, 0, 0, 255), (0, 0, 0)),
        ("P", 0, (0, 0, 0)),
    ],
)
def test_every_kind_of_picture_becomes_rgb(mode, color, expected):
    assert read_photo(Image.new(mode, (2, 2), color))[0, 0].tolist() == list(expected)


def test_a_celeba_picture_gives_its_178_square():
    picture = np.zeros((218, 178, 3), np.uint8)
    picture[20:198] = 200
    assert (square(picture, 128) == 200).all()
    assert (square(picture, 178) == picture[20:198]).all()


def test_shrinking_averages():
    board = np.indices((64, 64)).sum(0) % 2 * 255
    assert abs(square(np.repeat(board[:, :, None], 3, 2).astype(np.uint8), 32).astype(int) - 127).max() <= 1


@pytest.mark.parametrize("array", [np.zeros((2, 2, 3)), np.zeros((2, 2, 4), np.uint8), np.zeros(4, np.uint8)])
def test_other_arrays_are_refused(array):
    with pytest.raises(TraitswapError, match="expected uint8"):
        read_photo(array)


def test_a_picture_too_large_is_refused_before_it_is_decoded():
    buffer = io.BytesIO()
    Image.new("RGB", (100, 100)).save(buffer, "PNG")
    assert open_photo(buffer.getvalue(), max_pixels=10_000).pixels.shape == (100, 100, 3)
    with pytest.raises(TraitswapError, match=r"100×100 pixels; at most 9,999"):
        open_photo(buffer.getvalue(), max_pixels=9_999)


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "out.png"
    save_photo(np.zeros((2, 2, 3), np.uint8), path)
    before = path.read_bytes()

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(TraitswapError, match="No space left"):
        save_photo(np.ones((2, 2, 3), np.uint8), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["out.png"]


@pytest.mark.parametrize("suffix", ["avif", "bmp", "gif", "jpg", "jp2", "png", "ppm", "tga", "tiff", "webp"])
def test_a_damaged_photo_is_said_to_be_one(suffix):
    if (file_format := Image.registered_extensions().get(f".{suffix}")) not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {suffix}")
    random = np.random.default_rng(0)
    whole = io.BytesIO()
    Image.fromarray(random.integers(0, 255, (16, 24, 3), np.uint8)).save(whole, file_format)
    assert read_photo(whole.getvalue()).shape == (16, 24, 3)
    for place in random.integers(0, len(whole.getvalue()), 200):
        damaged = bytearray(whole.getvalue())
        damaged[place] ^= 1 << random.integers(8)
        with contextlib.suppress(TraitswapError):
            read_photo(bytes(damaged))


def test_what_runs_other_programs_is_no_photo():
    with pytest.raises(TraitswapError, match="is not an image that can be read"):
        read_photo(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
