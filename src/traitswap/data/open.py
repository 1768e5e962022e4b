"""From what a person names on the command line to decoded faces."""

from collections.abc import Callable
from pathlib import Path

from traitswap.config import DataSettings
from traitswap.data.cache import FaceData, load_faces
from traitswap.data.drawn import DrawnFaces
from traitswap.data.sources import FaceSource, OnProblem, open_source

SEED = 0
"""Of drawn faces and of random partitions: all runs share their held-out images, whatever their own seed."""


def open_faces(
    where: str,
    size: int,
    settings: DataSettings,
    on_problem: OnProblem = "stop",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[FaceData, list[str]]:
    """The faces of a data set at a path, or "drawn"; and lines for a person about what was left out.

    Raises `TraitswapError` where nothing usable lies there.
    """
    source: FaceSource
    problems: list[str] = []
    if where == "drawn":
        source = DrawnFaces(settings.drawn_count, SEED, size)
    else:
        source = open_source(
            Path(where),
            partition=settings.partition,
            seed=SEED,
            test_count=settings.test_count,
            on_problem=on_problem,
        )
        problems = source.problems
    data = load_faces(source, size, on_problem=on_problem, progress=progress)
    return data, [*problems, *data.problems]
