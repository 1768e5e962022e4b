"""Photos shared among the workers of a local Ray."""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from traitswap.images import save_photo

from .conftest import save_new_weights, small_settings
from .test_cli import rows_of

pytest.importorskip("ray", reason="ray is not installed: pip install 'traitswap[ray]'")

PHOTOS = 400


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Crops by the hundred, and a model of them."""
    home = tmp_path_factory.mktemp("many")
    save_new_weights(small_settings("tiny"), home / "weights")
    rng = np.random.default_rng(0)
    for i in range(8):
        save_photo(rng.integers(0, 256, (32, 32, 3), np.uint8), home / f"{i}.png")
    (home / "photos").mkdir()
    for i in range(PHOTOS):
        shutil.copy(home / f"{i % 8}.png", home / "photos" / f"{i:03}.png")
    return home


def order(home, out, *more):
    photos = [str(home / "photos"), "--aligned", "--take", f"smiling={home / '0.png'}"]
    return [sys.executable, "-m", "traitswap", "transfer", *photos, "-w", str(home / "weights"), "-o", str(out), *more]


def workers_below(pid):
    """Processes of Ray Data's workers that descend from `pid`."""
    table = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], check=True, capture_output=True, text=True).stdout
    lines = [line.split(None, 2) for line in table.splitlines()]
    family = {pid}
    for _ in lines:
        grown = family | {int(own) for own, parent, _ in lines if int(parent) in family}
        if grown == family:
            break
        family = grown
    return [int(own) for own, _, args in lines if int(own) in family and "MapWorker" in args]


def test_a_worker_that_is_killed_loses_nothing_and_nothing_is_done_twice(many, tmp_path):
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    subprocess.run(order(many, alone), check=True, capture_output=True)
    with subprocess.Popen(
        order(many, shared, "--ray", "local"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        try:
            deadline = time.monotonic() + 300
            while len(list(shared.glob("*.png"))) < PHOTOS // 8:
                assert running.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            os.kill(workers_below(running.pid)[0], signal.SIGKILL)
            assert len(list(shared.glob("*.png"))) < PHOTOS, "it was killed too late"
            out, err = running.communicate(timeout=300)
        finally:
            running.kill()
    assert running.returncode == 0, err
    assert f"wrote {PHOTOS} of {PHOTOS} photos" in out.decode()
    assert "Traceback" not in err.decode()
    assert sorted(row["photo"] for row in rows_of(shared)) == [f"{i:03}.png" for i in range(PHOTOS)]
    for result in alone.glob("*.png"):
        assert (shared / result.name).read_bytes() == result.read_bytes()
    assert (
        "wrote 0 of 0 photos"
        in subprocess.run(order(many, shared, "--ray", "local"), check=True, capture_output=True, text=True).stdout
    )


def test_no_cluster_is_said_in_one_line(many, tmp_path):
    ran = subprocess.run(order(many, tmp_path / "out", "--ray", "127.0.0.1:1"), capture_output=True, text=True)
    assert ran.returncode == 2
    assert "traitswap: --ray 127.0.0.1:1:" in ran.stderr
    assert "Traceback" not in ran.stderr
