"""The cache of decoded faces: whole or not there, never stale."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import namedtuple
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

from traitswap.data.cache import default_cache_dir, load_faces
from traitswap.data.sources import FaceSource, open_source
from traitswap.errors import TraitswapError

SIZE = 4


@dataclass
class Greys:
    """Image i is of grey i % 251; those in `broken` cannot be read. Counts what it decodes."""

    count: int = 20
    fingerprint: str = "a" * 32
    broken: tuple[int, ...] = ()
    name: str = "greys"
    decoded: list[int] = field(default_factory=list)

    columns = ("Smiling", "Bangs")

    @property
    def names(self) -> list[str]:
        return [f"{i}.png" for i in range(self.count)]

    @property
    def labels(self) -> np.ndarray:
        return np.stack([np.arange(self.count) % 2, np.ones(self.count)], axis=1).astype(np.uint8)

    @property
    def partition(self) -> np.ndarray:
        return (np.arange(self.count) % 2 * 2).astype(np.uint8)

    def load(self, i: int) -> np.ndarray:
        self.decoded.append(i)
        if i in self.broken:
            raise TraitswapError(f"/there/{i}.png is not an image that can be read")
        return np.full((12, 8, 3), i % 251, np.uint8)


def folders(cache: Path) -> list[str]:
    return sorted(entry.name for entry in cache.iterdir() if entry.is_dir())


def test_decoded_once_in_the_sources_order(tmp_path: Path) -> None:
    source: FaceSource = Greys(600)
    steps: list[tuple[int, int]] = []
    data = load_faces(source, SIZE, tmp_path, progress=lambda done, total: steps.append((done, total)))
    assert data.images.shape == (600, SIZE, SIZE, 3)
    assert data.images.dtype == np.uint8
    assert data.images[:, 0, 0, 0].tolist() == [i % 251 for i in range(600)]
    assert data.names == source.names
    assert np.array_equal(data.labels, source.labels)
    assert data.source_name == "greys"
    assert steps[-1] == (600, 600)
    assert [done for done, _ in steps] == sorted({done for done, _ in steps})

    again = Greys(600)
    reopened = load_faces(again, SIZE, tmp_path)
    assert again.decoded == []
    assert isinstance(reopened.images, np.memmap)
    assert np.array_equal(reopened.images, data.images)
    assert reopened.fingerprint == data.fingerprint


def test_images_are_the_centre_square(tmp_path: Path) -> None:
    class Bands(Greys):
        def load(self, i: int) -> np.ndarray:
            image = np.full((16, 8, 3), 9, np.uint8)
            image[4:12] = 70
            return image

    assert np.array_equal(np.unique(load_faces(Bands(2), SIZE, tmp_path).images), [70])


def test_a_partition_of_another_seed_is_not_the_cached_one(tmp_path: Path) -> None:
    class AllTest(Greys):
        partition = np.full(20, 2, np.uint8)

    assert load_faces(Greys(), SIZE, tmp_path).split("train").tolist() == list(range(0, 20, 2))
    other = AllTest()
    assert load_faces(other, SIZE, tmp_path).split("test").tolist() == list(range(20))
    assert other.decoded == []


def test_split_and_columns(tmp_path: Path) -> None:
    data = load_faces(Greys(), SIZE, tmp_path)
    assert data.split("test").dtype == np.int64
    with pytest.raises(TraitswapError, match=r"^greys has no val images; there are: 10 train, 10 test$"):
        data.split("val")
    assert data.columns_of(["Bangs", "Smiling"])[:2].tolist() == [[1, 0], [1, 1]]
    with pytest.raises(TraitswapError, match=r"no label column 'smilling'; did you mean Smiling\?"):
        data.columns_of(["Bangs", "smilling"])


def test_a_changed_source_is_decoded_anew_and_the_old_cache_removed(tmp_path: Path) -> None:
    images = tmp_path / "set"
    images.mkdir()
    for i in range(20):
        cv2.imwrite(str(images / f"{i}.png"), np.full((8, 8, 3), i, np.uint8))
    (images / "labels.csv").write_text("file,s\n" + "".join(f"{i}.png,{i % 2}\n" for i in range(20)))

    def load(size: int = SIZE) -> np.ndarray:
        source = open_source(images, partition="random", seed=0, on_problem="stop")
        return load_faces(source, size, tmp_path / "cache").images[:, 0, 0, 0]

    assert load().tolist() == list(range(20))
    load(SIZE * 2)
    load_faces(Greys(), SIZE, tmp_path / "cache")
    before = folders(tmp_path / "cache")
    assert len(before) == 3
    cv2.imwrite(str(images / "7.png"), np.full((8, 9, 3), 200, np.uint8))
    assert load().tolist() == [*range(7), 200, *range(8, 20)]
    after = folders(tmp_path / "cache")
    # The other size and the other source stay.
    assert len(after) == 3
    assert len(set(after) & set(before)) == 2


def test_the_fingerprint_is_of_the_content_not_of_the_place(tmp_path: Path) -> None:
    class Darker(Greys):
        def load(self, i: int) -> np.ndarray:
            return super().load(i) // 2

    class Renamed(Greys):
        names = tuple(f"{i}.jpg" for i in range(20))

    class Relabelled(Greys):
        labels = np.zeros((20, 2), np.uint8)

    class AllTest(Greys):
        partition = np.full(20, 2, np.uint8)

    sources = [Greys(), Greys(fingerprint="b" * 32), Greys(19), Darker(), Renamed(), Relabelled(), AllTest()]
    prints = [load_faces(source, SIZE, tmp_path / str(i)).fingerprint for i, source in enumerate(sources)]
    prints.append(load_faces(Greys(), 2 * SIZE, tmp_path).fingerprint)
    assert prints[0] == prints[1]
    assert len(set(prints[1:])) == len(prints) - 1


BLOCKED = """
import sys, threading
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_cache import SIZE, Greys
from traitswap.data.cache import load_faces

class Stuck(Greys):
    def load(self, i):
        if i == 600:
            print("midway", flush=True)
            threading.Event().wait()
        return super().load(i)

load_faces(Stuck(700), SIZE, Path(sys.argv[1]))
"""


def test_a_write_killed_midway_never_looks_complete(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BLOCKED, str(tmp_path), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "midway\n"
        child.send_signal(signal.SIGKILL)
    [partial] = folders(tmp_path)
    assert partial.endswith(".partial")
    assert any((tmp_path / partial).iterdir())
    source = Greys(700)
    data = load_faces(source, SIZE, tmp_path)
    assert sorted(source.decoded) == list(range(700))
    assert data.images[:, 0, 0, 0].tolist() == [i % 251 for i in range(700)]
    assert not any(name.endswith(".partial") for name in folders(tmp_path))


@pytest.mark.parametrize("file", ["pixels.u8", "about.json"])
def test_a_damaged_cache_is_built_again(tmp_path: Path, file: str) -> None:
    load_faces(Greys(), SIZE, tmp_path)
    os.truncate(tmp_path / folders(tmp_path)[0] / file, 10)
    source = Greys()
    assert load_faces(source, SIZE, tmp_path).images[3, 0, 0, 0] == 3
    assert len(source.decoded) == 20


def test_two_at_once_build_once(tmp_path: Path) -> None:
    sources = [Greys(600), Greys(600)]
    threads = [threading.Thread(target=load_faces, args=(source, SIZE, tmp_path)) for source in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(source.decoded) for source in sources) == [0, 600]


def test_unreadable_images_stop_or_are_skipped(tmp_path: Path) -> None:
    broken = (3, 5, 7, 9)
    said = (
        "unreadable images: 4 (3.png, 5.png, 7.png and 1 more); "
        "the first: /there/3.png is not an image that can be read"
    )
    with pytest.raises(TraitswapError) as caught:
        load_faces(Greys(broken=broken), SIZE, tmp_path)
    assert str(caught.value) == f"greys: {said}: pass --on-problem skip to train without them"
    assert folders(tmp_path) == []

    for expected in (20, 0):  # decoded, then reopened: the same both times
        source = Greys(broken=broken)
        data = load_faces(source, SIZE, tmp_path, "skip")
        assert len(source.decoded) == expected
        kept = [i for i in range(20) if i not in broken]
        assert data.images[:, 0, 0, 0].tolist() == kept
        assert data.names == [f"{i}.png" for i in kept]
        assert data.labels[:, 0].tolist() == [i % 2 for i in kept]
        assert data.partition.tolist() == [i % 2 * 2 for i in kept]
        assert data.problems == (said,)

    # What was skipped is no answer to "stop": still broken, it stops; mended, it is read.
    with pytest.raises(TraitswapError, match="unreadable images: 4"):
        load_faces(Greys(broken=broken), SIZE, tmp_path)
    assert len(load_faces(Greys(), SIZE, tmp_path).names) == 20


def test_nothing_readable_is_an_error_even_when_skipping(tmp_path: Path) -> None:
    with pytest.raises(TraitswapError, match=r"^greys: no image is left \(unreadable images: 2 "):
        load_faces(Greys(2, broken=(0, 1)), SIZE, tmp_path, "skip")


def test_a_full_disk_is_told_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 100))
    source = Greys()
    with pytest.raises(TraitswapError, match=r"greys take 0\.0 GB and .* has 0\.0 GB free: .*TRAITSWAP_CACHE"):
        load_faces(source, SIZE, tmp_path)
    assert source.decoded == []


def test_a_cache_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TraitswapError, match=r"cannot write the cache .*: set TRAITSWAP_CACHE"):
        load_faces(Greys(), SIZE, tmp_path / "file" / "cache")


def test_where_the_cache_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TRAITSWAP_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert default_cache_dir() == tmp_path / ".cache" / "traitswap"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_cache_dir() == tmp_path / "xdg" / "traitswap"
    monkeypatch.setenv("TRAITSWAP_CACHE", str(tmp_path / "chosen"))
    assert default_cache_dir() == tmp_path / "chosen"
    load_faces(Greys(), SIZE)
    assert len(folders(tmp_path / "chosen")) == 1
