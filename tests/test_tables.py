"""The paper's tables by command: trained, measured, kept and written, on drawn faces and networks of no use."""

import io
import json
import shutil

import pytest
from rich.console import Console

import results
import table1
import table2
import tables
from traitswap.config import load_settings
from traitswap.data.open import open_faces
from traitswap.errors import TraitswapError
from traitswap.metrics.evaluation import Evaluator
from traitswap.training import loop, setup

from .tiny_onnx import write_network

SHRUNK = (
    "network.widths=[8,64]",
    "network.discriminator_widths=[8,8]",
    "train.batch=6",
    "train.save_images=6",
    "train.sample_images=12",
    "train.health_pairs=4",
    "train.statistics_images=64",
    "classifier.images=128",
    "data.drawn_count=80",
)
CHANGES = [part for change in SHRUNK for part in ("--set", change)]
FOLDERS = ("ours-seed0", "stargan-seed0", "dna-gan-seed0")


class KilledError(Exception):
    pass


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A judge and a feature network."""
    home = tmp_path_factory.mktemp("tables")
    settings = load_settings("lite", [*SHRUNK, "network.size=64"])
    faces = open_faces("drawn", 64, settings.data)[0]
    setup.obtain_classifier(home / "judge", faces, settings.classifier, 100, "judge", Console(file=io.StringIO()))
    write_network(home / "tiny-48.onnx", 64)
    return home


def command(home, *more):
    networks = [part for kind in ("feature", "identity") for part in (f"--{kind}-network", home / "tiny-48.onnx")]
    words = ["--data", "drawn", "--judge", home / "judge", *networks, "--out", home / "runs", "--size", 64, *CHANGES]
    words += ["--results", home / "docs/results", *(more or ("--images", 12))]
    return [str(word) for word in words]


def killed_after(monkeypatch, count):
    """The process ends as soon as that many states are saved."""
    saves = iter(range(1, count + 1))
    save_state = loop.save_state

    def save(*arguments):
        save_state(*arguments)
        if next(saves) == count:
            raise KilledError

    monkeypatch.setattr(loop, "save_state", save)


@pytest.fixture(scope="module")
def finished(home):
    """Table 1, killed in its second model, and called again: what was said then, and the first model's weights."""
    with pytest.MonkeyPatch.context() as patch:
        killed_after(patch, 3)
        with pytest.raises(KilledError):
            tables.main(table1.TABLE, "", command(home))
    assert not (home / "docs").exists()
    assert [loop.weights_seen(home / "runs" / folder) for folder in FOLDERS] == [12, 0, None]
    first = (home / "runs/ours-seed0/weights/model.safetensors").stat().st_mtime_ns
    with pytest.MonkeyPatch.context() as patch:
        console = Console(file=io.StringIO(), width=200)
        patch.setattr(tables, "Console", lambda: console)
        tables.main(table1.TABLE, "", command(home))
    return console.file.getvalue(), first


def test_a_killed_table_goes_on_and_keeps_what_is_finished(home, finished):
    said, first = finished
    assert said.count("going on from 6 images") == 1
    assert (home / "runs/ours-seed0/weights/model.safetensors").stat().st_mtime_ns == first
    assert [loop.weights_seen(home / "runs" / folder) for folder in FOLDERS] == [12, 12, 12]
    assert not any((home / "runs" / folder / "guide").exists() for folder in FOLDERS), "the classifiers are shared"


def test_a_finished_table_is_neither_trained_nor_measured_again(home, finished, monkeypatch):
    def refuse(*_):
        raise AssertionError("nothing is left to do")

    monkeypatch.setattr(loop, "step", refuse)
    monkeypatch.setattr(Evaluator, "evaluate", refuse)
    made = [home / "docs/results/table1.json", home / "docs/results.md"]
    made += sorted((home / "runs").rglob("*.safetensors"))
    before = [file.read_bytes() for file in made]
    times = [file.stat().st_mtime_ns for file in made[2:]]
    tables.main(table1.TABLE, "", command(home))
    assert [file.read_bytes() for file in made] == before
    assert [file.stat().st_mtime_ns for file in made[2:]] == times


def test_a_table_of_other_pairs_is_measured_again(home, finished, monkeypatch):
    monkeypatch.setattr(Evaluator, "evaluate", lambda *_: pytest.fail("measured"))
    with pytest.raises(pytest.fail.Exception, match="measured"):
        tables.main(table1.TABLE, "", command(home, "--images", 12, "--pairs", 3))


def test_the_json_holds_the_protocol_and_no_place(home, finished):
    file = home / "docs/results/table1.json"
    table = json.loads(file.read_text())
    assert str(home) not in file.read_text()
    assert table["budget"] == {"images": 12, "seeds": [0], "preset": "lite", "changes": list(SHRUNK)}
    assert [m["name"] for m in table["models"]] == ["ours", "StarGAN", "DNA-GAN"]
    protocols = [m["reports"][0]["protocol"] for m in table["models"]]
    assert len({p["images_sha256"] for p in protocols}) == 1
    assert len({p["weights_sha256"] for p in protocols}) == 3
    assert {p["images_seen"] for p in protocols} == {12}
    assert table["classifiers"]["guide"]["sha256"] != table["classifiers"]["health"]["sha256"]


def test_published_and_own_numbers_have_columns_of_their_own(home, finished):
    lines = (home / "docs/results.md").read_text().splitlines()
    rows = [[part.strip() for part in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    heads = rows[0]
    assert [head for head in heads if "published" in head] == ["FID, published", "ours ÷ this, published"]
    assert not any("FID" in head for head in heads[2:])
    assert all("own" in head for head in heads[3:])
    assert [row[:3] for row in rows[2:5]] == [
        ["ours", "45.23", "–"], ["StarGAN", "78.90", "0.57"], ["DNA-GAN", "76.08", "0.59"],
    ]  # fmt: skip
    report = json.loads((home / "docs/results/table1.json").read_text())["models"][1]["reports"][0]
    stargan = dict(zip(heads, rows[3], strict=True))
    assert stargan["frechet_tiny, own"] == f"{report['quality']['(all)']['frechet_tiny']:.4g}"
    assert [row[0] for row in rows[7:]] == ["ours", "StarGAN", "DNA-GAN", "photo, untouched", "reference itself"]
    text = "\n".join(lines)
    for part in ("12 training images", "iterations: ours 2, StarGAN 2, DNA-GAN 2", "drawn, test: 4 pairs", "Seed 0"):
        assert part in text
    for part in (
        "StarGAN is told the labels",
        "Ours is guided by a classifier",
        "changed for all: network.widths",
        "(ours) begins with",
    ):
        assert part in text


def test_several_seeds_show_mean_and_range(home, finished):
    table = json.loads((home / "docs/results/table1.json").read_text())
    for model, change in zip(table["models"], (1, 2, 4), strict=True):
        other = json.loads(json.dumps(model["reports"][0]))
        model["reports"][0]["quality"]["(all)"]["frechet_tiny"] = 1.0
        other["quality"]["(all)"]["frechet_tiny"] = float(change)
        model["reports"].append(other)
    table["budget"]["seeds"] = [0, 1]
    text = results.section(table)
    assert "| 1.5 (1 … 2) | 0.75 (0.50 … 1.00) |" in text
    assert "| 2.5 (1 … 4) | 0.62 (0.25 … 1.00) |" in text
    assert "Seeds 0, 1: mean (lowest … highest)" in text


def test_a_smaller_budget_than_was_seen_is_refused(home, finished):
    # Where the learning rate falls towards the end, as in lite, another budget is another schedule.
    with pytest.raises(SystemExit, match=r"table1: .*ours-seed0 was begun otherwise .*images: there 12, now 6"):
        tables.main(table1.TABLE, "", command(home, "--images", 6))


def test_a_dry_run_says_what_is_left_and_leaves_nothing(home, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tables, "seconds_per_image", lambda settings, data: 36.0)
    words = command(home, "--images", 1195, "--seeds", 0, 1, "--dry-run", "--out", tmp_path / "runs")
    tables.main(table2.TABLE, "", words)
    said = capsys.readouterr().out
    assert said.count("1,200 images (200 iterations), 0 images seen: about 12.0 hours to go here") == 10
    assert "guide classifier: 128 images" in said
    assert "in all about 120.0 hours of training; then 10 evaluations" in said
    assert not (tmp_path / "runs").exists()


def options(tmp_path, *words):
    required = ["--data", "drawn", "--judge", "j", "--feature-network", "n", "--out", str(tmp_path)]
    return tables.parser("").parse_args([*required, *words])


def test_all_models_see_the_same_number_of_images(tmp_path, monkeypatch):
    # Batches of 16, 16 and 24.
    assert tables.budget(table1.TABLE, options(tmp_path, "--images", "96001"), None) == 96_048
    monkeypatch.setattr(tables, "seconds_per_image", lambda s, data: {"stargan": 0.1}.get(s.method.name, 0.01))
    minutes = options(tmp_path, "--minutes", "1")
    assert tables.budget(table1.TABLE, minutes, None) == 600 // 48 * 48
    monkeypatch.setattr(tables, "seconds_per_image", lambda s, data: 1.0)
    assert tables.budget(table1.TABLE, minutes, None) == 576, "measured once and kept"
    assert tables.budget(table1.TABLE, options(tmp_path, "--minutes", "2"), None) == 96


def test_the_models_differ_in_what_the_tables_say(tmp_path):
    given = options(tmp_path, "--images", "48", "--set", "train.lr=0.1")
    first = [tables.settings_of(model, given, 3, 48) for model in table1.TABLE.models]
    assert [s.preset for s in first] == ["lite", "stargan-lite", "dna-gan-lite"]
    assert {(s.train.lr, s.train.seed, s.train.images) for s in first} == {(0.1, 3, 48)}
    second = [tables.settings_of(model, given) for model in table2.TABLE.models]
    assert [s.method.lambda_ver for s in second] == [0, 0.01, 0.1, 1, 10]
    assert {tuple(s.attributes) for s in first + second} == {("bangs", "smiling", "eyeglasses")}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("train.images=5", "the table sets this itself"),
        ("method.lambda_ver=1", "the table sets this itself"),
        ("train.lrr=1", "no setting 'train.lrr'"),
    ],
)
def test_wrong_changes_are_explained(tmp_path, change, expected):
    given = options(tmp_path, "--images", "48", "--set", change)
    with pytest.raises(TraitswapError, match=expected):
        tables.settings_of(table2.TABLE.models[0], given)


def test_a_setting_that_only_some_methods_have_is_refused(tmp_path):
    given = options(tmp_path, "--images", "48", "--set", "network.rest_channels=8")
    with pytest.raises(TraitswapError, match=r"no setting 'network\.rest_channels'"):
        tables.budget(table1.TABLE, given, None)


def test_the_page_of_results_is_what_the_json_says():
    page = results.page(results.RESULTS)
    assert page.exists() == bool(results.tables(results.RESULTS)), "python benchmarks/results.py"
    assert not page.exists() or page.read_text("utf-8") == results.text(results.RESULTS), "python benchmarks/results.py"


def test_the_page_goes_with_the_last_table(home, finished, tmp_path):
    folder = shutil.copytree(home / "docs/results", tmp_path / "results")
    results.write(folder)
    assert (tmp_path / "results.md").read_text() == (home / "docs/results.md").read_text()
    (folder / "table1.json").unlink()
    results.write(folder)
    assert not (tmp_path / "results.md").exists()
