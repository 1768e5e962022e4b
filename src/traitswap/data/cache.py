"""Faces decoded once: a memory-mapped array of pixels for each source and size."""

import hashlib
import json
import os
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from traitswap.data.sources import PARTITIONS, PLACE_DIGITS, FaceSource, OnProblem, count_and_name, stop_for
from traitswap.errors import TraitswapError, nearest
from traitswap.images import UInt8Array, square

CACHE_VERSION = 3
"""Counts up when the same source would give other pixels, or its cache another content."""

_TASK = 32
"""Images that a thread decodes at a time: to hand over one by one takes a fifth of the time."""

_PIXELS, _KEPT, _ABOUT = "pixels.u8", "kept.npy", "about.json"


@dataclass(frozen=True, eq=False)
class FaceData:
    """N decoded faces: `images` N × size × size × 3 RGB uint8, memory-mapped and read-only.

    `labels` is N × len(columns) of 0 and 1, `partition` N of 0 (train), 1 (val) and 2 (test). `fingerprint` is
    hex, of all these but not of where they lie: a data set that moved is the same. `problems` are lines for a
    person about images that could not be read and are left out.
    """

    images: UInt8Array
    labels: NDArray[np.uint8]
    columns: tuple[str, ...]
    names: list[str]
    partition: NDArray[np.uint8]
    source_name: str
    fingerprint: str
    problems: tuple[str, ...] = ()

    def split(self, name: Literal["train", "val", "test"]) -> NDArray[np.int64]:
        """The indices of a partition, ascending. Raises `TraitswapError` if it is empty."""
        indices = np.flatnonzero(self.partition == PARTITIONS.index(name)).astype(np.int64)
        if not len(indices):
            counts = np.bincount(self.partition, minlength=len(PARTITIONS))
            there = ", ".join(f"{count:,} {part}" for part, count in zip(PARTITIONS, counts, strict=True) if count)
            raise TraitswapError(f"{self.source_name} has no {name} images; there are: {there}")
        return indices

    def spelled_as(self, columns: Sequence[str]) -> "FaceData":
        """The same faces, with label columns that differ from one of `columns` in capitals alone called as that is."""
        known = {column.lower(): column for column in columns}
        return replace(self, columns=tuple(known.get(column.lower(), column) for column in self.columns))

    def columns_of(self, columns: Sequence[str]) -> NDArray[np.uint8]:
        """The labels of these columns, N × len(columns). Raises `TraitswapError` for an unknown column."""
        for column in columns:
            if column not in self.columns:
                hint = nearest(column, self.columns)
                raise TraitswapError(f"{self.source_name} has no label column '{column}'; {hint}")
        return self.labels[:, [self.columns.index(column) for column in columns]]


def default_cache_dir() -> Path:
    """$TRAITSWAP_CACHE, else traitswap in $XDG_CACHE_HOME, else ~/.cache/traitswap."""
    if chosen := os.environ.get("TRAITSWAP_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "traitswap"


def load_faces(
    source: FaceSource,
    size: int,
    cache_dir: Path | None = None,
    on_problem: OnProblem = "stop",
    progress: Callable[[int, int], None] | None = None,
) -> FaceData:
    """The faces of `source` as `size` squares: decoded on all cores the first time, memory-mapped ever after.

    Only pixels are kept on disk, in `cache_dir` (`default_cache_dir()` if None); labels and partition are the
    source's own, never stale. `progress` is called with (images done, images in all). Unreadable images raise
    `TraitswapError` on "stop" and are dropped on "skip", which `problems` then tells; so does a full or
    read-only disk.
    """
    folder = (default_cache_dir() if cache_dir is None else cache_dir) / _key(source, size)
    # A cache with unreadable images left out does not answer "stop": they are tried again, then told.
    about = _complete(folder, size)
    if about is None or (about["problems"] and on_problem == "stop"):
        try:
            about = _build(source, size, folder, on_problem, progress)
        except OSError as error:
            raise TraitswapError(
                f"cannot write the cache {folder} ({error.strerror or error}): set TRAITSWAP_CACHE to another folder"
            ) from None
    kept = np.load(folder / _KEPT)
    images = np.memmap(folder / _PIXELS, np.uint8, "r", shape=(len(kept), size, size, 3))
    labels, names, partition = source.labels[kept], [source.names[i] for i in kept], source.partition[kept]
    content = hashlib.sha256(json.dumps([about["pixels"], size, names, source.columns]).encode())
    content.update(labels.tobytes())
    content.update(partition.tobytes())
    return FaceData(
        images=images,
        labels=labels,
        columns=source.columns,
        names=names,
        partition=partition,
        source_name=source.name,
        fingerprint=content.hexdigest()[:32],
        problems=tuple(about["problems"]),
    )


def _key(source: FaceSource, size: int) -> str:
    """The cache folder's name. Its beginning stays when the source changes: see `_remove_superseded`."""
    name = re.sub(r"[^\w.-]+", "_", source.name)
    where, state = source.fingerprint[:PLACE_DIGITS], source.fingerprint[PLACE_DIGITS:]
    return f"{name}-{size}px-{where}-{state}-v{CACHE_VERSION}"


def _complete(folder: Path, size: int) -> dict[str, Any] | None:
    """What `about.json` says, if the folder is there and whole."""
    try:
        about: dict[str, Any] = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        whole = (folder / _PIXELS).stat().st_size == about["count"] * size * size * 3
    except (OSError, ValueError, KeyError):
        return None
    return about if whole else None


def _build(
    source: FaceSource,
    size: int,
    folder: Path,
    on_problem: OnProblem,
    progress: Callable[[int, int], None] | None,
) -> dict[str, Any]:
    """Decodes everything into a sibling of `folder`, which takes its name only when it is complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    # One builder at a time; the system takes the lock back when a process dies.
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        about = _complete(folder, size)
        if about and (not about["problems"] or on_problem == "skip"):
            return about  # another process has built it while this one waited
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        _check_space(source, size, folder.parent)
        partial.mkdir()
        try:
            kept, unreadable, digest = _decode_all(source, size, partial / _PIXELS, progress)
            problems = []
            if unreadable:
                named = count_and_name("unreadable images", list(unreadable))
                problems = [f"{named}; the first: {next(iter(unreadable.values()))}"]
            if not kept:
                raise TraitswapError(f"{source.name}: no image is left ({'; '.join(problems)})")
            if problems and on_problem == "stop":
                stop_for(source.name, problems)
            np.save(partial / _KEPT, np.array(kept, np.int64))
            about = {"source": source.name, "count": len(kept), "pixels": digest, "problems": problems}
            (partial / _ABOUT).write_text(json.dumps(about, ensure_ascii=False, indent=1), encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        _remove_superseded(folder)
    return about


def _decode_all(
    source: FaceSource, size: int, file: Path, progress: Callable[[int, int], None] | None
) -> tuple[list[int], dict[str, str], str]:
    """Writes the readable images in order; returns their indices, for the others name → what is wrong, and SHA-256."""
    kept: list[int] = []
    unreadable: dict[str, str] = {}
    digest = hashlib.sha256()

    def decode(i: int) -> UInt8Array | TraitswapError:
        try:
            return square(source.load(i), size)
        except TraitswapError as error:
            return error

    def decode_all(some: range) -> list[UInt8Array | TraitswapError]:
        return [decode(i) for i in some]

    # Of a machine that is shared, only some may be ours.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    total = len(source.names)
    # As many at a time as bounds the memory, whatever the disk's speed.
    ahead: deque[tuple[range, Future[list[UInt8Array | TraitswapError]]]] = deque()
    tasks = (range(start, min(start + _TASK, total)) for start in range(0, total, _TASK))
    with ThreadPoolExecutor(cores) as pool, file.open("wb") as pixels, _one_opencv_thread():
        while True:
            ahead.extend((some, pool.submit(decode_all, some)) for some in islice(tasks, 4 * cores - len(ahead)))
            if not ahead:
                break
            some, decoded = ahead.popleft()
            for i, image in zip(some, decoded.result(), strict=True):
                if isinstance(image, TraitswapError):
                    unreadable[source.names[i]] = str(image)
                else:
                    kept.append(i)
                    pixels.write(image.data)
                    digest.update(image.data)
            if progress:
                progress(some.stop, total)
    return kept, unreadable, digest.hexdigest()


@contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """Where there is a thread for every core already, OpenCV's own stand in their way."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _check_space(source: FaceSource, size: int, where: Path) -> None:
    needed, free = len(source.names) * size * size * 3, shutil.disk_usage(where).free
    if needed > free:
        raise TraitswapError(
            f"the decoded images of {source.name} take {needed / 1e9:.1f} GB and "
            f"{where} has {free / 1e9:.1f} GB free: make room, or set TRAITSWAP_CACHE to another folder"
        )


def _remove_superseded(folder: Path) -> None:
    """Removes caches of the same place and size from before a change, and what an interrupted write left."""
    same_place = folder.name.rsplit("-", 2)[0]
    for old in folder.parent.glob(f"{same_place}-*"):
        if old.name.startswith(folder.name):
            continue
        if old.is_dir():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.unlink(missing_ok=True)
