"""Data sets on disk, written small by the tests; the shared ones where they are at hand."""

import os
import re
import tarfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from traitswap.data.sources import RAFD_SIDE, DiskFaces, open_source
from traitswap.errors import TraitswapError
from traitswap.faces import eye_midpoint, find_faces

SHARED = Path(os.environ.get("TRAITSWAP_SHARED", Path(__file__).parents[2] / "shared")) / "data"


def grey(value: int) -> bytes:
    """A PNG of one grey, so that a test can tell which image it got."""
    return cv2.imencode(".png", np.full((6, 4, 3), value, np.uint8))[1].tobytes()


def write_images(folder: Path, names: Sequence[str]) -> None:
    for value, name in enumerate(names):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(grey(value))


def write_celeba(folder: Path, count: int = 40, count_line: bool = True) -> list[str]:
    """A little CelebA; smiling is what the number's last bit says."""
    names = [f"{i:06}.jpg" for i in range(count)]
    write_images(folder / "img_align_celeba", names)
    rows = [f"{name} {1 if i % 2 else -1}  -1" for i, name in enumerate(names)]
    lines = [str(count)] * count_line + ["Smiling Bangs", *rows]
    (folder / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    return names


def write_partition(folder: Path, parts: dict[str, int]) -> None:
    text = "".join(f"{name} {part}\n" for name, part in parts.items())
    (folder / "list_eval_partition.txt").write_text(text)


def pack(folder: Path, tar: Path, form: int = tarfile.GNU_FORMAT) -> None:
    with tarfile.open(tar, "w", format=form) as archive:
        archive.add(folder, folder.name)


def opened(path: Path, partition: str = "official", on_problem: str = "stop", **more: int) -> DiskFaces:
    return open_source(path, partition=partition, seed=more.pop("seed", 0), on_problem=on_problem, **more)


def value(source: DiskFaces, i: int) -> int:
    return int(source.load(i)[0, 0, 0])


@pytest.mark.parametrize("count_line", [True, False])
def test_celeba_with_and_without_the_count_line(tmp_path: Path, count_line: bool) -> None:
    names = write_celeba(tmp_path, count_line=count_line)
    source = opened(tmp_path)
    assert source.columns == ("Smiling", "Bangs")
    assert source.names == names
    assert source.labels.dtype == np.uint8
    assert source.labels[:, 0].tolist() == [0, 1] * 20
    assert not source.labels[:, 1].any()
    assert [value(source, i) for i in (0, 7, 39)] == [0, 7, 39]
    assert source.load(0).shape == (6, 4, 3)
    assert source.problems == []


def test_colours_are_rgb(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    red = np.zeros((4, 4, 3), np.uint8)
    red[:, :, 2] = 255  # OpenCV writes BGR
    (tmp_path / "img_align_celeba" / "000003.jpg").write_bytes(cv2.imencode(".png", red)[1].tobytes())
    assert opened(tmp_path).load(3)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_tars_hold_what_the_folder_holds(tmp_path: Path, form: int) -> None:
    names = write_celeba(tmp_path)
    folder = tmp_path / "img_align_celeba"
    (folder / "._000000.jpg").write_bytes(b"what macOS leaves")
    pack(folder, tmp_path / "any.tar", form)
    for file in folder.iterdir():
        file.unlink()
    source = opened(tmp_path)
    assert source.names == names
    assert [value(source, i) for i in range(40)] == list(range(40))


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_names_too_long_for_a_plain_tar_header(tmp_path: Path, form: int) -> None:
    folder = tmp_path / ("f" * 70) / ("ü" * 30)
    write_images(folder, ["a.png", "b.png"])
    (tmp_path / "set").mkdir()
    with tarfile.open(tmp_path / "set" / "x.tar", "w", format=form) as archive:
        archive.add(folder.parent, folder.parent.name)
    (tmp_path / "set" / "labels.csv").write_text("file,smiling\na.png,0\nb.png,1\n")
    source = opened(tmp_path / "set")
    assert [value(source, i) for i in range(2)] == [0, 1]


def test_a_tar_header_with_a_binary_size(tmp_path: Path) -> None:
    names = write_celeba(tmp_path, 1)
    pack(tmp_path / "img_align_celeba", tmp_path / "old.tar")
    (tmp_path / "img_align_celeba" / names[0]).unlink()
    data = bytearray((tmp_path / "old.tar").read_bytes())
    header = data[512:1024]  # after the folder's own
    header[124:136] = b"\x80" + int(header[124:135], 8).to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    data[512:1024] = header
    (tmp_path / "old.tar").write_bytes(data)
    assert value(opened(tmp_path), 0) == 0


def test_a_random_partition_is_the_seeds_alone(tmp_path: Path) -> None:
    write_celeba(tmp_path, 100)
    first = opened(tmp_path, "random", seed=1, test_count=7)
    assert np.bincount(first.partition).tolist() == [86, 7, 7]
    assert first.partition_used == "random"
    assert np.array_equal(first.partition, opened(tmp_path, "random", seed=1, test_count=7).partition)
    assert not np.array_equal(first.partition, opened(tmp_path, "random", seed=2, test_count=7).partition)
    # At most a tenth is held out for each, however many are asked for.
    assert np.bincount(opened(tmp_path, "random").partition).tolist() == [80, 10, 10]


def test_the_official_partition(tmp_path: Path) -> None:
    names = write_celeba(tmp_path)
    parts = {name: i % 3 for i, name in enumerate(names)}
    write_partition(tmp_path, parts)
    official = opened(tmp_path)
    assert official.partition.tolist() == list(parts.values())
    assert official.partition_used == "official"
    assert np.bincount(opened(tmp_path, "random").partition).tolist() == [32, 4, 4]


def test_a_partition_that_is_wholly_absent_is_told_and_does_not_stop(tmp_path: Path) -> None:
    names = write_celeba(tmp_path)
    write_partition(tmp_path, {name: i // 20 for i, name in enumerate(names)} | {"x.jpg": 2, "y.jpg": 2})
    source = opened(tmp_path)
    assert source.names == names
    assert source.problems == ["none of the 2 images of the test partition is there"]
    # One image of it there: then the other is missed.
    write_images(tmp_path / "img_align_celeba", ["x.jpg"])
    with (tmp_path / "list_attr_celeba.txt").open("a") as file:
        file.write("x.jpg 1 1\n")
    with pytest.raises(TraitswapError, match=r"label rows without an image: 1 \(y\.jpg\)"):
        opened(tmp_path)


def test_problems_stop_or_are_skipped(tmp_path: Path) -> None:
    names = write_celeba(tmp_path)
    folder = tmp_path / "img_align_celeba"
    for name in names[:5]:
        (folder / name).unlink()
    (folder / "extra.jpg").write_bytes(grey(200))
    with pytest.raises(TraitswapError) as caught:
        opened(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path.name}: images without a label row: 1 (extra.jpg); label rows without an image: 5 "
        "(000000.jpg, 000001.jpg, 000002.jpg and 2 more): pass --on-problem skip to train without them"
    )
    source = opened(tmp_path, on_problem="skip")
    assert source.names == names[5:]
    assert source.labels[:, 0].tolist() == [1, 0] * 17 + [1]
    assert value(source, 0) == 5
    assert len(source.problems) == 2
    assert source.problems[0] == "images without a label row: 1 (extra.jpg)"


def test_images_without_a_partition_row_are_a_problem(tmp_path: Path) -> None:
    names = write_celeba(tmp_path)
    write_partition(tmp_path, dict.fromkeys(names[1:], 0))
    with pytest.raises(TraitswapError, match=r"images without a partition row: 1 \(000000\.jpg\)"):
        opened(tmp_path)
    assert opened(tmp_path, on_problem="skip").names == names[1:]


def test_csv_labels_for_a_folder_searched_to_its_depth(tmp_path: Path) -> None:
    write_images(tmp_path, ["b/2.png", "a/1.png", "a/deep/3.PNG"])
    (tmp_path / "labels.csv").write_text(
        "\ufefffile,age,smiling,glasses,gender,Split\n1.png,30,1,-1,male,train\n\n"
        '"b/2.png",31, 0,1,female,test\n3.PNG,1,1,1,female,val\n',
        encoding="utf-8",
    )
    source = opened(tmp_path)
    assert source.columns == ("smiling", "glasses")
    assert source.names == ["1.png", "b/2.png", "3.PNG"]
    assert source.labels.tolist() == [[1, 0], [0, 1], [1, 1]]
    assert source.partition.tolist() == [0, 2, 1]
    assert [value(source, i) for i in range(3)] == [1, 0, 2]


def test_a_column_that_is_nearly_a_label_is_told(tmp_path: Path) -> None:
    write_images(tmp_path, ["1.png", "2.png", "3.png"])
    (tmp_path / "labels.csv").write_text("file,smiling,glasses\n1.png,1,1\n2.png,O,0\n3.png,0,1\n")
    source = opened(tmp_path)
    assert source.columns == ("glasses",)
    assert source.problems == ["column smiling of labels.csv is no label: it holds 'O'"]


def photo_with_a_face() -> np.ndarray:
    data = pytest.importorskip("skimage.data", reason="scikit-image, whose sample photo has a face, is missing")
    canvas = np.full((1024, 681, 3), 255, np.uint8)
    canvas[250:762, 85:597] = data.astronaut()
    return canvas


def write_rafd(folder: Path, names: Sequence[str]) -> None:
    data = cv2.imencode(".jpg", photo_with_a_face()[:, :, ::-1])[1].tobytes()
    for name in names:
        (folder / name).write_bytes(data)


def test_rafd_by_its_names(tmp_path: Path) -> None:
    write_rafd(
        tmp_path,
        [
            "Rafd090_01_Caucasian_female_happy_frontal.jpg",
            "Rafd045_20_Moroccan_male_sad_left.jpg",
            "Rafd135_63_Kid_female_contemptuous_right.jpg",
            "Rafd000_63_Kid_female_angry_right.jpg",
        ],
    )
    source = opened(tmp_path, "random")
    assert [name[:10] for name in source.names] == ["Rafd045_20", "Rafd090_01", "Rafd135_63"]
    assert source.columns[:3] == ("Smiling", "Male", "Angry")
    assert len(source.columns) == 2 + 8
    shown = [[c for c, bit in zip(source.columns, row, strict=True) if bit] for row in source.labels]
    assert shown == [["Male", "Sad"], ["Smiling", "Happy"], ["Contemptuous"]]
    assert source.partition.tolist() == [2, 2, 2]
    assert "profile views" in source.problems[0]
    crop = source.load(0)
    assert crop.shape == (RAFD_SIDE, RAFD_SIDE, 3)
    # Moved, not scaled: the photo's own pixels round the midpoint of the eyes.
    photo = cv2.imread(str(tmp_path / source.names[0]))[:, :, ::-1]
    x, y = map(round, eye_midpoint(find_faces(np.ascontiguousarray(photo))[0]))
    assert (x, y) == pytest.approx((85 + 223, 250 + 102), abs=6)
    assert np.array_equal(crop, photo[y - 256 : y + 256, x - 256 : x + 256])


def test_a_rafd_crop_beyond_the_photo_goes_on_with_its_border(tmp_path: Path) -> None:
    name = "Rafd090_01_Caucasian_female_happy_frontal.jpg"
    photo = photo_with_a_face()[250:762, 85:597]  # the eyes are 102 below its top
    cv2.imwrite(str(tmp_path / name), photo[:, :, ::-1])
    crop = opened(tmp_path).load(0)
    assert crop.shape == (RAFD_SIDE, RAFD_SIDE, 3)
    assert (crop[:140] == crop[0]).all()
    assert crop[0].std() > 10
    assert not (crop[140:200] == crop[0]).all()


def test_rafd_without_a_face_is_unreadable(tmp_path: Path) -> None:
    name = "Rafd090_01_Caucasian_female_happy_frontal.jpg"
    (tmp_path / name).write_bytes(cv2.imencode(".jpg", np.full((300, 200, 3), 90, np.uint8))[1].tobytes())
    with pytest.raises(TraitswapError, match=f"{name} shows no face"):
        opened(tmp_path).load(0)


@pytest.mark.parametrize("data", [b"", b"no image", grey(1)[:-30]])
def test_an_unreadable_image_is_named(tmp_path: Path, data: bytes) -> None:
    write_celeba(tmp_path)
    file = tmp_path / "img_align_celeba" / "000002.jpg"
    file.write_bytes(data)
    source = opened(tmp_path)
    with pytest.raises(TraitswapError, match=re.escape(f"{file} is not an image that can be read")):
        source.load(2)
    file.unlink()
    with pytest.raises(TraitswapError, match=re.escape(f"{file} cannot be read (No such file")):
        source.load(2)


def replace_line(file: Path, number: int, line: str) -> None:
    lines = file.read_text().splitlines()
    lines[number - 1] = line
    file.write_text("\n".join(lines))


def attributes(line: int, text: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        write_celeba(folder)
        replace_line(folder / "list_attr_celeba.txt", line, text)

    return spoil


def table(text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        write_images(folder, ["a.png", "b.png"])
        (folder / "labels.csv").write_text(text)

    return write


def of_another_set(folder: Path) -> None:
    write_celeba(folder)
    text = (folder / "list_attr_celeba.txt").read_text()
    (folder / "list_attr_celeba.txt").write_text(text.replace(".jpg", ".webp"))


def bad_partition(folder: Path) -> None:
    write_celeba(folder)
    write_partition(folder, {"000000.jpg": 0, "000001.jpg": 3})


def partition_of_another_set(folder: Path) -> None:
    write_celeba(folder, 1)
    write_partition(folder, {"else.jpg": 0})


def no_labels(folder: Path) -> None:
    write_images(folder, ["a.png"])


def two_tables(folder: Path) -> None:
    table("file,s\na.png,1\n")(folder)
    (folder / "more.csv").write_text("")


def ambiguous(folder: Path) -> None:
    write_images(folder, ["x/a.png", "y/a.png"])
    (folder / "labels.csv").write_text("file,s\na.png,1\n")


def twice_in_tars(folder: Path) -> None:
    write_images(folder / "set", ["a.png"])
    pack(folder / "set", folder / "1.tar")
    pack(folder / "set", folder / "2.tar")


def damaged_tar(folder: Path) -> None:
    (folder / "images.tar").write_bytes(b"\x1f\x8b is compressed" * 100)


def not_text(folder: Path) -> None:
    write_celeba(folder)
    (folder / "list_attr_celeba.txt").write_bytes(b"\xff\xfe\x00\x80" * 9)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (attributes(5, "000002.jpg 1"), "list_attr_celeba.txt, line 5: 1 values, expected 2: mend"),
        (attributes(5, "000002.jpg 1 2"), "list_attr_celeba.txt, line 5: got '2', expected 1 or -1: mend"),
        (attributes(5, "000000.jpg 1 1"), "line 5: 000000.jpg is listed a second time: mend"),
        (
            bad_partition,
            "list_eval_partition.txt, line 2: got '000001.jpg 3', expected an image name and 0, 1 or 2",
        ),
        (
            of_another_set,
            "names none of the images (it has 000000.webp, the folder 000000.jpg): it is of another",
        ),
        (partition_of_another_set, "images without a partition row: 1 (000000.jpg)"),
        (table("file,s\na.png,1\nb.png\n"), "labels.csv, line 3: 1 cells, expected 2: mend"),
        (
            table("file,s,split\na.png,1,train\nb.png,1,tset\n"),
            "labels.csv, line 3: got 'tset' as split, expected",
        ),
        (table("file,s\na.png,1\na.png,1\n"), "labels.csv, line 3: a.png is listed a second time: mend"),
        (
            table("file,age\na.png,30\nb.png,41\n"),
            "labels.csv has no label column: expected columns of 0 and 1",
        ),
        (table(""), "labels.csv holds no labels: expected a line of column names"),
        (table("file,s\nc.png,1\n"), "labels.csv in"),
        (two_tables, "has several CSV files; keep the one of labels: 2 (labels.csv, more.csv)"),
        (ambiguous, "a.png may be x/a.png or y/a.png: give paths below the folder as names"),
        (no_labels, "expected list_attr_celeba.txt or one CSV file there, or images named as RaFD's"),
        (twice_in_tars, "set/a.png is in"),
        (damaged_tar, "images.tar is not a readable, uncompressed tar"),
        (not_text, "list_attr_celeba.txt is not UTF-8 text"),
        (lambda folder: None, "no images in"),
    ],
)
def test_what_cannot_be_understood_is_said_in_one_line(
    tmp_path: Path, write: Callable[[Path], None], said: str
) -> None:
    write(tmp_path)
    for on_problem in ("stop", "skip"):
        with pytest.raises(TraitswapError) as caught:
            opened(tmp_path, on_problem=on_problem)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_path_that_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(TraitswapError, match="nowhere does not exist: give a data set's folder"):
        opened(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(TraitswapError, match="file is a file: give a data set's folder"):
        opened(tmp_path / "file")


def test_the_fingerprint_follows_the_files(tmp_path: Path) -> None:
    write_celeba(tmp_path / "set")
    first = opened(tmp_path / "set").fingerprint
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert opened(tmp_path / "set", "random", seed=5).fingerprint == first
    image = tmp_path / "set" / "img_align_celeba" / "000004.jpg"
    os.utime(image, ns=(1, 1))
    touched = opened(tmp_path / "set").fingerprint
    assert touched != first
    assert touched[:16] == first[:16]
    os.utime(tmp_path / "set" / "list_attr_celeba.txt", ns=(1, 1))
    assert opened(tmp_path / "set").fingerprint not in (first, touched)
    (tmp_path / "set").rename(tmp_path / "moved")
    assert opened(tmp_path / "moved").fingerprint[:16] != first[:16]


@pytest.mark.parametrize(
    ("folder", "count", "columns", "partition"),
    [
        ("celeba-hq-128", 27176, 40, [24183, 2993]),
        ("celeba-aligned-3000", 3000, 40, [2400, 300, 300]),
        ("london-128", 204, 1, [164, 20, 20]),
    ],
)
def test_the_shared_sets(folder: str, count: int, columns: int, partition: list[int]) -> None:
    if not (SHARED / folder).is_dir():
        pytest.skip(f"no {folder} in {SHARED}: set TRAITSWAP_SHARED")
    began = time.perf_counter()
    source = opened(SHARED / folder)
    assert time.perf_counter() - began < 5  # half a second on two idle cores
    assert source.labels.shape == (count, columns)
    assert np.bincount(source.partition).tolist() == partition
    assert 0.2 < source.labels[:, source.columns.index("Smiling" if columns > 1 else "smiling")].mean() < 0.8
    assert source.load(count - 1).std() > 10
