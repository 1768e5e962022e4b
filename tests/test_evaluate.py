"""traitswap evaluate, as a person calls it; style, blending and the same person on models whose truth is known."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from traitswap.attributes import Attribute, Layout
from traitswap.codec import Codes
from traitswap.data.cache import FaceData
from traitswap.data.tables import people_of
from traitswap.errors import TraitswapError
from traitswap.metrics import evaluation
from traitswap.metrics.chunks import Judge, transferred
from traitswap.metrics.features import OnnxFeatures
from traitswap.metrics.quality import Quality
from traitswap.metrics.same_person import measure_same_person, people_without_and_with
from traitswap.metrics.style import Blending, Correlation, Style, steps_of

from .conftest import SMALL
from .test_cli import ok, refused
from .tiny_onnx import write_network

SMILING = Attribute("smiling", ("Smiling",))


class Plain:
    """Faces of one grey each, which is their smile; `show` says what a unit becomes in the picture."""

    size = 8
    layout = Layout((SMILING,), 1, 1)

    def __init__(self, show=lambda unit, photo: unit):
        self.show = show
        self.told = []

    def encode(self, faces, labels=None):
        self.told.append(labels)
        return Codes(np.repeat(faces.mean((1, 2, 3), keepdims=True), 2, axis=1), faces, self.layout)

    def decode(self, codes):
        grey = self.show(codes.embedding[:, :1], codes.embedding[:, 1:])
        return np.broadcast_to(grey, codes.photo.shape).astype(np.float32)


JUDGE = Judge(lambda faces: faces.mean((1, 2, 3))[:, None] * 10, ("Smiling",))


def plain_data(greys):
    """Smiling is what is brighter than the middle."""
    images = np.broadcast_to(np.array(greys, np.uint8)[:, None, None, None], (len(greys), 8, 8, 3))
    return FaceData(
        images=images,
        labels=(np.array(greys) > 127).astype(np.uint8)[:, None],
        columns=("Smiling",),
        names=[f"{i:03}.png" for i in range(len(greys))],
        partition=np.full(len(greys), 2, np.uint8),
        source_name="greys",
        fingerprint="",
    )


MODELS = {
    "perfect": Plain(),
    "dead": Plain(lambda unit, photo: photo),
    "guided by labels": Plain(lambda unit, photo: np.where(unit > 0, 0.5, -0.5)),
}


def collected(codec, make):
    rng = np.random.default_rng(0)
    greys = np.concatenate([rng.integers(0, 100, 60), rng.integers(156, 256, 60)])
    data = plain_data(greys)
    collector = make(codec, data)
    for chunk in transferred(codec, data, (np.arange(60), np.arange(60, 120)), JUDGE, [SMILING]):
        collector.add(chunk)
    return collector.result()["smiling"]


def style(codec, data):
    return Style([SMILING], JUDGE, {"Smiling": -data.images[:, 0, 0, 0].astype(np.float64)})


def test_a_perfect_model_keeps_the_style():
    for row in collected(MODELS["perfect"], style):
        assert row["pairs"] == 60
        assert row["correlation"] == pytest.approx(1)
        assert row["true"] == pytest.approx(row["true_real"])
        assert row["true"] == pytest.approx(-1)


def test_a_dead_model_keeps_no_style():
    assert all(abs(row["correlation"]) < 0.3 for row in collected(MODELS["dead"], style))


def test_a_model_guided_by_labels_keeps_no_style():
    rows = collected(MODELS["guided by labels"], style)
    assert [row["correlation"] for row in rows] == [None, None]
    assert [(row["column"], row["label"]) for row in rows] == [("Smiling", 1), ("Smiling", 0)]


@pytest.mark.parametrize(
    ("model", "monotone", "largest"),
    [("perfect", 1, pytest.approx(0.25, abs=0.02)), ("dead", 0, None), ("guided by labels", 1, 1)],
)
def test_blending_of_a_smooth_a_dead_and_a_jumping_model(model, monotone, largest):
    result = collected(MODELS[model], lambda codec, data: Blending(codec, [SMILING], JUDGE))
    assert result == {"pairs": 120, "monotone": monotone, "largest_step": largest}


@pytest.mark.parametrize(("model", "distance"), [("perfect", 0), ("dead", 1)])
def test_results_of_one_half_are_held_against_the_other_half_s_faces(model, distance):
    """One half is dark, the other bright, and who takes the other's smile becomes as the other is."""
    data = plain_data([50] * 6 + [200] * 6)
    quality = Quality(lambda faces: faces.mean((2, 3)), "greys", ["smiling"])
    for chunk in transferred(MODELS[model], data, (np.arange(6), np.arange(6, 12)), JUDGE, [SMILING]):
        quality.add(chunk)
    row = quality.result(0)["smiling"]
    apart = pytest.approx(3 * (150 / 127.5) ** 2, rel=1e-3)
    assert row["frechet_greys_floor"] == apart
    assert row["frechet_greys"] == (apart if distance else pytest.approx(0, abs=1e-6))
    assert row["kernel_greys_floor"] > 0.1
    assert (row["kernel_greys"] > 0.1) == bool(distance)


@given(arrays(np.float64, (5, 4), elements=st.floats(-1e3, 1e3)))
def test_steps_are_shares_of_the_whole_way(progress):
    found = steps_of(progress)
    assert ((found["largest_step"] >= 0.25 - 1e-9) & (found["largest_step"] <= 1)).all()
    for way, monotone in zip(progress.T, found["monotone"], strict=True):
        assert monotone == (sorted(way) == list(way) and way[-1] > way[0])


@given(
    arrays(np.float64, (2, 30), elements=st.floats(-100, 100), unique=True), st.lists(st.integers(0, 30), max_size=4)
)
def test_a_correlation_that_comes_in_parts_equals_the_whole(numbers, cuts):
    found = Correlation()
    for part in np.split(numbers, sorted(cuts), axis=1):
        found.add(*part)
    # Numbers that all but agree lose their digits on either way.
    if (np.ptp(numbers, axis=1) > 1e-3).all():
        assert found.value() == pytest.approx(np.corrcoef(numbers)[0, 1], abs=1e-6)


def test_labels_are_told_to_a_codec_that_may_need_them():
    codec = Plain()
    data = plain_data([0, 255])
    list(transferred(codec, data, (np.array([1]), np.array([0])), JUDGE, [SMILING]))
    assert codec.told[0].tolist() == [[1], [0]]


PEOPLE = [person for person in "abc" for _ in "01"]


@pytest.fixture
def twins():
    """Three people: neutral 100, 110 and 120; smiling 200, each."""
    return plain_data([100, 200, 110, 200, 120, 200])


@pytest.mark.parametrize(("model", "error", "nearer"), [("perfect", 0, 1), ("dead", 90, 0)])
def test_the_same_person_exposes_who_does_nothing(twins, model, error, nearer):
    people = people_without_and_with(twins, PEOPLE, "Smiling")
    assert people.tolist() == [[0, 1], [2, 3], [4, 5]]
    found = measure_same_person(MODELS[model], twins, people, SMILING, 0, None, JUDGE)
    assert found["people"] == 3
    assert found["error"] == pytest.approx(error, abs=0.01)
    assert found["error_untouched"] == pytest.approx(90, abs=0.01)
    assert found["nearer_pixels"] == nearer
    assert (found["success"], found["success_untouched"], found["success_real"]) == (nearer, 0, 1)
    assert found["identity"] is None


@pytest.mark.parametrize("model", ["perfect", "dead"])
def test_the_same_person_s_identity_by_hand(model):
    """A face is an angle, its brightness; the perfect model's result is as bright as its reference."""
    neutral, smiling = np.array([100, 110, 120]), np.array([180, 200, 220])
    data = plain_data(list(np.stack([neutral, smiling], 1).ravel()))
    people = people_without_and_with(data, PEOPLE, "Smiling")

    def identity(faces):
        angles = (faces.mean((1, 2, 3)) + 1) * 127.5 / 200
        return np.stack([np.cos(angles), np.sin(angles)], 1)

    found = measure_same_person(MODELS[model], data, people, SMILING, 4, identity, JUDGE)
    order = np.random.default_rng(4).permutation(3)
    was, real, other = neutral[order], smiling[order], np.roll(smiling[order], 1)
    result = other if model == "perfect" else was

    def cosine(one, two):
        return pytest.approx(np.cos((one - two) / 200).mean(), abs=1e-3)

    assert found["error"] == pytest.approx(np.abs(result - real).mean(), abs=0.01)
    assert found["identity"] == cosine(result, real)
    assert found["identity_untouched"] == cosine(was, real)
    leaked = np.cos((result - other) / 200) - np.cos((was - other) / 200)
    assert found["leaked"] == pytest.approx(leaked.mean(), abs=1e-3)


@pytest.mark.parametrize(("model", "kept"), [("perfect", 0), ("dead", 1)])
def test_labels_that_a_real_smile_moves_stand_beside_those_kept(twins, model, kept):
    """This judge sees a second label wherever it sees a smile."""
    people = people_without_and_with(twins, PEOPLE, "Smiling")
    both = Judge(lambda faces: JUDGE.logits(faces).repeat(2, axis=1), ("Smiling", "High_Cheekbones"))
    found = measure_same_person(MODELS[model], twins, people, SMILING, 0, None, both)
    assert (found["kept"], found["kept_real"]) == (kept, 0)
    assert measure_same_person(MODELS[model], twins, people, SMILING, 0, None, JUDGE)["kept"] is None


def test_people_without_both_pictures_do_not_take_part(twins):
    assert people_without_and_with(twins, ["a", "a", "b", "", "c", "c"], "Smiling").tolist() == [[0, 1], [4, 5]]
    with pytest.raises(TraitswapError, match="1 people both with and without Smiling"):
        people_without_and_with(twins, ["a", "a", "b", "c", "", ""], "Smiling")


def test_who_is_on_an_image_is_read_from_the_csv_or_from_rafds_names(tmp_path):
    names = ["Rafd090_01_Caucasian_female_happy_frontal.jpg", "Rafd090_01_Caucasian_female_neutral_frontal.jpg"]
    others = ["Rafd045_01_Caucasian_female_happy_frontal.jpg", "Rafd090_01_Caucasian_female_happy_left.jpg"]
    assert people_of(tmp_path, [*names, *others], "person") == ["01", "01", "", ""]
    with pytest.raises(TraitswapError, match=r"nothing in .* tells people apart"):
        people_of(tmp_path, ["a.png"], "person")
    (tmp_path / "labels.csv").write_text("file, person, smiling\na.png, x, 0\n\nb.png, y, 1\n")
    assert people_of(tmp_path, ["b.png", "a.png"], "person") == ["y", "x"]
    with pytest.raises(TraitswapError, match="no column 'persn'; did you mean person"):
        people_of(tmp_path, ["a.png"], "persn")


def test_features_do_not_depend_on_the_batch(tmp_path):
    network = OnnxFeatures(write_network(tmp_path / "tiny-48.v2.onnx", 16))
    assert network.short_name == "tiny"
    faces = np.random.default_rng(0).uniform(-1, 1, (40, 3, 16, 16)).astype(np.float32)
    found = network(faces)
    assert found[33, 0] == pytest.approx((faces[33, 0, :4, :4].mean() + 1) / 2, abs=1e-6)
    assert found.shape == (40, 48)
    np.testing.assert_array_equal(found[20:], network(faces[20:]))


def test_a_network_of_another_kind_is_refused_at_once(tmp_path):
    with pytest.raises(TraitswapError, match=r"wide.onnx gives an array of shape \(2, 3, 4, 4\): .* one output N × D"):
        OnnxFeatures(write_network(tmp_path / "wide.onnx", 16, flat=False))
    with pytest.raises(TraitswapError, match=r"alone.onnx cannot be run on faces .* any N"):
        OnnxFeatures(write_network(tmp_path / "alone.onnx", 16, batch=1))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A trained run, a tiny network, and a folder of people neutral and smiling."""
    home = tmp_path_factory.mktemp("evaluate")
    changes = [part for change in SMALL for part in ("--set", change)]
    ok(["train", "--preset", "tiny", "--data", "drawn", "--out", home / "run", *changes])
    shutil.copytree(home / "run/weights", home / "second")
    write_network(home / "tiny-48.onnx", 32)
    (home / "people").mkdir()
    rows = ["file,person,smiling,age"]
    for i in range(6):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(home / f"people/{i}.png")
        rows.append(f"{i}.png,{'abc'[i // 2]},{i % 2},{30 + i}")
    (home / "people/labels.csv").write_text("\n".join(rows))
    return home


def evaluate(home, *more):
    return [
        "evaluate", home / "run/weights", "--data", "drawn", "--judge", home / "run/health",
        "--identity-network", home / "tiny-48.onnx", "--feature-network", home / "tiny-48.onnx", *more,
    ]  # fmt: skip


def test_two_evaluations_give_the_same_numbers_and_their_whole_protocol(home, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    capsys.readouterr()
    ok(evaluate(home, home / "second", "--json", tmp_path / "one.json"))
    said = capsys.readouterr().out
    assert max(len(line) for line in said.splitlines() if not line.startswith("note: ")) <= 80
    assert "…" not in said
    for part in ("run: tiny, 16 images seen", "second: tiny", "hair_color", "smiling", "frechet_tiny", "over all"):
        assert part in said
    ok(evaluate(home, home / "second", "--json", tmp_path / "two.json"))
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    first, second = json.loads((tmp_path / "one.json").read_text())["models"]
    assert first["protocol"].pop("weights") == "run"
    assert second["protocol"].pop("weights") == "second"
    assert first == second
    protocol = first["protocol"]
    assert (protocol["data"], protocol["split"], protocol["pairs"], protocol["seed"]) == ("drawn", "test", 4, 0)
    for key in ("weights_sha256", "images_sha256"):
        assert len(protocol[key]) == 64
    assert len(protocol["judge"]["sha256"]) == len(protocol["feature_network"]["sha256"]) == 64
    assert {"numpy", "torch", "onnxruntime", "cv2"} == protocol["versions"].keys()
    assert "shuffled by seed" in protocol["pairing"]
    assert "linear to shrink" in protocol["resize"]
    quality = first["quality"]["(all)"]
    assert quality["count"] == first["together"]["pairs"] > 0
    assert {"frechet_tiny", "frechet_tiny_floor", "frechet_tiny_pooled", "kernel_tiny"} <= quality.keys()
    assert not any("fid" in key.lower() for key in quality)
    ok(evaluate(home, "--seed", "1", "--mirror", "--json", tmp_path / "other.json"))
    [other] = json.loads((tmp_path / "other.json").read_text())["models"]
    assert (other["protocol"]["seed"], other["protocol"]["mirrored"]) == (1, True)
    assert other["protocol"]["images_sha256"] != protocol["images_sha256"]
    assert first["notes"]
    assert first["style"]["hair_color"][0].keys() >= {"correlation", "true", "true_real"}


def test_the_same_person_on_a_folder_with_other_columns(home, tmp_path, capsys):
    base = evaluate(home, "--same-person", "person", "--json", tmp_path / "out.json")
    base[base.index("drawn")] = home / "people"
    refused(capsys, base, "no label column 'Black_Hair'", "--attribute NAME")
    capsys.readouterr()
    ok([*base, "--attribute", "smiling"])
    assert "smiling taken from another" in capsys.readouterr().out
    report = json.loads((tmp_path / "out.json").read_text())["models"][0]
    assert report["same_person"]["people"] == 3
    assert report["same_person"]["error"] > 0
    assert report["protocol"]["split"] == "all"


def test_what_the_weights_confine_or_the_command_is_measured_so(home, tmp_path, monkeypatch):
    weights = shutil.copytree(home / "second", tmp_path / "weights")
    config = json.loads((weights / "config.json").read_text())
    (weights / "config.json").write_text(json.dumps({**config, "confined": {"hair_color": "hair", "smiling": "eyes"}}))
    measured = []
    monkeypatch.setattr(
        evaluation, "transferred", lambda *a, **k: measured.append(k["confined"]) or transferred(*a, **k)
    )
    command = evaluate(home, "--confine", "smiling=mouth", "--json", tmp_path / "report.json")
    command[1] = weights
    ok(command)
    [report] = json.loads((tmp_path / "report.json").read_text())["models"]
    expected = {"hair_color": "hair", "smiling": "mouth"}
    assert measured == [report["protocol"]["confined"]] == [expected]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--same-person", "person"], ("one attribute of one label column",)),
        (["--same-person", "person", "--attribute", "smiling"], ("tells people apart",)),
        (["--attribute", "smile"], ("no attribute 'smile'", "did you mean smiling?")),
        (["--confine", "smiling"], ("expected ATTRIBUTE=…, such as hair_color=hair",)),
        (["--confine", "smiling=nose"], ("smiling cannot be confined to 'nose'", "hair, eyes, mouth")),
        (["--split", "all"], ("expected train, val or test",)),
        (["--feature-network", "none.onnx"], ("no such feature network",)),
    ],
)
def test_wrong_evaluations_are_explained(home, capsys, more, expected):
    refused(capsys, evaluate(home, *more), *expected)


def test_a_data_set_without_a_test_split_names_the_remedy(home, tmp_path, capsys):
    folder = shutil.copytree(home / "people", tmp_path / "valid")
    lines = (folder / "labels.csv").read_text().splitlines()
    (folder / "labels.csv").write_text("\n".join([f"{lines[0]},split", *(f"{line},val" for line in lines[1:])]))
    arguments = evaluate(home, "--attribute", "smiling")
    arguments[arguments.index("drawn")] = folder
    refused(capsys, arguments, "no test images", "6 val", "--split val")


def test_the_judge_must_be_named(home, capsys):
    refused(capsys, ["evaluate", home / "run/weights", "--data", "drawn"], "no --judge", "train-classifier")
