import io
import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch.utils._python_dispatch import TorchDispatchMode

from traitswap.checkpoint import load_tensors
from traitswap.data.pairs import held_out_pairs, images_at
from traitswap.errors import TraitswapError
from traitswap.images import to_network
from traitswap.networks.classifier import AttributeClassifier
from traitswap.networks.weights import TorchCodec, load_codec, new_generator, save_codec
from traitswap.training import loop
from traitswap.training.averaging import recompute_statistics
from traitswap.training.classifier import faces_tensor
from traitswap.training.feed import Feed
from traitswap.training.setup import Classifiers, build_method, kinds_of_step, prepare_run
from traitswap.training.state import load_state, open_run, save_state

from .conftest import SMALL, run


def flatten(value, path=""):
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in flatten(item, f"{path}/{key}").items()}
    if isinstance(value, (list, tuple)):
        return flatten(dict(enumerate(value)), path)
    return {path: value}


def test_two_steps_and_two_more_equal_four_bit_for_bit(settings, faces, whole, tmp_path):
    out = tmp_path / "run"
    run(settings, faces, out, images=8)
    assert load_state(out)["images_seen"] == 8
    assert "going on from 8 images" in run(settings, faces, out)
    one, two = flatten(load_state(whole)), flatten(load_state(out))
    assert one.keys() == two.keys()
    for key, value in one.items():
        same = torch.equal(value, two[key]) if isinstance(value, torch.Tensor) else value == two[key]
        assert same, key
    assert (whole / "weights/model.safetensors").read_bytes() == (out / "weights/model.safetensors").read_bytes()


def test_another_seed_gives_another_run(settings, faces, whole, tmp_path):
    other = settings.model_copy(update={"train": settings.train.model_copy(update={"seed": 1})})
    run(other, faces, tmp_path / "run")
    one, two = (load_codec(folder / "weights")[0].generator for folder in (whole, tmp_path / "run"))
    assert not torch.equal(next(one.parameters()), next(two.parameters()))


LOSSES = {
    "latent-swap": ("D/adv", "D/cls", "D/gp", "G/adv", "G/cls", "G/ver", "G/rec"),
    "stargan": ("D/adv", "D/cls", "D/gp", "G/adv", "G/cls", "G/rec"),
    "dna-gan": ("D/adv", "G/adv", "G/rec"),
}


def test_a_run_leaves_weights_pictures_and_a_log(whole, settings):
    lines = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert [(x["kind"], x["images"]) for x in lines] == [
        ("health", 0), ("train", 8), ("health", 8), ("train", 16), ("health", 16),
    ]  # fmt: skip
    assert {*LOSSES[settings.method.name], "images_per_second"} <= lines[1].keys()
    assert sorted(p.name for p in (whole / "samples").iterdir()) == [f"{n:09d}.png" for n in (0, 8, 16)]
    assert sorted(p.name for p in (whole / "state").iterdir()) == ["state-000000008.pt", "state-000000016.pt"]
    config = json.loads((whole / "weights/config.json").read_text())
    assert config["images_seen"] == 16
    assert config["attributes"] == {name: list(columns) for name, columns in settings.attributes.items()}


def test_saved_weights_give_the_same_pictures(settings, faces, whole, tmp_path):
    average = load_state(whole)["average"]
    codec, config = load_codec(whole / "weights")
    for part, module in codec.generator.parts().items():
        for name, parameter in module.named_parameters():
            assert torch.equal(average[f"{part}.{name}"], parameter)
    torch.manual_seed(1)
    saved = TorchCodec(new_generator(settings), settings.network.size)
    save_codec(tmp_path / "again", saved, settings, config["training_data"], 1)
    loaded, _ = load_codec(tmp_path / "again")
    x, y = faces_and_labels(faces, codec, 3)
    one, two = (c.decode(c.encode(x, y)) for c in (saved, loaded))
    # Loaded weights lie in memory another way, which changes the order of sums.
    np.testing.assert_allclose(one, two, atol=3e-5)
    assert abs(one - codec.decode(codec.encode(x, y))).max() > 1e-3


def faces_and_labels(faces, codec, count):
    x = to_network(faces.images[:count].transpose(0, 3, 1, 2).astype(np.float32))
    return x, faces.columns_of(codec.layout.columns)[:count]


def test_the_weights_of_every_grid_are_kept_where_that_is_asked(settings, faces, whole, tmp_path):
    assert not (whole / "kept").exists()
    run(settings, faces, tmp_path / "run", images=8)
    # Also from here on: it changes nothing of a run.
    keeping = settings.model_copy(update={"train": settings.train.model_copy(update={"keep_weights": True})})
    run(keeping, faces, tmp_path / "run")
    [kept] = (tmp_path / "run" / "kept").iterdir()
    assert kept.name == "000000016"
    kept, last, other = (load_tensors(folder) for folder in (kept, tmp_path / "run" / "weights", whole / "weights"))
    assert all((kept[name] == last[name]).all() and (last[name] == other[name]).all() for name in other)


def test_a_batch_equals_its_singles(faces, whole):
    codec, _ = load_codec(whole / "weights")
    x, y = faces_and_labels(faces, codec, 6)
    names = codec.layout.names
    codes = codec.encode(x, y)
    together = codec.decode(codes[:3].swap(codes[3:], names)[0])
    for i in range(3):
        one, other = (codec.encode(x[j : j + 1], y[j : j + 1]) for j in (i, i + 3))
        single = one.swap(other, names)[0]
        np.testing.assert_allclose(codec.decode(single)[0], together[i], atol=1e-5)


def test_changed_settings_do_not_continue_a_run(settings, faces, whole):
    changed = settings.model_copy(update={"method": settings.method.model_copy(update={"lambda_rec": 7.0})})
    was = settings.method.lambda_rec
    with pytest.raises(TraitswapError, match=rf"settings.method.lambda_rec: there {was}, now 7.0"):
        open_run(changed, faces, whole)
    longer = settings.model_copy(update={"train": settings.train.model_copy(update={"images": 160})})
    if settings.train.lr_decay:
        with pytest.raises(TraitswapError, match=r"train.images: there 16, now 160"):
            open_run(longer, faces, whole)
    else:
        open_run(longer, faces, whole)


def test_a_damaged_state_falls_back_to_the_one_before(settings, faces, tmp_path):
    out = tmp_path / "run"
    run(settings, faces, out)
    newest = out / "state" / "state-000000016.pt"
    newest.write_bytes(newest.read_bytes()[:1000])
    assert load_state(out)["images_seen"] == 8
    (out / "state" / "state-000000008.pt").write_bytes(b"")
    with pytest.raises(TraitswapError, match="none of the states"):
        load_state(out)


def test_a_kill_between_the_last_state_and_its_weights_costs_nothing(settings, faces, whole, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole, out, ignore=shutil.ignore_patterns("weights"))
    run(settings, faces, out)
    assert (whole / "weights/model.safetensors").read_bytes() == (out / "weights/model.safetensors").read_bytes()


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_state(settings, faces, tmp_path, monkeypatch):
    out = tmp_path / "run"
    run(settings, faces, out, images=8)
    before = load_state(out)
    batch_of = loop.batch_of
    monkeypatch.setattr(loop, "batch_of", lambda *a: batch_of(*a) * float("nan"))
    with pytest.raises(TraitswapError, match=r"not finite after 16 images: stopped"):
        run(settings, faces, out)
    assert load_state(out)["images_seen"] == before["images_seen"] == 8


def test_a_killed_run_goes_on_from_its_last_state(tmp_path):
    out = tmp_path / "run"
    changes = [*SMALL, "train.save_images=4", "train.sample_images=4000", "train.report_images=4000"]
    command = [sys.executable, "-m", "traitswap", "train", "-p", "tiny", "-d", "drawn", "-o", str(out)]
    command += [part for change in changes for part in ("-s", change)]
    child = subprocess.Popen([*command, "-s", "train.images=400000"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 90
    while not (out / "state/state-000000012.pt").exists() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    _, errors = child.communicate()
    assert child.returncode == -signal.SIGKILL, errors.decode()
    seen = load_state(out)["images_seen"]
    assert seen >= 12
    leftover = out / "state" / ".state-000000004.pt.partial-killed"
    leftover.mkdir(exist_ok=True)
    again = subprocess.run([*command, "-s", f"train.images={seen + 8}"], capture_output=True, text=True, check=True)
    assert f"going on from {seen} images" in again.stdout
    assert load_state(out)["images_seen"] == seen + 8
    assert len(list((out / "state").iterdir())) == 2, "two states and nothing else"


def test_a_kill_between_a_state_and_its_review_costs_no_review(settings, faces, whole, tmp_path, monkeypatch):
    out = tmp_path / "run"
    real = loop.review

    def killed(run, *rest):
        if run.images_seen == 8:
            raise KeyboardInterrupt
        real(run, *rest)

    monkeypatch.setattr(loop, "review", killed)
    with pytest.raises(KeyboardInterrupt):
        run(settings, faces, out)
    assert load_state(out)["images_seen"] == 8
    monkeypatch.undo()
    run(settings, faces, out)
    health = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines() if '"health"' in line]
    assert [line["images"] for line in health] == [0, 8, 16]


def test_processes_beyond_the_first_write_nothing(settings, faces, tmp_path, monkeypatch):
    monkeypatch.setattr("traitswap.ranks.rank", lambda: 1)
    open_run(settings, faces, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_faces_without_any_held_out_are_refused_before_a_classifier_learns(settings, faces, tmp_path):
    all_train = replace(faces, partition=np.zeros_like(faces.partition))
    with pytest.raises(TraitswapError, match="has no test images"):
        prepare_run(settings, all_train, tmp_path, Classifiers(), None, Console(file=io.StringIO()))
    assert not (tmp_path / "health").exists()


def test_a_run_that_is_asked_to_stop_saves_what_it_learnt(tmp_path):
    out = tmp_path / "run"
    changes = [*SMALL, "train.save_images=400000", "train.sample_images=400000", "train.report_images=4"]
    command = [sys.executable, "-m", "traitswap", "train", "-p", "tiny", "-d", "drawn", "-o", str(out)]
    command += [part for change in [*changes, "train.images=400000"] for part in ("-s", change)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 90
    log = out / "log.jsonl"
    while not (log.exists() and "D/adv" in log.read_text()) and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate()
    assert child.returncode == 130, errors
    assert errors.count("\n") == 1
    assert "stopping: saving what is learnt so far" in errors
    seen = load_state(out)["images_seen"]
    assert 4 <= seen < 400_000
    assert loop.weights_seen(out) == seen


def test_another_guide_does_not_continue_a_run(settings, faces, whole):
    method, _ = prepare_run(settings, faces, whole, Classifiers(), None, Console(file=io.StringIO()))
    if not method.fingerprint:
        pytest.skip("a method without a guide")
    with torch.no_grad():
        method.guide.head.bias += 1
    with pytest.raises(TraitswapError, match="begun with another guide"):
        loop.resume(loop.start(settings, method), whole, Console(file=io.StringIO()))


def test_other_attributes_do_not_continue_a_run(settings, faces, whole):
    before = (whole / "run.json").read_bytes()
    table = settings.attributes
    for other in (
        {"smiling": table["smiling"]},
        dict(reversed(table.items())),
        {**table, "glasses": ("Eyeglasses",)},
    ):
        with pytest.raises(TraitswapError, match="was begun otherwise"):
            open_run(settings.model_copy(update={"attributes": other}), faces, whole)
    with pytest.raises(TraitswapError, match=r"was begun otherwise \(data.fingerprint"):
        open_run(settings, replace(faces, fingerprint="another"), whole)
    assert (whole / "run.json").read_bytes() == before
    open_run(settings, replace(faces, source_name="the same faces in a folder renamed"), whole)


def test_mixed_precision_loses_little(settings, faces):
    """Steps of all phases, gradient penalty included: their losses are those of 32 bits, but for rounding."""
    losses = {}
    for precision in ("32-true", "bf16-mixed"):
        own = settings.model_copy(update={"train": settings.train.model_copy(update={"precision": precision})})
        guide = AttributeClassifier(len(faces.columns), own.classifier.size, own.classifier.width).eval()
        method = build_method(own, faces, guide if settings.preset == "tiny" else None)
        run = loop.start(own, method)
        labels = faces.columns_of(method.columns)
        pick = method.draw(labels, 0, 0, own.train.batch)
        for number in range(4):
            x = loop.batch_of(own, faces_tensor(faces, pick), number, method.groups)
            loop.step(run, own, method, x, torch.from_numpy(labels[pick]).float())
        losses[precision] = {name: total / count for name, (total, count) in run.sums.items()}
        assert all(p.dtype == torch.float32 for network in run.networks.values() for p in network.parameters())
    assert losses["bf16-mixed"].keys() == losses["32-true"].keys()
    assert any(loss != losses["32-true"][name] for name, loss in losses["bf16-mixed"].items())
    for name, loss in losses["bf16-mixed"].items():
        torch.testing.assert_close(loss, losses["32-true"][name], rtol=0.05, atol=0.02, msg=name)


def test_a_guide_is_asked_in_the_precision_of_the_run_and_stays_as_it_is(settings, faces):
    if settings.preset != "tiny":
        pytest.skip("a method without a guide")
    settings = settings.model_copy(update={"train": settings.train.model_copy(update={"precision": "bf16-mixed"})})
    guide = AttributeClassifier(len(faces.columns), settings.classifier.size, settings.classifier.width).eval()
    before = [p.clone() for p in guide.parameters()]
    method = build_method(settings, faces, guide)
    run = loop.start(settings, method)
    assert set(run.optimizers) == {"generator", "discriminator"}
    labels = faces.columns_of(method.columns)
    pick = method.draw(labels, 0, 0, settings.train.batch)
    x = loop.batch_of(settings, faces_tensor(faces, pick), 0, method.groups)
    for _ in range(2):
        loop.step(run, settings, method, x, torch.from_numpy(labels[pick]).float())
    assert all(torch.equal(p, q) for p, q in zip(guide.parameters(), before, strict=True))
    with torch.no_grad():
        asked, exact = run.networks["guide"](x), guide(x)
    assert not torch.equal(asked, exact)
    torch.testing.assert_close(asked, exact, rtol=0.05, atol=0.05)


class BetweenHostAndGpu(TorchDispatchMode):
    """Operations that would read a number from a GPU, or bring one to it: what is recorded may do neither."""

    FORBIDDEN = ("_local_scalar_dense", "nonzero", "masked_select", "lift_fresh", "_unique2", "bincount")

    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        by_mask = name.startswith("index") and any(i is not None and i.dtype == torch.bool for i in indices_of(args))
        if name in self.FORBIDDEN or by_mask:
            self.found.add(name)
        return func(*args, **(kwargs or {}))


def indices_of(args):
    return args[1] if len(args) > 1 and isinstance(args[1], (list, tuple)) else ()


def test_a_step_needs_nothing_of_the_host_once_it_has_been_computed(settings, faces):
    """With the constants copied: so it can be recorded on a GPU. The optimizers' own part is PyTorch's."""
    guide = AttributeClassifier(len(faces.columns), settings.classifier.size, settings.classifier.width).eval()
    method = build_method(settings, faces, guide if settings.preset == "tiny" else None)
    run = loop.start(settings, method)
    feed = Feed(faces, method.columns, run.fabric.device)
    for optimizer in run.optimizers.values():
        optimizer.step = lambda *_: None
    pick = method.draw(feed.labels, 0, 0, settings.train.batch)
    x, labels = feed.faces(pick), feed.labels_of(pick)
    for _ in range(2):
        with BetweenHostAndGpu() as operations:
            for number in kinds_of_step(method):
                updates = {p: p.weights(number) for p in method.phases if p.weights(number)}
                loop.update(run, method, updates, x, labels)
    assert operations.found == set()
    with BetweenHostAndGpu() as operations:
        float(labels.sum())
    assert operations.found == {"_local_scalar_dense"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_steps_played_back_are_the_steps_themselves(settings, faces):
    """Each with its own faces, random numbers and learning rate, for steps of every kind."""
    train = {"precision": "32-true", "lr": 1e-4, "lr_decay": 0.5, "images": 400}
    found = []
    for graphs in (False, True):
        own = settings.model_copy(update={"train": settings.train.model_copy(update={**train, "graphs": graphs})})
        torch.manual_seed(1)
        guide = AttributeClassifier(len(faces.columns), own.classifier.size, own.classifier.width).eval()
        method = build_method(own, faces, guide if settings.preset == "tiny" else None)
        run = loop.start(own, method)
        feed = Feed(faces, method.columns, run.fabric.device)
        losses = []
        for _ in range(48):
            loop.next_step(run, own, method, feed)
            losses.append({name: float(total) for name, (total, _) in run.sums.items()})
            run.sums = {}
        assert (run.graphs is not None) == graphs
        found.append((losses, [p.clone() for p in run.average.parameters()]))
    (computed, average), (played, other) = found
    for one, two in zip(computed, played, strict=True):
        assert one == pytest.approx(two, rel=0.02, abs=0.02)
    for p, q in zip(average, other, strict=True):
        torch.testing.assert_close(p, q, rtol=0.02, atol=2e-3)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device that is always full")
def test_a_full_disk_costs_no_state(settings, faces, whole, monkeypatch):
    before = load_state(whole)
    real = Path.open
    monkeypatch.setattr(
        Path, "open", lambda self, *a, **k: real(Path("/dev/full") if "partial" in str(self) else self, *a, **k)
    )
    with pytest.raises(TraitswapError, match="No space left"):
        save_state(whole, 20, {"big": torch.zeros(100_000)})
    assert load_state(whole)["images_seen"] == before["images_seen"]
    assert len(list((whole / "state").iterdir())) == 2


def test_statistics_of_the_use_path_make_use_equal_training_mode(settings, faces, whole):
    """A network in evaluation mode gives what it gives with batch statistics, on the batch they were taken from."""
    codec, _ = load_codec(whole / "weights")
    generator = codec.generator
    if settings.method.name == "stargan":
        pytest.skip("its normalization has no statistics")
    x = torch.from_numpy(to_network(faces.images[:32].transpose(0, 3, 1, 2).astype(np.float32)))
    swapped = torch.tensor([[True, False]]).repeat(32, 1)
    recompute_statistics(generator, [(x, swapped)])
    with torch.no_grad():
        use = generator.eval().transfer(x, swapped)
        batch = generator.train().transfer(x, swapped)
    # The running variance is the unbiased one: off by n / (n − 1), n the values a channel has in the batch.
    torch.testing.assert_close(use, batch, atol=2e-3, rtol=0)


def test_images_are_a_pure_function_of_seed_and_position():
    together = images_at(10, 4, 3, 30)
    assert (np.concatenate([images_at(10, 4, 3, 11), images_at(10, 4, 14, 19)]) == together).all()
    assert sorted(images_at(10, 4, 20, 10)) == list(range(10)), "every epoch is a shuffle of all"
    assert (images_at(10, 5, 3, 30) != together).any()
    with pytest.raises(TraitswapError, match="at least 2 images"):
        images_at(1, 0, 0, 2)


def test_held_out_pairs_are_halves_matched_one_to_one():
    a, b = held_out_pairs(np.arange(100, 121), 1000, 0)
    assert len(a) == len(b) == 10
    assert len({*a.tolist(), *b.tolist()}) == 20
    few = held_out_pairs(np.arange(100, 121), 3, 0)
    assert few[0].tolist() == a[:3].tolist()
    with pytest.raises(TraitswapError, match="at least 2 held-out images"):
        held_out_pairs(np.arange(1), 3, 0)
