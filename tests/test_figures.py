"""The paper's grids and rows by command: what stands in which cell, for weights of any method."""

import numpy as np
import pytest
import torch

import figure3
import figure4
from held_out import HeldOut
from traitswap.config import load_settings
from traitswap.images import read_photo
from traitswap.networks.weights import TorchCodec, new_generator, save_codec

from .conftest import SMALL, small_settings

SIZE = 32
STEP = SIZE + 2


def write_weights(folder, settings):
    """Untrained, and moved about: a decoder that adds to the photo adds nothing to begin with."""
    torch.manual_seed(0)
    generator = new_generator(settings)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    about = {"name": "drawn", "fingerprint": "", "train_images": 1}
    save_codec(folder, TorchCodec(generator, SIZE), settings, about, 0)
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    settings = load_settings("tiny", [*SMALL, "data.drawn_count=120"])
    return write_weights(tmp_path_factory.mktemp("figures") / "weights", settings)


@pytest.fixture(scope="module")
def held_out(weights):
    return HeldOut(weights, "drawn", "test")


def cell_of(picture, row, column, top=0):
    return picture[top + row * STEP :, column * STEP :][:SIZE, :SIZE]


def assert_alike(first, second):
    """But for the rounding of one shade, which a batch and a single picture may differ in."""
    assert np.abs(first.astype(int) - np.asarray(second).astype(int)).max() <= 1


def test_figure_3_has_a_row_for_each_photo_and_a_column_for_each_reference(weights, held_out, tmp_path, capsys):
    figure3.main([str(weights), "--data", "drawn", "--out", str(tmp_path)])
    assert "tiny, 0 images of drawn; faces of drawn, test, seed 0" in capsys.readouterr().out
    taken = {"hair_color": ["hair_color"], "smiling": ["smiling"], "hair_color-smiling": ["hair_color", "smiling"]}
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(f"figure3-{name}.png" for name in taken)
    photos, references = ([held_out.data.images[i] for i in indices] for indices in held_out.pairs(5, 0))
    pictures = {name: read_photo(tmp_path / f"figure3-{name}.png") for name in taken}
    for name, picture in pictures.items():
        assert picture.shape == (6 * STEP - 2, 6 * STEP - 2, 3)
        for i in range(5):
            assert (cell_of(picture, i + 1, 0) == photos[i]).all()
            assert (cell_of(picture, 0, i + 1) == references[i]).all()
        for row, column in ((0, 0), (1, 3), (3, 1)):
            expected = held_out.pipe(photos[row], dict.fromkeys(taken[name], references[column]), aligned=True).image
            assert_alike(cell_of(picture, row + 1, column + 1), expected)
    hair = pictures["hair_color"]
    assert (cell_of(hair, 2, 4) != cell_of(hair, 4, 2)).any()
    assert (hair != pictures["smiling"]).any()


def test_another_seed_chooses_other_faces(held_out):
    assert [p.tolist() for p in held_out.pairs(5, 0)] != [p.tolist() for p in held_out.pairs(5, 1)]


def test_figure_4_goes_from_the_photo_to_a_plain_transfer(weights, held_out, tmp_path):
    figure4.main([str(weights), "--data", "drawn", "--out", str(tmp_path), "--attribute", "smiling"])
    picture = read_photo(tmp_path / "figure4-smiling.png")
    chosen = held_out.differing_pairs(5, 0, "smiling")
    smiles = [held_out.data.columns_of(["Smiling"])[indices, 0] for indices in chosen]
    assert (smiles[0] != smiles[1]).all()
    rows = len(chosen[0])
    top = picture.shape[0] - (rows * STEP - 2)
    assert picture.shape[1] == 7 * STEP - 2
    for row, (photo, reference) in enumerate(zip(*(held_out.data.images[indices] for indices in chosen), strict=True)):
        assert (cell_of(picture, row, 0, top) == photo).all()
        assert (cell_of(picture, row, 6, top) == reference).all()
        assert_alike(cell_of(picture, row, 1, top), held_out.pipe(photo, aligned=True).image)
        for column, strength in ((2, 0.25), (5, 1)):
            expected = held_out.pipe(photo, {"smiling": reference}, {"smiling": strength}, aligned=True).image
            assert_alike(cell_of(picture, row, column, top), expected)
        assert (cell_of(picture, row, 1, top) != cell_of(picture, row, 5, top)).any()


def test_methods_that_need_labels_get_them(tmp_path):
    weights = write_weights(tmp_path / "weights", small_settings("stargan-lite"))
    figure3.main([str(weights), "--data", "drawn", "--out", str(tmp_path)])
    # Of 8 test faces there are 4 pairs.
    assert read_photo(tmp_path / "figure3-smiling.png").shape == (5 * STEP - 2, 5 * STEP - 2, 3)


def test_an_attribute_that_the_weights_do_not_know_is_named(weights, tmp_path):
    with pytest.raises(SystemExit, match="figure4: this model has no attribute 'smile'; did you mean smiling"):
        figure4.main([str(weights), "--data", "drawn", "--out", str(tmp_path), "--attribute", "smile"])
