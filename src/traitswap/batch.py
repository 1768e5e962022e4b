"""One transfer for very many photos, of a folder, of a list, or in tars: goes on where it stopped, and lists what was
done to what."""

import csv
import hashlib
import io
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from traitswap.checkpoint import CONFIG_NAME, WEIGHTS_NAME, sha256_of
from traitswap.crops import Which
from traitswap.errors import TraitswapError
from traitswap.files import remove_leftovers, scratch_prefix, written_whole
from traitswap.images import PhotoLike, format_of, names_photo, open_photo
from traitswap.pipeline import Result, TransferPipeline
from traitswap.styles import MARK, STYLES_NAME

LIST_NAME = "transfers.csv"
"""In the folder of the results."""


@dataclass(frozen=True)
class Row:
    """What was done to one photo. In a list, paths are below the folders of photos and of results, and go on into a
    tar: shard.tar/1.jpg."""

    photo: str
    result: str
    """Empty if there is none, and `error` says why."""
    width: int
    height: int
    faces: tuple[int, ...]
    """Numbers of those that were edited; none in an aligned crop."""
    options: str
    error: str = ""

    @classmethod
    def of(cls, photo: str, target: str, result: Result, options: str) -> "Row":
        return cls(photo, target, *result.image.size, result.faces, options)


_COLUMNS = [column.name for column in fields(Row)]
# Names of files need not be text.
_CSV: Any = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}


@dataclass(frozen=True)
class Order:
    """What is asked of every photo. It can be sent to other processes, and opened there."""

    weights: Path
    take: Mapping[str, str] = field(default_factory=dict)
    """Paths of photos, and names of styles, by attribute."""
    strength: Mapping[str, float] = field(default_factory=dict)
    face: Which = 1
    aligned: bool = False
    mark: bool = True
    options: str = ""
    """As a person wrote them."""

    def opened(self) -> Callable[[PhotoLike], Result]:
        """Loads the model and encodes the references, once; then edits photos. Raises `TraitswapError` as a call of the
        pipeline does."""
        pipe = TransferPipeline.from_pretrained(self.weights)
        pipe.check(self.take, self.strength)
        references = pipe.encode_references(self.take, self.aligned)
        return lambda photo: pipe.edit(pipe.encode_photo(photo, self.face, self.aligned), references, self.strength)

    def below(self, root: Path) -> "Order":
        """The same; its options say, as a comment of a shell, what weights and references hold, and whose photos it is
        for."""
        files = [self.weights / name for name in (CONFIG_NAME, WEIGHTS_NAME, STYLES_NAME)]
        files += [Path(what) for what in self.take.values() if not what.startswith(MARK)]
        contents = "".join(sha256_of(path) for path in files if path.exists())
        digest = hashlib.sha256(contents.encode()).hexdigest()[:8]
        return replace(self, options=f"{self.options} # {digest}, photos below {root}")

    def anywhere(self) -> "Order":
        """The same with paths that do not depend on where a process was started."""
        take = {name: what if what.startswith(MARK) else str(Path(what).resolve()) for name, what in self.take.items()}
        return replace(self, weights=self.weights.resolve(), take=take)


@dataclass(frozen=True)
class Part:
    """What one worker does in one go: some photos, or all that are in one tar. Paths are below that of the batch."""

    photos: tuple[str, ...] = ()
    tar: str = ""

    def __len__(self) -> int:
        return len(self.photos) or 1


class Batch:
    """Photos that have no result yet: of a folder, those below it and in its tars included; of a list (.txt, a path a
    line); of a tar.

    Results have their photos' names (with .png after it, where the photo's format cannot be written); those of a tar
    are in a tar of its name, which is written when all of it is done. Photos that failed are tried again, but for those
    in tars. Raises `TraitswapError` if `out` is the folder of the photos, or holds other files, or results of other
    options or of the photos of another folder, or if there are no photos.
    """

    def __init__(self, source: Path, out: Path, order: Order) -> None:
        self.root, found = _photos_of(source, out)
        if out.resolve() == self.root:
            raise TraitswapError(f"results would take the place of the photos in {self.root}: give another --output")
        if out.exists() and not (out / LIST_NAME).exists() and (not out.is_dir() or any(out.iterdir())):
            raise TraitswapError(f"{out} holds files that are not results of traitswap: give a new --output")
        if not found:
            raise TraitswapError(f"there are no images in {source}")
        self.out = out.resolve()
        self.order = order.below(self.root)
        rows = _read(out / LIST_NAME)
        tars = {name for name in found if _is_tar(name) and (out / name).exists()}
        self._kept = [
            row for row in rows if (row["result"] and (out / row["result"]).exists()) or tar_of(row["photo"]) in tars
        ]
        for row in self._kept:
            if row["options"] != self.order.options:
                raise TraitswapError(
                    f"{out} holds results of {row['options']}; now: {self.order.options}; give a new --output"
                )
        # A folder, too, may have the name of a tar.
        done = {name for row in self._kept for name in (row["photo"], tar_of(row["photo"]))}
        self._todo = [name for name in found if name not in done]

    @property
    def done(self) -> int:
        """Photos that have their result already."""
        return sum(bool(row["result"]) for row in self._kept)

    @property
    def failed(self) -> int:
        """Photos that failed and are not tried again."""
        return len(self._kept) - self.done

    def parts(self, size: int = 1) -> list[Part]:
        """What is left to do: tars one by one, other photos `size` at a time."""
        photos = [name for name in self._todo if not _is_tar(name)]
        together = [tuple(photos[i : i + size]) for i in range(0, len(photos), size)]
        return [*(Part(tar=name) for name in self._todo if _is_tar(name)), *map(Part, together)]

    def listed(self, done: Iterable[Sequence[Row]]) -> Iterator[Sequence[Row]]:
        """Passes on what came of each part, and writes it down as it comes."""
        for folder in {leftover.parent for leftover in self.out.rglob(scratch_prefix(Path("*")) + "*")}:
            remove_leftovers(folder / "*")
        with written_whole(self.out / LIST_NAME) as fresh, fresh.open("w", **_CSV) as file:
            writer = csv.DictWriter(file, _COLUMNS)
            writer.writeheader()
            writer.writerows(self._kept)
        with (self.out / LIST_NAME).open("a", **_CSV) as file:
            for rows in done:
                writer = csv.DictWriter(file, _COLUMNS)
                writer.writerows({**asdict(row), "faces": " ".join(map(str, row.faces))} for row in rows)
                file.flush()
                yield rows


def transfer(part: Part, root: Path, out: Path, order: Order, edit: Callable[[PhotoLike], Result]) -> list[Row]:
    """Edits the photos of a part, below `root`, and writes the results below `out`; gives what came of each.

    A photo that cannot be edited, or a tar that cannot be read, does not end it.
    """

    def row(name: str, target: str, photo: Callable[[], PhotoLike], write: Callable[[Result], None]) -> Row:
        try:
            result = edit(photo())
            write(result)
        except TraitswapError as error:
            return Row(name, "", 0, 0, (), order.options, str(error))
        return Row.of(name, target, result, order.options)

    def file(name: str) -> Row:
        target = target_of(name)
        return row(name, target, lambda: root / name, lambda result: result.save(out / target, order.mark))

    def member(info: tarfile.TarInfo, photos: tarfile.TarFile, results: tarfile.TarFile) -> Row:
        name, inside = f"{part.tar}/{info.name}", target_of(info.name)

        def photo() -> PhotoLike:
            opened = photos.extractfile(info)
            return open_photo(opened.read() if opened else b"", name)

        def write(result: Result) -> None:
            data = result.encoded(format_of(Path(inside)), order.mark)
            fresh = tarfile.TarInfo(inside)
            fresh.size, fresh.mtime = len(data), info.mtime
            results.addfile(fresh, io.BytesIO(data))

        return row(name, f"{part.tar}/{inside}", photo, write)

    if not part.tar:
        return [file(name) for name in part.photos]
    try:
        with (
            tarfile.open(root / part.tar) as photos,
            written_whole(out / part.tar) as fresh,
            tarfile.open(fresh, "w") as results,
        ):
            found = (info for info in photos if info.isfile() and names_photo(Path(info.name)))
            return [member(info, photos, results) for info in found]
    except (tarfile.TarError, OSError, EOFError) as error:
        what = str(error).partition("\n")[0]
        reason = f"{root / part.tar} is damaged or no tar ({what}): get another copy"
        return [Row(part.tar, "", 0, 0, (), order.options, reason)]


def target_of(photo: str) -> str:
    """Where the result of a photo goes, below the folder of the results."""
    path = Path(photo)
    inside = Path(*(part for part in path.parts if part not in (path.anchor, "..")))
    return (inside if format_of(inside) else inside.with_name(f"{inside.name}.png")).as_posix()


def pictures_in(folder: Path) -> list[Path]:
    """The images right in a folder, by their endings; raises `TraitswapError` if there are none."""
    found = sorted(path for path in folder.iterdir() if names_photo(path) and path.is_file())
    if not found:
        raise TraitswapError(f"there are no images in {folder}")
    return found


def _photos_of(source: Path, out: Path) -> tuple[Path, list[str]]:
    """The photos and tars of a batch, and the folder that their paths are below."""
    if source.is_dir():
        root, inside = source.resolve(), out.resolve()
        below = sorted(path for path in root.rglob("*") if path.is_file())
        if inside.is_relative_to(root) and inside != root:  # results are no photos
            below = [path for path in below if not path.is_relative_to(inside)]
        places = [path.relative_to(root) for path in below]
        shown = [place for place in places if not any(part.startswith(".") for part in place.parts)]
        return root, [place.as_posix() for place in shown if names_photo(place) or _is_tar(place.name)]
    if _is_tar(source.name):
        if not source.is_file():
            raise TraitswapError(f"no such file: {source}")
        return source.resolve().parent, [source.name]
    try:
        lines = source.read_text("utf-8-sig").splitlines()
    except OSError as error:
        raise TraitswapError(f"cannot read {source}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise TraitswapError(f"{source} is not a list of photos: expected text, a path a line") from None
    names = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    targets: dict[str, str] = {}
    for name in names:
        other = targets.setdefault(target_of(name), name)
        if other != name:
            raise TraitswapError(f"{source}: {other} and {name} would have one result: list them apart")
    return Path.cwd(), names


def is_batch(source: Path) -> bool:
    """Whether a path is that of many photos."""
    return source.is_dir() or source.suffix.lower() in (".tar", ".txt")


def _is_tar(name: str) -> bool:
    return name.lower().endswith(".tar")


def tar_of(photo: str) -> str:
    """The tar that a row's photo is in; empty if it is a file."""
    name, found, _ = photo.partition(".tar/")
    return f"{name}.tar" if found else ""


def _read(path: Path) -> list[dict[str, str]]:
    """The rows of a list; the last one may have been cut short and then counts as not there."""
    try:
        with path.open(**_CSV) as file:
            rows = list(csv.reader(file))
    except FileNotFoundError:
        return []
    except csv.Error as error:
        raise TraitswapError(f"{path} is not a list of transfers ({error}): give a new --output") from None
    if rows[:1] != [_COLUMNS]:
        raise TraitswapError(f"{path} is not a list of transfers: give a new --output")
    return [dict(zip(_COLUMNS, row, strict=True)) for row in rows[1:] if len(row) == len(_COLUMNS)]
