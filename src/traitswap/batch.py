"""One transfer for every photo of a folder: goes on where it stopped, and lists what was done to what."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from PIL import Image

from traitswap.errors import TraitswapError
from traitswap.files import written_whole
from traitswap.images import format_of
from traitswap.pipeline import Result

LIST_NAME = "transfers.csv"
"""In the folder of the results."""


@dataclass(frozen=True)
class Row:
    """What was done to one photo. In a list, paths are below the folders of photos and of results."""

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


_COLUMNS = [field.name for field in fields(Row)]


class FolderTransfer:
    """The photos of a folder, those below included, that have no result yet.

    `options` says what is asked of all of them. Results have their photos' names (with .png after it, where the
    photo's format cannot be written). Photos that failed are tried again. Raises `TraitswapError` if `out` is the
    folder of the photos, or holds other files, or results of other options, or if there are no photos.
    """

    def __init__(self, photos: Path, out: Path, options: str) -> None:
        if out.resolve() == photos.resolve():
            raise TraitswapError(f"results would take the place of the photos in {photos}: give another --output")
        if out.exists() and not (out / LIST_NAME).exists() and (not out.is_dir() or any(out.iterdir())):
            raise TraitswapError(f"{out} holds files that are not results of traitswap: give a new --output")
        found = sorted(path for path in photos.rglob("*") if _is_picture(path))
        inside = out.resolve()
        if inside.is_relative_to(photos.resolve()):  # results are no photos
            found = [path for path in found if not path.resolve().is_relative_to(inside)]
        if not found:
            raise TraitswapError(f"there are no images in {photos}")
        self._photos, self._out, self._options = photos, out, options
        rows = _read(out / LIST_NAME)
        self._kept = [row for row in rows if row["result"] and (out / row["result"]).exists()]
        for row in self._kept:
            if row["options"] != options:
                raise TraitswapError(f"{out} holds results of {row['options']}; now: {options}; give a new --output")
        done = {row["photo"] for row in self._kept}
        self.todo = [path for path in found if str(path.relative_to(photos)) not in done]

    @property
    def done(self) -> int:
        """Photos that have their result already."""
        return len(self._kept)

    def run(self, transfer: Callable[[Path, Path], Result]) -> Iterator[Row]:
        """Calls `transfer` with a photo and where to write its result, one by one; gives what came of each.

        A photo that cannot be edited (`TraitswapError`) does not end the run.
        """
        with written_whole(self._out / LIST_NAME) as fresh, fresh.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, _COLUMNS)
            writer.writeheader()
            writer.writerows(self._kept)
        with (self._out / LIST_NAME).open("a", newline="", encoding="utf-8") as file:
            for photo in self.todo:
                row = self._one(photo, transfer)
                csv.DictWriter(file, _COLUMNS).writerow({**asdict(row), "faces": " ".join(map(str, row.faces))})
                file.flush()
                yield row

    def _one(self, photo: Path, transfer: Callable[[Path, Path], Result]) -> Row:
        name = photo.relative_to(self._photos)
        target = name if format_of(name) else name.with_name(name.name + ".png")
        try:
            return Row.of(str(name), str(target), transfer(photo, self._out / target), self._options)
        except TraitswapError as error:
            return Row(str(name), "", 0, 0, (), self._options, str(error))


def pictures_in(folder: Path) -> list[Path]:
    """The images right in a folder, by their endings; raises `TraitswapError` if there are none."""
    found = sorted(path for path in folder.iterdir() if _is_picture(path))
    if not found:
        raise TraitswapError(f"there are no images in {folder}")
    return found


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in Image.registered_extensions() and path.is_file()


def _read(path: Path) -> list[dict[str, str]]:
    """The rows of a list; the last one may have been cut short and then counts as not there."""
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            rows = list(csv.reader(file))
    except FileNotFoundError:
        return []
    except csv.Error as error:
        raise TraitswapError(f"{path} is not a list of transfers ({error}): give a new --output") from None
    if rows[:1] != [_COLUMNS]:
        raise TraitswapError(f"{path} is not a list of transfers: give a new --output")
    return [dict(zip(_COLUMNS, row, strict=True)) for row in rows[1:] if len(row) == len(_COLUMNS)]
