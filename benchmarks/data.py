"""Reading faces: how many JPEGs a second become a cache, and what a training step loses by reading from it.

    python benchmarks/data.py --data CELEBA-HQ [--count 4000] [--preset lite] [--rounds 5]

The JPEGs are faces of the data, centred and as large as CelebA's (178×218), of about CelebA's 7 KB. Decoding on one
core and on all of them, and steps with the next faces and on one batch that stays, are timed in turns; medians.
"""

import argparse
import csv
import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from results import markdown
from timing import machine, seconds_of
from train_step import Stepper
from traitswap.config import Settings, load_settings
from traitswap.data.cache import FaceData, load_faces
from traitswap.data.open import open_faces
from traitswap.data.sources import open_source
from traitswap.errors import TraitswapError
from traitswap.images import UInt8Array, square

WIDTH, HEIGHT = 178, 218
QUALITY = 79
STEPS = 32
"""Of training, each time."""


def write_jpegs(data: FaceData, count: int, folder: Path) -> float:
    """Faces with a table of one label; returns the mean size of a file, KB."""
    size = 0
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as table:
        rows = csv.writer(table)
        rows.writerow(["file", data.columns[0]])
        for i in range(count):
            face = data.images[i % len(data.images)]
            large = cv2.resize(face, (HEIGHT, HEIGHT), interpolation=cv2.INTER_CUBIC)
            left = (HEIGHT - WIDTH) // 2
            picture = cv2.cvtColor(large[:, left : left + WIDTH], cv2.COLOR_RGB2BGR)
            _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
            (folder / f"{i}.jpg").write_bytes(jpeg.tobytes())
            rows.writerow([f"{i}.jpg", int(data.labels[i % len(data.labels), 0])])
            size += len(jpeg)
    return size / count / 1e3


def _decoded(file: bytes) -> UInt8Array:
    return np.asarray(cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def decoding(data: FaceData, count: int, size: int, rounds: int) -> list[str]:
    """A row: JPEGs a second on one core by OpenCV alone, then into a cache on one core, on all, and on one of all."""
    everywhere = sorted(os.sched_getaffinity(0))
    rates = []
    with tempfile.TemporaryDirectory() as folder:
        kilobytes = write_jpegs(data, count, Path(folder))
        source = open_source(Path(folder), partition="random", seed=0, on_problem="stop")
        files = [(Path(folder) / name).read_bytes() for name in source.names]
        for _ in range(rounds):
            os.sched_setaffinity(0, everywhere[:1])
            row = [count / seconds_of(lambda: [square(_decoded(file), size) for file in files])]
            for cores in (everywhere[:1], everywhere):
                os.sched_setaffinity(0, cores)
                with tempfile.TemporaryDirectory() as cache:
                    row.append(count / seconds_of(lambda: load_faces(source, size, Path(cache))))
            rates.append(row)
    alone, one, all_of_them = (statistics.median(column) for column in zip(*rates, strict=True))
    each = all_of_them / len(everywhere)
    return [f"{count:,} of {kilobytes:.1f} KB", f"{alone:,.0f}", f"{one:,.0f}", f"{all_of_them:,.0f}", f"{each:,.0f}"]


def reading(data: FaceData, settings: Settings, rounds: int) -> list[str]:
    """A row: milliseconds of a step with the next faces, without, and the ratio."""
    stepper = Stepper(settings, data, channels_last=True)

    def with_data() -> None:
        stepper.losses(STEPS)

    def without() -> None:
        for number in range(STEPS):
            stepper.step(number)

    with_data()
    times = [(seconds_of(with_data), seconds_of(without)) for _ in range(rounds)]
    read, kept = (1e3 * statistics.median(column) / STEPS for column in zip(*times, strict=True))
    return [settings.preset, f"{read:.1f}", f"{kept:.1f}", f"{statistics.median(a / b for a, b in times):.3f}"]


def main(arguments: Sequence[str] | None = None) -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", default="drawn", help="as of traitswap train")
    options.add_argument("--preset", default="lite")
    options.add_argument("--count", type=int, default=4000, help="JPEGs to decode")
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args(arguments)
    try:
        settings = load_settings(given.preset)
        size = settings.network.size
        data, _ = open_faces(given.data, size, settings.data)
        print(f"{machine()}\n")
        heads = ["JPEGs", "a second, OpenCV alone, one core", "cache, one core", "all cores", "a core of all"]
        print(markdown(heads, [decoding(data, given.count, size, given.rounds)]))
        heads = ["preset", "ms a step, next faces", "the same faces", "ratio"]
        print("\n" + markdown(heads, [reading(data, settings, given.rounds)]))
    except TraitswapError as error:
        raise SystemExit(f"data: {error}") from None


if __name__ == "__main__":
    main()
