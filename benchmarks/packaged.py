"""The weights of the package, from data to folder, with the guide and judge of models/: traitswap's commands in turn.

    python benchmarks/packaged.py --data CELEBA-HQ --feature-network squeezenet-fire9.onnx \\
        --identity-network FACES.onnx --out runs/packaged

From the repository's folder; hours of training. The same command again goes on where it stopped; --dry-run prints the
commands and runs none. Writes OUT/published, which is laid out as src/traitswap/pretrained is.
"""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ALL = ("hair_color=Black_Hair,Blond_Hair,Brown_Hair", "smiling=Smiling", "bangs=Bangs", "eyeglasses=Eyeglasses")
CONFINED = ("hair_color=hair", "smiling=mouth", "bangs=forehead", "eyeglasses=eyes")
FIRST = ("network.conditional_scores=false", "method.r1=false", "method.lambda_gp=10", "method.lambda_change=1")
"""The preset as it was when the first run was made."""
SECOND = ("method.early_images=0",)


def main(words: Sequence[str] | None = None) -> None:
    given = arguments(words)
    for command, made in commands(given):
        if given.dry_run or not made.exists():
            print(shlex.join(["traitswap", *command]), flush=True)
        if not given.dry_run and not made.exists():
            code = called(command)
            if code:
                raise SystemExit(code)


def called(words: Sequence[str]) -> int:
    with subprocess.Popen([sys.executable, "-m", "traitswap", *words]) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue  # it was told as well, and saves what it learnt


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", required=True, help="folder of CelebA-HQ at 128 pixels, with CelebA's labels")
    options.add_argument("--guide", default="models/guide")
    options.add_argument("--judge", default="models/judge")
    options.add_argument("--identity-network", required=True)
    options.add_argument("--feature-network", required=True)
    options.add_argument("--card", default="docs/model-card.md")
    options.add_argument("--out", type=Path, required=True, help="folder of the runs")
    options.add_argument("--pairs", default="1000", help="pairs to measure with")
    options.add_argument("--set", action="append", default=[], help="key=value: a change of every run, to try this")
    options.add_argument("--dry-run", action="store_true", help="print the commands, run none")
    given = options.parse_args(words)
    # What the last steps need is asked for before the hours of the first.
    for needed in (given.guide, given.judge, given.identity_network, given.feature_network, given.card):
        if not given.dry_run and not Path(needed).exists():
            options.error(f"{needed} does not exist")
    return given


def commands(given: argparse.Namespace) -> list[tuple[list[str], Path]]:
    """In their order: the words of each, and what is there once it has ended."""
    first, second, third, fourth = (given.out / name for name in ("first", "second", "third", "fourth"))
    joined, report, published = (given.out / name for name in ("joined", "report.json", "published"))
    data = ["--data", given.data]

    def train(run: Path, next_made: Path, *words: str) -> tuple[list[str], Path]:
        """Until what comes next is there, it is called again: it goes on where it stopped, or ends at once."""
        shared = [*data, "--guide", given.guide, "--health", given.judge, "--out", str(run)]
        return ["train", *shared, *words, *many("--set", given.set)], next_made

    def find_styles(run: Path) -> tuple[list[str], Path]:
        return ["find-styles", str(run / "weights"), *data], styles(run)

    def styles(run: Path) -> Path:
        return run / "weights/styles.safetensors"

    networks = ["--identity-network", given.identity_network, "--feature-network", given.feature_network]
    measured = ["--split", "val", "--pairs", given.pairs, "--judge", given.judge, *networks]
    drawn = [*many("--confine", CONFINED), "--mirror"]
    together = ["--preset", "traitswap"]
    alone = ["--preset", "single", "--set", "train.precision=32-true"]
    return [
        train(first, second / "weights", *together, *many("--attribute", ALL), *many("--set", FIRST)),
        train(second, styles(second), *together, *many("--set", SECOND), "--start-from", str(first / "weights")),
        find_styles(second),
        train(third, styles(third), *alone, "--max-images", "44000"),
        find_styles(third),
        train(fourth, styles(fourth), *alone, "--max-images", "40000", "--attribute", "bangs=Bangs"),
        find_styles(fourth),
        (["join", *(str(run / "weights") for run in (second, third, fourth)), "--output", str(joined)], joined),
        (["evaluate", str(joined), *data, *measured, *drawn, "--json", str(report)], report),
        (
            ["publish", str(joined), "--card", given.card, "--report", str(report), "--output", str(published)],
            published,
        ),
    ]


def many(option: str, values: Sequence[str]) -> list[str]:
    return [word for value in values for word in (option, value)]


if __name__ == "__main__":
    main()
