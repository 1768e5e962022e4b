"""Style prototypes: units of real faces with the label they are named after, as good as the face itself."""

from dataclasses import replace

import numpy as np
import pytest

from traitswap.attributes import Attribute, Layout, parse_attribute
from traitswap.codec import Codes
from traitswap.data.cache import FaceData
from traitswap.errors import TraitswapError
from traitswap.metrics.chunks import faces_of
from traitswap.networks.weights import TorchCodec, new_generator
from traitswap.styles import STYLES_NAME, Styles, label_names, load_styles, save_styles
from traitswap.training.styles import STYLES, find_styles


@pytest.fixture(scope="module")
def codec(settings):
    if settings.method.name != "latent-swap":
        pytest.skip("the baselines have no units that a style could stand for")
    return TorchCodec(new_generator(settings), settings.network.size)


@pytest.fixture(scope="module")
def found(codec, faces) -> Styles:
    return find_styles(codec, faces)


def test_labels_have_short_names() -> None:
    hair = parse_attribute("hair_color=Black_Hair,Blond_Hair,Brown_Hair")
    assert label_names(hair) == {"black": (1, 0, 0), "blond": (0, 1, 0), "brown": (0, 0, 1)}
    assert label_names(Attribute("smiling", ("Smiling",))) == {"smiling": (1,), "no-smiling": (0,)}
    assert label_names(Attribute("smile", ("Mouth_Slightly_Open",))) == {
        "mouth-slightly-open": (1,),
        "no-mouth-slightly-open": (0,),
    }


def test_a_style_is_as_good_as_a_training_face_of_its_label(codec, faces, found) -> None:
    train = faces.split("train")
    codes = codec.encode(faces_of(faces, train))
    photo = codec.encode(faces_of(faces, faces.split("test")[:2]))
    for attribute in codec.layout.attributes:
        labels = faces.columns_of(attribute.columns)[train]
        unit = codes.embedding[:, codec.layout.unit(attribute.name)]
        for label, wanted in label_names(attribute).items():
            names = [name for name in found.names(attribute.name) if name.startswith(label)]
            assert names == [label, *(f"{label}-{i}" for i in range(2, STYLES + 1))]
            for name in names:
                style = found.codes(attribute.name, name, codec.layout, codec.size)
                # Encoded in another batch, which may round otherwise in the last digit.
                off = np.abs(unit - style.embedding[:, codec.layout.unit(attribute.name)]).reshape(len(unit), -1).max(1)
                owner = off.argmin()
                assert off[owner] < 1e-5
                assert labels[owner].tolist() == list(wanted)
                taken = codec.decode(photo.blend({attribute.name: style}))
                face = codec.decode(photo.blend({attribute.name: codes[owner : owner + 1]}))
                np.testing.assert_allclose(taken, face, atol=1e-4)


def test_saved_and_loaded_they_are_the_same(codec, faces, found, tmp_path) -> None:
    assert load_styles(tmp_path, codec.layout) == Styles({})
    save_styles(tmp_path, found)
    again = load_styles(tmp_path, codec.layout)
    repeated = find_styles(codec, faces)
    for name in codec.layout.names:
        assert set(again.names(name)) == set(found.names(name)) == set(repeated.names(name))
        for style in found.names(name):
            assert np.array_equal(again.units[name][style], found.units[name][style])
            assert np.array_equal(repeated.units[name][style], found.units[name][style])
    (tmp_path / STYLES_NAME).write_bytes((tmp_path / STYLES_NAME).read_bytes()[:-9])
    with pytest.raises(TraitswapError, match="damaged or cut short"):
        load_styles(tmp_path, codec.layout)


def test_an_unknown_style_offers_those_there_are(codec, found) -> None:
    with pytest.raises(TraitswapError, match="no style '@blont' of hair_color; did you mean @blond"):
        found.codes("hair_color", "blont", codec.layout, codec.size)
    with pytest.raises(TraitswapError, match="it has none: traitswap find-styles makes them"):
        Styles({}).codes("hair_color", "blond", codec.layout, codec.size)


def test_styles_of_other_weights_are_refused(codec, found, tmp_path) -> None:
    save_styles(tmp_path, found)
    with pytest.raises(TraitswapError, match="belongs to other weights"):
        load_styles(tmp_path, replace(codec.layout, unit_channels=codec.layout.unit_channels + 1))


class GreyLevel:
    """A codec whose only unit is the grey of the face."""

    size = 2
    layout = Layout((Attribute("smiling", ("Smiling",)),), 1, 0)

    def encode(self, faces: np.ndarray, labels: np.ndarray | None = None) -> Codes:
        return Codes(np.ascontiguousarray(faces[:, :1]), faces, self.layout)


def test_styles_are_the_middles_of_clusters_the_middle_one_first() -> None:
    smiling = [9, 10, 11, 100, 101, 102, 103, 104, 200, 201, 202, 203, 204, 205, 206]
    greys = np.array([*smiling, 50, 60], np.uint8)
    labels = np.array([1] * len(smiling) + [0, 0], np.uint8)[:, None]
    data = FaceData(
        images=np.broadcast_to(greys[:, None, None, None], (len(greys), 2, 2, 3)),
        labels=labels,
        columns=("Smiling",),
        names=[str(grey) for grey in greys],
        partition=np.zeros(len(greys), np.uint8),
        source_name="greys",
        fingerprint="",
    )
    seen: list[tuple[int, int]] = []
    styles = find_styles(GreyLevel(), data, progress=lambda done, total: seen.append((done, total)))
    level = {name: round((float(unit.item()) + 1) * 127.5) for name, unit in styles.units["smiling"].items()}
    assert (level["smiling"], level["smiling-2"]) == (102, 203)
    assert level["smiling-3"] == 10
    assert {level["no-smiling"], level["no-smiling-2"]} == {50, 60}
    assert set(level) == {"smiling", "smiling-2", "smiling-3", "no-smiling", "no-smiling-2"}
    assert seen[-1] == (len(greys), len(greys))
