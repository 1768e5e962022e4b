"""Two processes that train one model do what one does with the whole batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from traitswap import ranks
from traitswap.data.open import open_faces
from traitswap.errors import TraitswapError
from traitswap.training import loop
from traitswap.training.classifier import faces_tensor
from traitswap.training.setup import build_method

from .conftest import SMALL, guide_for, run, small_settings

ROOT = Path(__file__).parents[1]
PRESETS = ("tiny", "paper", "stargan-lite", "dna-gan-lite")
STEPS = (0, 11)
"""With a gradient penalty, and with an update of every generator."""


def torchrun(*arguments):
    """Runs a script or module in two processes; its standard output."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    # The launcher itself warns of what its processes are to set.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", ROOT)))}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def small_run(preset):
    """A run whose generator is not one that changes nothing, as a new residual one is."""
    settings = small_settings(preset)
    # So small a rate, and numbers so fine, that the order of additions cannot decide where Adam goes.
    exact = {"batch": 8, "lr": 1e-9, "precision": "32-true"}
    settings = settings.model_copy(update={"train": settings.train.model_copy(update=exact)})
    faces, _ = open_faces("drawn", settings.network.size, settings.data)
    guide = guide_for(faces)
    method = build_method(settings, faces, guide if getattr(settings.method, "guide", False) else None)
    begun = loop.start(settings, method)
    torch.manual_seed(4)
    for parameter in begun.networks["generator"].parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.1)
    return settings, faces, method, begun


def gradients(preset):
    """Of every parameter, and the statistics of batch normalization, after each of `STEPS`."""
    settings, faces, method, begun = small_run(preset)
    found = {}
    for number in STEPS:
        begun.images_seen = number * settings.train.batch
        labels = faces.columns_of(method.columns)
        pick = ranks.own(method.draw(labels, 0, begun.images_seen, settings.train.batch), method.groups)
        x = loop.batch_of(settings, faces_tensor(faces, pick), begun.images_seen, method.groups)
        loop.step(begun, settings, method, x, torch.from_numpy(labels[pick]).float())
        for name, network in begun.networks.items():
            for key, parameter in network.named_parameters():
                if parameter.grad is not None:
                    found[f"{number} {name}.{key}"] = parameter.grad.clone()
            found |= {f"{number} {name}.{key}": b.clone() for key, b in network.named_buffers() if "running" in key}
    return found


def test_gradients_of_two_processes_average_to_those_of_the_whole_batch(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import torch\n"
        "from traitswap import ranks\n"
        "from tests.test_ranks import PRESETS, gradients\n"
        "torch.set_num_threads(1)\n"
        "ranks.join()\n"
        "assert ranks.count() == 2\n"
        "assert [ranks.any_of(ranks.rank() == r, torch.device('cpu')) for r in (0, 1, 2)] == [True, True, False]\n"
        "found = {preset: gradients(preset) for preset in PRESETS}\n"
        f"torch.save(found, {str(tmp_path)!r} + f'/{{ranks.rank()}}.pt')\n"
        "ranks.leave()\n"
    )
    torchrun(script)
    one, two = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    for preset in PRESETS:
        whole = gradients(preset)
        assert whole.keys() == one[preset].keys()
        assert sum(name.startswith("11 generator") for name in whole) > 10
        off = []
        for name, expected in whole.items():
            assert torch.equal(one[preset][name], two[preset][name]), name
            off.append(float((one[preset][name] - expected).norm() / expected.norm().clamp(min=1e-4)))
        # Rounding may tip a ReLU over, or |x|, of which a small network has few: then a step is off by a little.
        assert sorted(off)[len(off) // 2] < 1e-4
        assert max(off) < 0.1


def losses_in(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_run_goes_on_with_another_number_of_processes(tmp_path):
    settings = small_settings("tiny")
    faces, _ = open_faces("drawn", settings.network.size, settings.data)
    run(settings, faces, tmp_path / "one")
    changes = [part for change in SMALL for part in ("-s", change)]
    train = ["-m", "traitswap", "train", "-p", "tiny", "-d", "drawn", *changes, "--max-images", "8"]
    said = torchrun(*train, "-o", tmp_path / "two")
    assert said.count("8 images seen") == 1, "one process speaks"
    assert "going on from 8 images" in run(settings, faces, tmp_path / "two")
    one, two = losses_in(tmp_path / "one"), losses_in(tmp_path / "two")
    assert [(line["kind"], line["images"]) for line in one] == [(line["kind"], line["images"]) for line in two]
    for line, other in zip(one, two, strict=True):
        for key in {"D/adv", "D/cls", "G/cls", "G/rec"} & line.keys():
            assert other[key] == pytest.approx(line[key], rel=0.02)


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch):
    settings = small_settings("tiny")
    faces, _ = open_faces("drawn", settings.network.size, settings.data)
    method = build_method(settings, faces, None)
    monkeypatch.setattr(ranks, "count", lambda: 3)
    with pytest.raises(TraitswapError, match=r"a batch of 4 cannot be shared by 3 processes: .* a multiple of 6"):
        loop.check_shares(settings.train, method)
