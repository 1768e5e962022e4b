"""Several processes on as many cores beside one on one core, in turns in one run: training and batch transfer.

    python benchmarks/scaling.py --data CELEBA-HQ --guide models/guide --health models/judge

Both are whole commands. `traitswap train`, alone and under `torchrun`: images a second in the second half of a short
run. `traitswap transfer` of copies of a photo, alone and with `--ray`: by how much longer many photos take than a few,
so that what is done once a command does not count. Medians over the rounds.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import skimage.data
from PIL import Image

from results import markdown
from timing import machine, seconds_of

IMAGES = 1600
"""What a round trains on: the second half is timed."""
FEW, MANY = 32, 288


def run(modules: Sequence[str], arguments: Sequence[object], cores: int) -> None:
    """A Python module's command, on so many cores, one thread a process. Exits where it fails."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    here = sorted(os.sched_getaffinity(0))[:cores]
    command = [sys.executable, *modules, *map(str, arguments)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, preexec_fn=partial(os.sched_setaffinity, 0, here)
    )
    if done.returncode:
        raise SystemExit(f"scaling: {' '.join(command)} failed:\n{done.stderr[-2000:]}")


def trained(options: argparse.Namespace, processes: int) -> float:
    """Images a second."""
    many = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    given = ["--preset", options.preset, "--data", options.data, "--max-images", IMAGES]
    given += ["--set", f"train.batch={options.batch}"] if options.batch else []
    given += [part for name in ("guide", "health") if (path := getattr(options, name)) for part in (f"--{name}", path)]
    with tempfile.TemporaryDirectory() as folder:
        settings = ["--set", f"train.report_images={IMAGES // 2}", "--out", f"{folder}/run"]
        modules = [*(many if processes > 1 else []), "-m", "traitswap"]
        run(modules, ["train", *given, *settings], processes)
        lines = [json.loads(line) for line in Path(folder, "run", "log.jsonl").read_text("utf-8").splitlines()]
    return [float(line["images_per_second"]) for line in lines if line["kind"] == "train"][-1]


def transferred(photo: Path, processes: int) -> float:
    """Photos a second."""
    took = {}
    for count in (FEW, MANY):
        with tempfile.TemporaryDirectory() as folder:
            photos = Path(folder, "photos")
            photos.mkdir()
            for number in range(count):
                shutil.copy(photo, photos / f"{number}.jpg")
            given = ["transfer", photos, "--take", "hair_color=@black", "--output", f"{folder}/results"]
            ray = ["--ray", "local"] if processes > 1 else []
            took[count] = seconds_of(partial(run, ["-m", "traitswap"], [*given, *ray], processes))
    return (MANY - FEW) / (took[MANY] - took[FEW])


def row(what: str, rate: Callable[[int], float], processes: int, rounds: int) -> list[str]:
    pairs = [(rate(1), rate(processes)) for _ in range(rounds)]
    one, several = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    return [what, f"{one:.1f}", f"{several:.1f}", f"{ratio:.2f}"]


def main(arguments: Sequence[str] | None = None) -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", default="drawn", help="as of traitswap train")
    options.add_argument("--preset", default="lite")
    options.add_argument("--guide", type=Path, help="a classifier, so that none is trained first")
    options.add_argument("--health", type=Path, help="the same")
    options.add_argument("--batch", type=int, help="of training, over all processes; else the preset's")
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--rounds", type=int, default=3, help="how often each is timed; medians are shown")
    options.add_argument("--only", choices=["train", "transfer"], help="leave the other out")
    given = options.parse_args(arguments)
    rows: list[list[str]] = []
    if given.only != "transfer":
        batch = f", batches of {given.batch}" if given.batch else ""
        rows.append(
            row(f"train {given.preset}{batch}, images/s", partial(trained, given), given.processes, given.rounds)
        )
    if given.only != "train":
        with tempfile.TemporaryDirectory() as folder:
            photo = Path(folder, "photo.jpg")
            astronaut = skimage.data.astronaut()  # type: ignore[no-untyped-call]
            Image.fromarray(astronaut).save(photo, quality=95)
            rows.append(row("transfer, photos/s", partial(transferred, photo), given.processes, given.rounds))
    print(f"{machine().rpartition(', ')[0]}, {given.processes} cores\n")
    print(markdown(["", "one process, one core", f"{given.processes}, {given.processes}", "ratio"], rows))


if __name__ == "__main__":
    main()
