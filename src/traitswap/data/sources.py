"""A data set on disk: its images, labels and partition. Nothing is decoded until asked."""

import hashlib
import os
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn, Protocol, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from traitswap import faces
from traitswap.data.tables import Table, rafd_table, read_table, without_profiles
from traitswap.data.tables import count_and_name as count_and_name
from traitswap.errors import TraitswapError
from traitswap.images import UInt8Array

OnProblem = Literal["stop", "skip"]

PARTITIONS = ("train", "val", "test")
PLACE_DIGITS = 16
RAFD_SIDE = 512

_IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


class FaceSource(Protocol):
    """N labelled face images in a fixed order.

    `labels` is N × len(columns) of 0 and 1, `partition` N of 0 (train), 1 (val) and 2 (test). `fingerprint`
    is hex: its first `PLACE_DIGITS` digits say where the images come from, the rest changes when they change.
    """

    @property
    def name(self) -> str: ...
    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def names(self) -> list[str]: ...
    @property
    def labels(self) -> NDArray[np.uint8]: ...
    @property
    def partition(self) -> NDArray[np.uint8]: ...
    @property
    def fingerprint(self) -> str: ...
    def load(self, i: int) -> UInt8Array:
        """Image `i`, height × width × 3 RGB, uint8. Raises `TraitswapError` naming the file if unreadable."""
        ...


class _Place(NamedTuple):
    """Where the bytes of an image lie: a stretch of a tar, or a whole file (size −1)."""

    file: str
    offset: int = 0
    size: int = -1


@dataclass(frozen=True, eq=False)
class DiskFaces:
    """A `FaceSource` of files or tars. `problems` are lines for a person: what was left out, and why.

    `partition_used` is "official" (a file or column of the data set) or "random": say it in every result.
    """

    name: str
    columns: tuple[str, ...]
    names: list[str]
    labels: NDArray[np.uint8]
    partition: NDArray[np.uint8]
    fingerprint: str
    problems: list[str]
    partition_used: Literal["official", "random"]
    _places: list[_Place] = field(repr=False)
    _round_eyes: bool

    def load(self, i: int) -> UInt8Array:
        """Image `i`, height × width × 3 RGB, uint8; any number of threads may call it.

        RaFD's come as `RAFD_SIDE` squares round the midpoint of the eyes. Raises `TraitswapError` naming the
        file if it cannot be read, or if RaFD's shows no face.
        """
        place = self._places[i]
        where = place.file if place.size < 0 else f"{place.file}: {self.names[i]}"
        try:
            # Opened for each read: 10 µs beside the decoding, and nothing for threads or forks to share.
            with open(place.file, "rb") as file:
                file.seek(place.offset)
                data = file.read(place.size)
        except OSError as error:
            raise TraitswapError(f"{where} cannot be read ({error.strerror})") from None
        image = _decode(data, where)
        return _crop_round_eyes(image, where) if self._round_eyes else image


def open_source(
    path: Path,
    *,
    partition: Literal["official", "random"],
    seed: int,
    test_count: int = 2000,
    on_problem: OnProblem,
) -> DiskFaces:
    """The data set in folder `path`: CelebA, CelebA-HQ, images with one CSV of labels, or RaFD by its names.

    Images are taken from `img_align_celeba/`, else from the tars in the folder, else from the folder and all
    below it. `partition="official"` keeps the data set's own partition where it has one; otherwise, and for
    "random", `seed` chooses `test_count` test images (at most a tenth), as many for val, the rest for train.
    The paper's protocol is "random" with 2,000 test images of CelebA. RaFD is for test only, and of its five
    angles the paper uses the middle three (4,824 images): the profiles are left out.

    Images without labels and labels without images raise `TraitswapError` on "stop"; "skip" drops them,
    which `problems` then tells. A partition of which not one image is there (CelebA-HQ without its test
    images) is told too but never stops. What cannot be understood (no images, no labels, a malformed line,
    labels of another data set) raises `TraitswapError` always.
    """
    name = path.resolve().name
    places = _find_images(path)
    profiles: list[str] = []
    table = read_table(path)
    if is_rafd := table is None:
        places, profiles = without_profiles(places)
        table = rafd_table(path, places)
        faces.model_file()  # a missing detector is told here, not as thousands of unreadable images
    found = _match(path, table, places)
    troubles, notes = _compare(table, places, found)
    if troubles and on_problem == "stop":
        stop_for(name, troubles)
    names = [row for row in table.rows if row in found and (row in table.partition or not table.partition)]
    if not names:
        raise TraitswapError(f"{name}: no image is left ({'; '.join(troubles)})")
    labels = np.frombuffer(b"".join(table.rows[row] for row in names), np.uint8)
    official = bool(table.partition) and (partition == "official" or is_rafd)
    if official:
        parts = np.array([table.partition[row] for row in names], np.uint8)
    else:
        parts = _random_partition(len(names), seed, test_count)
    return DiskFaces(
        name=name,
        columns=table.columns,
        names=names,
        labels=labels.reshape(len(names), len(table.columns)),
        partition=parts,
        fingerprint=_fingerprint(path, places, table.files),
        problems=[*profiles, *table.notes, *troubles, *notes],
        partition_used="official" if official else "random",
        _places=[places[found[row]] for row in names],
        _round_eyes=is_rafd,
    )


def stop_for(name: str, troubles: Sequence[str]) -> NoReturn:
    """Raises the `TraitswapError` that offers to go on without the images in trouble."""
    raise TraitswapError(f"{name}: {'; '.join(troubles)}: pass --on-problem skip to train without them")


def _find_images(path: Path) -> dict[str, _Place]:
    """Name below `path`, or within its tar → place."""
    if not path.is_dir():
        raise TraitswapError(f"{path} {'is a file' if path.exists() else 'does not exist'}: give a data set's folder")
    places = _walk(path / "img_align_celeba") or _index_tars(sorted(path.glob("*.tar"))) or _walk(path)
    if not places:
        raise TraitswapError(f"no images in {path}: expected {', '.join(_IMAGE_ENDINGS)}, unpacked or in .tar files")
    return places


def _is_image(name: str) -> bool:
    # Hidden files: macOS puts a ._000001.jpg that is no image beside each image.
    return name.lower().endswith(_IMAGE_ENDINGS) and not name.rpartition("/")[2].startswith(".")


def _walk(top: Path) -> dict[str, _Place]:
    places = {}
    for folder, _, files in os.walk(top):
        below = os.path.relpath(folder, top)
        for file in filter(_is_image, files):
            places[file if below == "." else f"{below}/{file}"] = _Place(f"{folder}/{file}")
    return dict(sorted(places.items()))


class _PlainHeader(tarfile.TarInfo):
    """Reads only the name and the size of a plain file's header: 200,000 take 2 s instead of 6."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        plain = buf[257:262] == b"ustar" and buf[156:157] == tarfile.REGTYPE
        if not plain or buf[345] or not buf[124:135].isdigit():
            return super().frombuf(buf, encoding, errors)
        header = cls(buf[:100].rstrip(b"\0").decode(encoding, errors))
        header.size = int(buf[124:135], 8)
        return header


def _index_tars(tars: Iterable[Path]) -> dict[str, _Place]:
    places: dict[str, _Place] = {}
    for tar in tars:
        try:
            with tarfile.open(tar, "r:", tarinfo=_PlainHeader) as archive:
                for member in archive:
                    if not member.isreg() or not _is_image(member.name):
                        continue
                    other = places.get(member.name)
                    if other and other.file != str(tar):
                        raise TraitswapError(f"{member.name} is in {other.file} and in {tar}: keep one of them")
                    places[member.name] = _Place(str(tar), member.offset_data, member.size)
        except (tarfile.TarError, OSError) as error:
            raise TraitswapError(f"{tar} is not a readable, uncompressed tar ({error}): get another copy") from None
    return places


def _match(path: Path, table: Table, places: dict[str, _Place]) -> dict[str, str]:
    """Name in the table → name in `places`: by the whole path, else by the file name."""
    by_file_name: dict[str, list[str]] = {}
    for image in places:
        by_file_name.setdefault(image.rpartition("/")[2], []).append(image)
    found = {}
    for name in table.rows:
        images = [name] if name in places else by_file_name.get(name, [])
        if len(images) > 1:
            raise TraitswapError(
                f"{path}: {name} may be {images[0]} or {images[1]}: give paths below the folder as names"
            )
        if images:
            found[name] = images[0]
    if not found:
        raise TraitswapError(
            f"{table.files[0].name} in {path} names none of the images (it has {next(iter(table.rows))}, "
            f"the folder {next(iter(places))}): it is of another data set; give the one of these images"
        )
    return found


def _compare(table: Table, places: dict[str, _Place], found: dict[str, str]) -> tuple[list[str], list[str]]:
    """(What is wrong between tables and images, what is only worth telling)."""
    notes = []
    there = places.keys() | {image.rpartition("/")[2] for image in places}
    missing = [name for name in dict.fromkeys([*table.rows, *table.partition]) if name not in there]
    for part, part_name in enumerate(PARTITIONS):
        listed = {name for name, its in table.partition.items() if its == part}
        if listed and listed.isdisjoint(found):
            notes.append(f"none of the {len(listed):,} images of the {part_name} partition is there")
            missing = [name for name in missing if name not in listed]
    used = set(found.values())
    kinds = {
        "images without a label row": [image for image in places if image not in used],
        "label rows without an image": missing,
        "images without a partition row": [n for n in found if table.partition and n not in table.partition],
    }
    return [count_and_name(what, names) for what, names in kinds.items() if names], notes


def _random_partition(count: int, seed: int, test_count: int) -> NDArray[np.uint8]:
    held_out = min(test_count, count // 10)
    order = np.random.default_rng(seed).permutation(count)
    partition = np.zeros(count, np.uint8)
    partition[order[:held_out]] = PARTITIONS.index("test")
    partition[order[held_out : 2 * held_out]] = PARTITIONS.index("val")
    return partition


def _fingerprint(path: Path, places: dict[str, _Place], tables: Iterable[Path]) -> str:
    state = hashlib.sha256()
    for file in [*dict.fromkeys(place.file for place in places.values()), *map(str, tables)]:
        stat = os.stat(file)
        state.update(f"{os.path.relpath(file, path)} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    where = hashlib.sha256(str(path.resolve()).encode()).hexdigest()
    return where[:PLACE_DIGITS] + state.hexdigest()[:PLACE_DIGITS]


def _decode(data: bytes, where: str) -> UInt8Array:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) if data else None
    except cv2.error:
        image = None
    if image is None:
        raise TraitswapError(f"{where} is not an image that can be read")
    return np.asarray(image, np.uint8)


def _crop_round_eyes(image: UInt8Array, where: str) -> UInt8Array:
    found = faces.find_faces(image)
    if not found:
        raise TraitswapError(f"{where} shows no face")
    x, y = (round(value) for value in faces.eye_midpoint(found[0]))
    to_centre = np.array([[1, 0, RAFD_SIDE // 2 - x], [0, 1, RAFD_SIDE // 2 - y]], np.float32)
    # The square may reach beyond the photo: its border goes on.
    crop = cv2.warpAffine(image, to_centre, (RAFD_SIDE, RAFD_SIDE), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(crop, np.uint8)
