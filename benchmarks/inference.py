"""Encoding and decoding: torch eager, torch compiled and onnxruntime, in turns in one run.

    python benchmarks/inference.py WEIGHTS [--batches 1 32] [--rounds 30]

Milliseconds a batch, medians; decoded with the first attribute taken, as for a slider's move, and with every one.
"""

import argparse
import logging
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from results import markdown
from timing import machine, seconds_of
from traitswap.codec import Codec
from traitswap.errors import TraitswapError
from traitswap.export import export
from traitswap.networks.weights import load_codec
from traitswap.onnx_codec import load_onnx_codec

EAGER, COMPILED, EXPORTED = "torch eager", "torch compiled", "onnxruntime"


def codecs(weights: Path, folder: Path) -> dict[str, Codec]:
    """The same network, run in each way."""
    compiled, _ = load_codec(weights)
    for name in ("encode", "decode"):
        setattr(compiled.generator, name, torch.compile(getattr(compiled.generator, name)))
    export(weights, folder / "exported")
    return {EAGER: load_codec(weights)[0], COMPILED: compiled, EXPORTED: load_onnx_codec(folder / "exported")[0]}


def timed(work: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each, taken in turns."""
    seconds: dict[str, list[float]] = {way: [] for way in work}
    for _ in range(rounds):
        for way, one in work.items():
            # Untimed: threads of the way before may still be waiting busily.
            one()
            seconds[way].append(seconds_of(one))
    return {way: 1e3 * statistics.median(took) for way, took in seconds.items()}


def rows(ways: Mapping[str, Codec], batches: Sequence[int], rounds: int) -> list[list[str]]:
    found = []
    for n in batches:
        size = ways[EAGER].size
        faces = np.random.default_rng(0).uniform(-1, 1, (n, 3, size, size)).astype(np.float32)
        codes, other = ways[EAGER].encode(faces), ways[EAGER].encode(-faces)
        names = codes.layout.names
        one, every = (codes.blend(dict.fromkeys(some, other)) for some in (names[:1], names))
        for what, work in (
            ("encode", {way: partial(codec.encode, faces) for way, codec in ways.items()}),
            (f"decode {names[0]}", {way: partial(codec.decode, one) for way, codec in ways.items()}),
            ("decode all", {way: partial(codec.decode, every) for way, codec in ways.items()}),
        ):
            took = timed(work, rounds)
            ratio = took[EAGER] / took[EXPORTED]
            found.append([f"{what}, batch {n}", *(f"{took[way]:.1f}" for way in ways), f"{ratio:.2f}"])
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("weights", type=Path)
    options.add_argument("--batches", type=int, nargs="+", default=[1, 32])
    options.add_argument("--rounds", type=int, default=30)
    given = options.parse_args(arguments)
    logging.getLogger("torch").setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory() as folder:
            ways = codecs(given.weights, Path(folder))
            print(f"{machine()}, PyTorch {torch.__version__}; milliseconds\n")
            heads = ["", *ways, f"{EAGER} ÷ {EXPORTED}"]
            print(markdown(heads, rows(ways, given.batches, given.rounds)))
    except TraitswapError as error:
        raise SystemExit(f"inference: {error}") from None


if __name__ == "__main__":
    main()
