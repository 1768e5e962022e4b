"""Files and folders that are written whole or not at all."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from traitswap.errors import TraitswapError

_SCRATCH = ".partial-"


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A new path beside `target` to write a file or folder to; it takes `target`'s place only if all went well.

    Until then, and after any failure, what stood at `target` is untouched. Raises `TraitswapError` where the disk
    is full, the place cannot be written, or a file would take the place of a folder.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=scratch_prefix(target), dir=target.parent))
    except OSError as error:
        raise TraitswapError(f"cannot write {target}: {error.strerror or error}") from None
    old = scratch / "old"
    try:
        # The same ending, from which some writers tell the format.
        fresh = scratch / f"new{target.suffix}"
        yield fresh
        if target.is_dir():
            if not fresh.is_dir():
                raise TraitswapError(f"cannot write {target}: it is a folder; give the name of a file")
            # A folder cannot be replaced in one step; the old one is moved aside and removed last.
            target.rename(old)
        fresh.replace(target)
    except OSError as error:
        raise TraitswapError(f"cannot write {target}: {error.strerror or error}") from None
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(scratch, ignore_errors=True)


def scratch_prefix(target: Path) -> str:
    return f".{target.name}{_SCRATCH}"


def remove_leftovers(target: Path) -> None:
    """Removes what killed writes to `target` left (its name may be a pattern); a folder moved aside comes back.

    Only for places that one process alone writes to.
    """
    for leftover in target.parent.glob(f"{scratch_prefix(target)}*"):
        place = target.with_name(leftover.name.removeprefix(".").rpartition(_SCRATCH)[0])
        if (leftover / "old").exists() and not place.exists():
            (leftover / "old").rename(place)
        shutil.rmtree(leftover, ignore_errors=True)
