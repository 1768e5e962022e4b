"""A training step: eager float32 beside ours, in turns in one run, so that ratios hold on a noisy machine.

    python benchmarks/train_step.py [--presets lite paper stargan-paper] [--rounds 5] [--losses 200]

Eager float32: 32-bit numbers (of which a GPU's convolutions use fewer bits: PyTorch's default), memory as PyTorch lays
it out, operation after operation. Ours: as `traitswap train` runs here, bf16 where the processor computes in it,
channels last, with the memory that a step frees kept for the next; on a GPU also recorded and played back, which
training does if asked (train.graphs). Each has a process of its own, as memory that one has would serve the other as
well. On random pictures; drawn faces with --losses, which trains so many steps both ways, and once more in float32 with
another seed: how far apart losses are anyway.
"""

import argparse
import multiprocessing
import statistics
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import torch
from rich.console import Console
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from results import markdown
from timing import machine, seconds_of
from traitswap.config import Settings, load_settings
from traitswap.data.cache import FaceData
from traitswap.errors import TraitswapError
from traitswap.training import loop, memory, setup
from traitswap.training.feed import Feed

PRECISIONS = {"eager float32": "32-true", "ours": "auto"}
STEPS_AT_ONCE = 20
"""That a GPU is given before it is waited for, as in training."""
DRAWN = {False: 64, True: 2000}
"""Faces to draw: few for their columns alone, or enough to train on."""


class Stepper:
    """Steps of one way of running a preset."""

    def __init__(self, settings: Settings, data: FaceData, channels_last: bool) -> None:
        self.settings, self.data = settings, data
        rehearsed = setup.rehearsal(settings, data)
        self.method, self.run, self.step = rehearsed.method, rehearsed.run, rehearsed.step
        layout = torch.channels_last if channels_last else torch.contiguous_format
        for network in (*self.run.networks.values(), self.run.average):
            network.to(memory_format=layout)
        self.kinds = setup.kinds_of_step(self.method)

    def seconds(self) -> float:
        """Of a step, every kind of step as often as it comes."""
        steps = STEPS_AT_ONCE if torch.cuda.is_available() else 1
        return sum(
            share * seconds_of(partial(self.step, number, steps)) / steps for number, share in self.kinds.items()
        )

    def operations(self) -> float:
        """Floating-point operations of a step: those of convolutions and matrix products, forwards and backwards."""
        total = 0.0
        for number, share in self.kinds.items():
            with Operations() as operations:  # type: ignore[no-untyped-call]
                self.step(number)
            total += share * operations.count
        return total

    def losses(self, steps: int) -> dict[str, float]:
        """Their means over the second half of `steps` steps on the data."""
        feed = Feed(self.data, self.method.columns, self.run.fabric.device)
        self.run.images_seen = 0
        for number in range(steps):
            if number == steps // 2:
                self.run.sums = {}
            loop.next_step(self.run, self.settings, self.method, feed)
        return {name: float(total) / count for name, (total, count) in self.run.sums.items()}


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts by torch's formulas. Its own `FlopCounterMode` hooks into modules, which forbids the gradient penalty."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func.overloadpacket):
            self.count += formula(*args, **(kwargs or {}), out_val=result)
        return result


def product_rate(dtype: torch.dtype) -> float:
    """Floating-point operations a second of a large matrix product."""
    cuda = torch.cuda.is_available()
    side = 8192 if cuda else 2048
    a = torch.rand(side, side, device="cuda" if cuda else "cpu").to(dtype)
    a @ a
    return 2 * side**3 / seconds_of(lambda: a @ a)


_stepper: Stepper
"""Of a process that steps one way."""


def begin(preset: str, precision: str) -> None:
    """In a process of its own: steps that are to be timed."""
    global _stepper
    if precision == "auto":
        memory.keep_freed_memory()
    settings = settings_of(preset, precision)
    data = setup.read_faces("drawn", settings, "stop", Console(stderr=True, quiet=True))
    _stepper = Stepper(settings, data, precision == "auto")


def seconds() -> float:
    return _stepper.seconds()


def about() -> tuple[float, float, float, bool]:
    """Operations of a step, its memory in MiB, the share of steps that the generator learns from, whether in bf16."""
    step = _stepper
    moves = sum(share for number, share in step.kinds.items() if step.method.phases[1].weights(number))
    mixed = str(loop.precision_of(step.settings)).startswith("bf16")
    return step.operations(), setup.estimate(step.settings, step.data).memory_mib, moves, mixed


def speed(preset: str, rounds: int) -> list[str]:
    """A preset's row."""
    # A preset that cannot be read is told of here, not in a process that then is gone.
    n = settings_of(preset, "auto").train.batch
    alone = partial(ProcessPoolExecutor, 1, multiprocessing.get_context("spawn"), begin)
    with alone((preset, PRECISIONS["eager float32"])) as eager, alone((preset, PRECISIONS["ours"])) as ours:
        ways = (eager, ours)
        # Both are ready before either is timed; the first steps are slower.
        for way in ways:
            way.submit(seconds).result()
        timings = [[way.submit(seconds).result() for way in ways] for _ in range(rounds)]
        operations, memory_mib, moves, mixed = ours.submit(about).result()
    rate = statistics.median(product_rate(torch.bfloat16 if mixed else torch.float32) for _ in range(rounds))
    eager_seconds, our_seconds = (statistics.median(column) for column in zip(*timings, strict=True))
    ratio = statistics.median(a / b for a, b in timings)
    reached = operations / our_seconds
    return [
        preset,
        f"{n / eager_seconds:.1f}",
        f"{n / our_seconds:.1f}",
        f"{ratio:.2f}",
        # Of the images of a step the generator learns from those of some steps only, where it has a critic to wait for.
        f"{1e3 * our_seconds / moves / n:.1f}",
        f"{reached / 1e9:.0f}",
        f"{reached / rate:.0%}",
        f"{memory_mib:.0f}",
    ]


def differences(preset: str, steps: int, console: Console) -> list[list[str]]:
    """For each loss: float32, ours, and float32 of another seed."""
    data = setup.read_faces("drawn", settings_of(preset, "32-true", training=True), "stop", console)
    columns = []
    for precision, seed in (("32-true", 0), ("auto", 0), ("32-true", 1)):
        console.print(f"{preset}: {steps} steps, {precision}, seed {seed} …")
        settings = settings_of(preset, precision, seed, training=True)
        columns.append(Stepper(settings, data, precision == "auto").losses(steps))
    return [[name, *(f"{column[name]:.3g}" for column in columns)] for name in columns[0]]


def settings_of(preset: str, precision: str, seed: int = 0, training: bool = False) -> Settings:
    graphs = str(precision == "auto").lower()
    changes = (f"train.precision={precision}", f"train.graphs={graphs}", f"train.seed={seed}")
    return load_settings(preset, (*changes, f"data.drawn_count={DRAWN[training]}"))


def main(arguments: Sequence[str] | None = None) -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--presets", nargs="+", default=["lite", "paper", "stargan-paper"])
    options.add_argument("--rounds", type=int, default=5, help="how often each is timed; medians are shown")
    options.add_argument("--losses", type=int, metavar="STEPS", help="compare losses of so many steps, not speeds")
    given = options.parse_args(arguments)
    console = Console(stderr=True)
    try:
        print(f"{machine()}, PyTorch {torch.__version__}\n")
        if given.losses:
            for preset in given.presets:
                heads = [f"{preset}, mean of steps {given.losses // 2}-{given.losses}", "float32", "ours"]
                print(markdown([*heads, "float32, another seed"], differences(preset, given.losses, console)), "\n")
            return
        heads = ["preset", "images/s, eager float32", "images/s, ours", "ratio", "ms an image that G learns from"]
        heads += ["GFLOP/s, ours", "of a matrix product's", "memory, MiB"]
        print(markdown(heads, [speed(preset, given.rounds) for preset in given.presets]))
    except TraitswapError as error:
        raise SystemExit(f"train_step: {error}") from None


if __name__ == "__main__":
    main()
