"""Weights that learnt different attributes, as one: each does what it did alone, beside the others."""

import json
from dataclasses import replace

import numpy as np
import pytest

from traitswap import TransferPipeline
from traitswap.checkpoint import CONFIG_NAME, load_tensors
from traitswap.config import load_settings
from traitswap.errors import TraitswapError
from traitswap.export import export
from traitswap.join import join
from traitswap.networks.weights import load_codec
from traitswap.onnx_codec import load_onnx_codec
from traitswap.styles import Styles, load_styles, save_styles

from .conftest import SMALL, save_new_weights, small_settings
from .test_cli import ok, refused

HAIR, SMILE, BANGS = {"hair_color": ["Black_Hair", "Blond_Hair"]}, {"smiling": ["Smiling"]}, {"bangs": ["Bangs"]}


def weights_of(attributes, folder, *changes, preset="tiny"):
    return save_new_weights(load_settings(preset, [*SMALL, *changes], attributes), folder)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Two attributes with networks of one kind, a third with others."""
    home = tmp_path_factory.mktemp("alone")
    both = weights_of(HAIR | SMILE, home / "both", "network.warp=true")
    third = weights_of(BANGS, home / "third", "network.widths=[9,14]", "network.rest_channels=3")
    unit = np.ones((2, 1, 1), np.float32)
    save_styles(both, Styles({"hair_color": {"blond": unit}, "smiling": {"smiling": 2 * unit}}))
    config = json.loads((both / CONFIG_NAME).read_text())
    (both / CONFIG_NAME).write_text(json.dumps({**config, "confined": {"hair_color": "hair"}, "images_seen": 7}))
    config = json.loads((third / CONFIG_NAME).read_text())
    (third / CONFIG_NAME).write_text(json.dumps({**config, "confined": {"bangs": "eyes"}}))
    return both, third


@pytest.fixture(scope="module")
def joined(alone, tmp_path_factory):
    out = tmp_path_factory.mktemp("joined") / "weights"
    assert join(alone, out) == ("hair_color", "smiling", "bangs")
    return out


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(1).uniform(-0.2, 0.2, (4, 3, 32, 32)).astype(np.float32)


@pytest.mark.parametrize("names", [(), ("smiling",), ("bangs",), ("hair_color", "bangs")])
def test_each_adds_the_change_that_it_makes_alone(alone, joined, x, names):
    together = load_codec(joined)[0]
    codes = together.encode(x[:2])
    reference = together.encode(x[2:])
    result = together.decode(codes.blend(dict.fromkeys(names, reference)))
    expected = x[:2]
    for folder in alone:
        codec = load_codec(folder)[0]
        own, theirs = codec.encode(x[:2]), codec.encode(x[2:])
        taken = {name: theirs for name in names if name in codec.layout.names}
        expected = expected + (codec.decode(own.blend(taken)) - x[:2])
        for name in codec.layout.names:
            unit = codes.embedding[:, together.layout.unit(name)]
            np.testing.assert_array_equal(unit, own.embedding[:, codec.layout.unit(name)])
    np.testing.assert_allclose(result, expected.clip(-1, 1), atol=1e-5)
    assert np.abs(result - x[:2]).max() > 0.01


def test_what_one_takes_another_does_not_see(joined, x):
    """The swap changes no other unit, and twice it is none."""
    codec = load_codec(joined)[0]
    first, second = codec.encode(x[:2]), codec.encode(x[2:])
    swapped, partner = first.swap(second, ["bangs"])
    bangs = codec.layout.unit("bangs")
    others = np.delete(swapped.embedding, np.r_[bangs], 1)
    np.testing.assert_array_equal(others, np.delete(first.embedding, np.r_[bangs], 1))
    np.testing.assert_array_equal(swapped.embedding[:, bangs], second.embedding[:, bangs])
    np.testing.assert_array_equal(swapped.swap(partner, ["bangs"])[0].embedding, first.embedding)


def test_what_several_know_is_taken_of_the_last(alone, x, tmp_path):
    other = weights_of({"smiling": ["Mouth_Slightly_Open"]}, tmp_path / "other", "network.rest_channels=3")
    out = tmp_path / "joined"
    assert join([alone[0], other], out) == ("hair_color", "smiling")
    together, config = load_codec(out)
    assert config["attributes"] == HAIR | {"smiling": ["Mouth_Slightly_Open"]}
    assert config["confined"] == {"hair_color": "hair"}
    assert load_styles(out, together.layout).names("hair_color") == ("blond",)
    assert load_styles(out, together.layout).names("smiling") == (), "the other's are of another network"
    codes = together.encode(x)
    for name, giver in (("hair_color", alone[0]), ("smiling", other)):
        codec = load_codec(giver)[0]
        own = codec.encode(x)
        unit = own.embedding[:, codec.layout.unit(name)]
        np.testing.assert_array_equal(codes.embedding[:, together.layout.unit(name)], unit)
        # Large: networks that learnt nothing hardly mind.
        unit = np.random.default_rng(2).normal(0, 1e4, unit.shape).astype(np.float32)
        change, expected = (
            one.decode(c.blend({name: with_unit(c, name, unit)})) - one.decode(c)
            for one, c in ((together, codes), (codec, own))
        )
        np.testing.assert_allclose(change, expected, atol=1e-4)
        assert np.abs(change).max() > 0.01
    export(out, tmp_path / "exported")
    assert join([out, alone[1]], tmp_path / "again") == ("hair_color", "smiling", "bangs")
    again = load_codec(tmp_path / "again")[0].encode(x).embedding
    np.testing.assert_array_equal(again[:, : together.layout.swapped_channels], codes.own)


def test_what_is_replaced_whole_is_left_out(alone, joined, x, tmp_path):
    """One by one, until nothing of the first is taken."""
    hair, smile = weights_of(HAIR, tmp_path / "hair"), weights_of(SMILE, tmp_path / "smile")
    assert join([joined, hair], tmp_path / "one") == ("smiling", "bangs", "hair_color")
    assert join([tmp_path / "one", smile], tmp_path / "two") == ("bangs", "hair_color", "smiling")
    join([alone[1], hair, smile], tmp_path / "at_once")
    codecs = [load_codec(tmp_path / name) for name in ("two", "at_once")]
    assert len(codecs[0][1]["settings"]["parts"]) == 3
    assert codecs[0][1]["confined"] == {"hair_color": "hair", "bangs": "eyes"}, "a region is the attribute's"
    faces = [codec.decode(codec.encode(x)) for codec, _ in codecs]
    np.testing.assert_array_equal(*faces)


def with_unit(codes, name, unit):
    embedding = codes.embedding.copy()
    embedding[:, codes.layout.unit(name)] = unit
    return replace(codes, embedding=embedding)


def test_styles_and_how_faces_are_drawn_are_kept(alone, joined):
    codec, config = load_codec(joined)
    styles = load_styles(joined, codec.layout)
    assert {name: styles.names(name) for name in codec.layout.names} == {
        "hair_color": ("blond",),
        "smiling": ("smiling",),
        "bangs": (),
    }
    assert (config["confined"], config["mirrored"]) == ({"hair_color": "hair", "bangs": "eyes"}, False)
    assert config["images_seen"] == 7
    assert config["training_data"] == load_codec(alone[0])[1]["training_data"], "the same faces are counted once"


def test_joined_weights_can_be_joined_again(alone, joined, tmp_path):
    fourth = weights_of({"glasses": ["Eyeglasses"]}, tmp_path / "fourth")
    join([joined, fourth], tmp_path / "twice")
    join([*alone, fourth], tmp_path / "once")
    twice, once = (load_tensors(tmp_path / name) for name in ("twice", "once"))
    assert twice.keys() == once.keys()
    assert all((twice[name] == once[name]).all() for name in once)
    settings = [json.loads((tmp_path / name / CONFIG_NAME).read_text())["settings"] for name in ("twice", "once")]
    assert settings[0] == settings[1]


def test_exported_they_draw_the_same(joined, x, tmp_path):
    export(joined, tmp_path / "exported")
    codec = load_onnx_codec(tmp_path / "exported")[0]
    other = load_codec(joined)[0]
    assert codec.layout == other.layout
    for faces in (x, x[:1], x[:2]):
        codes = codec.encode(faces)
        for taken in (codes, codes.blend({"smiling": codec.encode(-faces)}), codes):
            np.testing.assert_allclose(codec.decode(taken), other.decode(taken), atol=1e-4)


def test_of_a_few_exported_faces_the_part_that_takes_something_is_drawn_alone(joined, x, tmp_path, monkeypatch):
    export(joined, tmp_path / "exported")
    codec = load_onnx_codec(tmp_path / "exported")[0]
    drawn = []
    monkeypatch.setattr("traitswap.onnx_codec._run", lambda decoder, codes: drawn.append(decoder) or codes.photo)
    codes, other = codec.encode(x[:1]), codec.encode(x[1:2])
    codec.decode(codes)
    first, second = drawn
    codec.decode(codes.blend({"smiling": other}))
    codec.decode(codes.blend({"bangs": other, "hair_color": codes}))
    assert drawn[2:] == [first, second]
    codec.decode(other)
    assert drawn[4:] == [first, second], "other faces are others"


def test_all_that_is_done_with_weights_is_done_with_joined_ones(tmp_path, capsys):
    parts = [str(weights_of(a, tmp_path / next(iter(a)))) for a in (HAIR, SMILE)]
    out, judge = str(tmp_path / "joined"), str(tmp_path / "judge")
    ok(["join", *parts, "-o", out])
    assert "hair_color, smiling" in capsys.readouterr().out
    ok(["info", out])
    said = capsys.readouterr().out
    assert "hair_color (Black_Hair, Blond_Hair); smiling (Smiling)" in said
    count = dict.fromkeys(("encoder", "decoder"), 0)
    for part in parts:
        for name, array in load_tensors(tmp_path / part).items():
            count[name.partition(".")[0]] += array.size
    assert f"decoder {count['decoder']:,}, encoder {count['encoder']:,}" in said
    changes = [word for change in SMALL for word in ("--set", change)]
    ok(["train-classifier", "--preset", "tiny", "--data", "drawn", "--out", judge, *changes])
    ok(["find-styles", out, "--data", "drawn"])
    ok(["evaluate", out, "--data", "drawn", "--judge", judge, "--pairs", "4", "--json", str(tmp_path / "r.json")])
    [report] = json.loads((tmp_path / "r.json").read_text())["models"]
    assert set(report["attributes"]) == {"hair_color", "smiling"}
    pipe = TransferPipeline.from_pretrained(out)
    assert {name: len(styles) > 0 for name, styles in pipe.styles.items()} == {"hair_color": True, "smiling": True}


def test_one_folder_alone_is_joined_to_the_packaged_weights(tmp_path, capsys):
    save_new_weights(load_settings("lite", (), {"beard": ["Beard"]}), tmp_path / "beard")
    ok(["join", str(tmp_path / "beard"), "-o", str(tmp_path / "out")])
    packaged, pipe = (TransferPipeline.from_pretrained(*where) for where in ((), (tmp_path / "out",)))
    assert pipe.attributes == (*packaged.attributes, "beard")
    assert pipe.styles == {**packaged.styles, "beard": ()}
    assert pipe.config["mirrored"] == packaged.config["mirrored"]
    refused(capsys, ["join", str(tmp_path / "beard"), "-o", str(tmp_path / "out")], "exists")
    refused(capsys, ["join", str(tmp_path), "-o", str(tmp_path / "new")], "is not a weights folder")


@pytest.mark.parametrize(
    ("attributes", "changes", "preset", "expected"),
    [
        ({"grin": ["Smiling"]}, (), "tiny", "'Smiling' is given twice"),
        (
            HAIR | SMILE | BANGS,
            (),
            "tiny",
            r"later weights know all that .*both does \(hair_color, smiling\): leave it out",
        ),
        (BANGS, ("network.size=64",), "tiny", r"network.size differs \(32, 64\)"),
        (BANGS, ("network.unit_channels=3",), "tiny", r"network.unit_channels differs \(2, 3\)"),
        (BANGS, ("network.patch=1",), "tiny", "stride of network.widths differs"),
        (BANGS, ("data.test_count=3",), "tiny", "data differs"),
        (BANGS, (), "paper", "only changes of a photo can be added up"),
    ],
)
def test_what_does_not_fit_together_is_refused(alone, attributes, changes, preset, expected, tmp_path):
    other = weights_of(attributes, tmp_path / "other", *changes, preset=preset)
    with pytest.raises(TraitswapError, match=expected):
        join([alone[0], other], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_of_other_methods_nothing_is_joined(alone, tmp_path):
    other = save_new_weights(small_settings("stargan-lite"), tmp_path / "other")
    with pytest.raises(TraitswapError, match="of the method stargan; only latent-swap can be joined"):
        join([alone[0], other], tmp_path / "out")


def test_nothing_is_trained_as_joined(joined, tmp_path):
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(json.loads((joined / CONFIG_NAME).read_text())["settings"]))
    with pytest.raises(TraitswapError, match="there is no method 'joined'"):
        load_settings(str(file))
