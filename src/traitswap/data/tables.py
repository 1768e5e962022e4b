"""What a data set says of its images: label files of CelebA's format or in CSV, and the names of RaFD's images."""

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from traitswap.errors import TraitswapError, nearest

_ATTRIBUTES, _PARTITION = "list_attr_celeba.txt", "list_eval_partition.txt"
_BIT = {"-1": 0, "0": 0, "1": 1}
_PART = {"0": 0, "1": 1, "2": 2, "train": 0, "val": 1, "valid": 1, "validation": 1, "test": 2}
_EXPRESSIONS = ("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
_RAFD_NAME = re.compile(
    r"Rafd(?P<camera>000|045|090|135|180)_(?P<person>\d+)_[A-Za-z]+_(?P<gender>female|male)_"
    rf"(?P<expression>{'|'.join(_EXPRESSIONS)})_(?P<gaze>frontal|left|right)\."
)

_PlaceT = TypeVar("_PlaceT")


@dataclass(frozen=True)
class Table:
    """What the label files say: for each image name its bits, a byte each, and its partition where given."""

    columns: tuple[str, ...]
    rows: dict[str, bytes]
    partition: dict[str, int]
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def read_table(path: Path) -> Table | None:
    """The labels beside the images; None where there is no label file, as with RaFD."""
    if (path / _ATTRIBUTES).is_file():
        return _read_celeba(path / _ATTRIBUTES, path / _PARTITION)
    tables = sorted(path.glob("*.csv"))
    if len(tables) > 1:
        names = [table.name for table in tables]
        raise TraitswapError(count_and_name(f"{path} has several CSV files; keep the one of labels", names))
    return _read_csv(tables[0]) if tables else None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise TraitswapError(f"{file} is not UTF-8 text: expected a file of labels") from None
    except OSError as error:
        raise TraitswapError(f"{file} cannot be read ({error.strerror})") from None


def _malformed(file: Path, number: int, what: str) -> TraitswapError:
    return TraitswapError(f"{file}, line {number}: {what}: mend or remove the line")


def _read_celeba(attributes: Path, partition: Path) -> Table:
    """CelebA's format: the count (some copies lack it); the column names; a name and ±1 in each row."""
    numbered = [(number, line) for number, line in enumerate(_lines(attributes), 1) if line.strip()]
    if numbered and numbered[0][1].strip().isdigit():
        numbered = numbered[1:]
    if len(numbered) < 2:
        raise TraitswapError(
            f"{attributes} holds no labels: expected a line of column names, then a row for each image"
        )
    columns = tuple(numbered[0][1].split())
    rows: dict[str, bytes] = {}
    for number, line in numbered[1:]:
        name, *values = line.split()
        if len(values) != len(columns):
            raise _malformed(attributes, number, f"{len(values)} values, expected {len(columns)}")
        if name in rows:
            raise _malformed(attributes, number, f"{name} is listed a second time")
        try:
            rows[name] = bytes(map(_BIT.__getitem__, values))
        except KeyError as error:
            raise _malformed(attributes, number, f"got {error}, expected 1 or -1") from None
    if not partition.is_file():
        return Table(columns, rows, {}, (attributes,))
    parts: dict[str, int] = {}
    for number, line in enumerate(_lines(partition), 1):
        match line.split():
            case [name, part] if part in _PART:
                parts[name] = _PART[part]
            case []:
                pass
            case _:
                raise _malformed(partition, number, f"got '{line[:40]}', expected an image name and 0, 1 or 2")
    return Table(columns, rows, parts, (attributes, partition))


def _read_csv(file: Path) -> Table:
    """File name first; columns of 0 and 1, or −1 and 1, are labels; one may be the partition."""
    reader = csv.reader(_lines(file))
    header, *body = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row] or [(1, [])]
    if not body:
        raise TraitswapError(f"{file} holds no labels: expected a line of column names, then a row for each image")
    columns = header[1]
    for number, row in body:
        if len(row) != len(columns):
            raise _malformed(file, number, f"{len(row)} cells, expected {len(columns)}")
    names = [row[0] for _, row in body]
    numbers = [number for number, _ in body]
    labels: dict[str, bytes] = {}
    partition: dict[str, int] = {}
    notes: list[str] = []
    for place, column in list(enumerate(columns))[1:]:
        cells = [row[place] for _, row in body]
        if column.lower() in ("partition", "split"):
            number, cell = next(((n, c) for n, c in zip(numbers, cells, strict=True) if c not in _PART), (0, ""))
            if number:
                raise _malformed(file, number, f"got '{cell}' as {column}, expected one of {', '.join(_PART)}")
            partition = dict(zip(names, (_PART[cell] for cell in cells), strict=True))
        elif set(cells) <= {"0", "1"} or set(cells) <= {"-1", "1"}:
            labels[column] = bytes(_BIT[cell] for cell in cells)
        elif 2 * sum(cell in _BIT for cell in cells) > len(cells):
            # Perhaps a slip of the pen: a label must not be lost in silence.
            odd = sorted(set(cells) - {"0", "1"})
            notes.append(f"column {column} of {file.name} is no label: it holds {', '.join(map(repr, odd[:3]))}")
    if not labels:
        raise TraitswapError(
            f"{file} has no label column: expected columns of 0 and 1 (or -1 and 1) after the file name"
        )
    rows: dict[str, bytes] = {}
    for number, name, *bits in zip(numbers, names, *labels.values(), strict=True):
        if name in rows:
            raise _malformed(file, number, f"{name} is listed a second time")
        rows[name] = bytes(bits)
    return Table(tuple(labels), rows, partition, (file,), tuple(notes))


def without_profiles(places: dict[str, _PlaceT]) -> tuple[dict[str, _PlaceT], list[str]]:
    """`places` without RaFD's profile views, and a line that tells of them."""
    profiles = [name for name in places if (named := _RAFD_NAME.search(name)) and named["camera"] in ("000", "180")]
    told = [count_and_name("RaFD profile views left out, as in the paper", profiles)] if profiles else []
    return {name: places[name] for name in sorted(places.keys() - profiles)}, told


def rafd_table(path: Path, names: Iterable[str]) -> Table:
    """The labels in RaFD's file names: the expression, Smiling where it is happy, and Male. All are for test."""
    rows = {}
    for name in names:
        if named := _RAFD_NAME.search(name):
            gender, expression = named["gender"], named["expression"]
            rows[name] = bytes([expression == "happy", gender == "male", *(expression == e for e in _EXPRESSIONS)])
    if not rows:
        raise TraitswapError(
            f"no labels in {path}: expected {_ATTRIBUTES} or one CSV file there, or images named as RaFD's"
        )
    columns = ("Smiling", "Male", *(expression.capitalize() for expression in _EXPRESSIONS))
    return Table(columns, rows, dict.fromkeys(rows, _PART["test"]))


def people_of(path: Path, names: Sequence[str], column: str) -> list[str]:
    """Who is on each of the named images of folder `path`: what the CSV's `column` says, or, where there is no label
    file, RaFD's names.

    Of RaFD only the neutral and the happy faces seen from the front that look ahead are told, so that two images of a
    person differ in nothing but the smile; "" for all others. Raises `TraitswapError` where nothing tells people apart.
    """
    tables = sorted(path.glob("*.csv"))
    if len(tables) == 1:
        header, *rows = [[cell.strip() for cell in row] for row in csv.reader(_lines(tables[0])) if row]
        if column not in header[1:]:
            raise TraitswapError(f"{tables[0]} has no column '{column}'; {nearest(column, header[1:])}")
        place = header.index(column)
        people = {row[0]: row[place] for row in rows}
        return [people[name] for name in names]
    found = [_RAFD_NAME.search(name) for name in names]
    if not any(found):
        raise TraitswapError(f"nothing in {path} tells people apart: expected a CSV with a column '{column}', or RaFD")
    wanted = ("090", "frontal")
    return [
        n["person"] if n and (n["camera"], n["gaze"]) == wanted and n["expression"] in ("neutral", "happy") else ""
        for n in found
    ]


def count_and_name(what: str, names: Sequence[str]) -> str:
    """`what`, how many they are, and the first three names."""
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return f"{what}: {len(names):,} ({', '.join(names[:3])}{more})"
