"""Very many photos on every core of a machine or a cluster: Ray Data shares them out, and again where a worker dies."""

import json
import socket
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
import ray.data
import ray.exceptions

from traitswap.batch import Order, Part, Row, transfer
from traitswap.errors import TraitswapError

PHOTOS_AT_A_TIME = 16
"""Photos that a worker gets at a time, and does again if it is killed on the way."""
LOCAL = "local"


class Worker:
    """One of the processes: loads the model once, then does part after part."""

    def __init__(self, root: Path, out: Path, order: Order) -> None:
        self.root, self.out, self.order, self.edit = root, out, order, order.opened()

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        given = json.loads(item["part"])
        part = Part(tuple(given["photos"]), given["tar"])
        return {"rows": json.dumps([asdict(row) for row in transfer(part, self.root, self.out, self.order, self.edit)])}


def transferred(parts: Sequence[Part], root: Path, out: Path, order: Order, address: str) -> Iterator[list[Row]]:
    """What came of each part, as they are done, in any order. All machines of a cluster must see the same files.

    `address`: "local", or that of a cluster. Raises `TraitswapError` if there is none, or the work cannot go on.
    """
    if not parts:
        return
    # A dashboard would be one more server; log lines of workers are no results.
    options: Any = {"log_to_driver": False, "logging_level": "error"}
    if address == LOCAL:
        options["include_dashboard"] = False
    try:
        host, _, port = address.removeprefix("ray://").rpartition(":")
        if host:
            # Ray itself goes on trying for minutes.
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address, **options)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise TraitswapError(f"--ray {address}: {reason} (expected local, or the address of a cluster)") from None
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        cores = int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
        items = [{"part": json.dumps(asdict(part))} for part in parts]
        worker: Any = Worker
        done = ray.data.from_items(items, override_num_blocks=len(items)).map(
            worker,
            fn_constructor_args=(root, out, order.anywhere()),
            concurrency=max(1, min(len(parts), cores)),
            num_cpus=1,
        )
        for item in done.iter_rows():
            yield [Row(**{**row, "faces": tuple(row["faces"])}) for row in json.loads(item["rows"])]
    except ray.exceptions.RayError as error:
        raise TraitswapError(f"Ray could not go on: {str(error).splitlines()[-1]}") from None
    finally:
        ray.shutdown()
