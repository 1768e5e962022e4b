"""The one training loop: any method's phases, over pairs that depend on (seed, images seen) alone."""

import copy
import logging
import math
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_utilities.core.apply_func import apply_to_collection
from rich.console import Console
from torch import Tensor, nn

from traitswap import ranks
from traitswap.checkpoint import KEYS, KIND, load_config
from traitswap.config import Settings, TrainSettings
from traitswap.data.cache import FaceData
from traitswap.data.pairs import images_at
from traitswap.errors import TraitswapError
from traitswap.methods.base import Method, Phase
from traitswap.networks.transfer import TransferNetwork
from traitswap.networks.weights import TorchCodec, save_codec
from traitswap.training.averaging import average_into, recompute_statistics
from traitswap.training.feed import Feed
from traitswap.training.graphs import Graphs
from traitswap.training.health import Health
from traitswap.training.reporting import Reporter
from traitswap.training.state import load_state, save_state


@dataclass(frozen=True)
class Limits:
    """When this call stops, if before the end of the schedule."""

    deadline: float = math.inf
    """Of `time.monotonic()`."""
    images: int | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    """Set from outside, by Ctrl-C for one: the step is finished, and all is saved as at any other end."""

    def reached(self) -> bool:
        return time.monotonic() >= self.deadline or self.stop.is_set()


@dataclass
class Run:
    """All that changes while training, and is saved."""

    fabric: Fabric
    networks: dict[str, Any]
    optimizers: dict[str, Any]
    """Of the networks that are not frozen."""
    average: TransferNetwork
    method: str
    """The method's fingerprint."""
    graphs: Graphs | None = None
    """Where steps are recorded and played back: on a single GPU."""
    images_seen: int = 0
    sums: dict[str, tuple[Tensor, int]] = field(default_factory=dict)
    """Losses since the last report; not part of the state."""


def train(
    settings: Settings,
    method: Method,
    data: FaceData,
    out: Path,
    health: Health,
    console: Console,
    limits: Limits | None = None,
) -> int:
    """Trains until the schedule or a limit ends, going on from what `out` holds. Returns images seen.

    With several processes (`ranks`) each does its share of every batch, and the first alone writes and reports.

    Raises `TraitswapError` when a loss is no longer finite; the states of before are kept then.
    """
    limits = limits or Limits()
    t = settings.train
    run = start(settings, method)
    check_shares(t, method)
    resume(run, out, console)
    feed = Feed(data, method.columns, run.fabric.device)
    end = min(t.images, limits.images or t.images)
    began, counted = time.monotonic(), run.images_seen
    saved, reviewed = run.images_seen, weights_seen(out)
    with Reporter(out, run.images_seen, end, console) as reporter:
        # A kill may have come between a state and its review.
        is_due = run.images_seen == 0 or due(run.images_seen, t.sample_images, t.batch)
        if ranks.any_of(is_due and run.images_seen != reviewed, run.fabric.device):
            review(run, settings, feed, health, out, reporter)
            reviewed = run.images_seen
        while run.images_seen < end and not ranks.any_of(limits.reached(), run.fabric.device):
            next_step(run, settings, method, feed)
            reporter.advance(run.images_seen)
            if due(run.images_seen, t.report_images, t.batch):
                now = time.monotonic()
                reporter.losses(run.images_seen, means(run, out), (run.images_seen - counted) / (now - began))
                began, counted = now, run.images_seen
            if due(run.images_seen, t.save_images, t.batch):
                saved = save(run, out)
            if due(run.images_seen, t.sample_images, t.batch):
                review(run, settings, feed, health, out, reporter)
                began, counted = time.monotonic(), run.images_seen
                reviewed = run.images_seen
        if run.images_seen > saved:
            save(run, out)
        # A kill may have come between the last state and its weights.
        if run.images_seen != reviewed:
            review(run, settings, feed, health, out, reporter)
    return run.images_seen


class InPrecision(nn.Module):
    """A network computed in the run's precision; what it returns is float32, so that losses are.

    Fabric's own wrapper, in mixed precision, takes the gradient of the gradient penalty for a mistake and raises.
    """

    def __init__(self, module: nn.Module, fabric: Fabric) -> None:
        super().__init__()
        self.module = module
        self.autocast = fabric.autocast

    def forward(self, *args: Any) -> Any:
        with self.autocast():
            output = self.module(*args)
        return apply_to_collection(output, Tensor, Tensor.float)


def start(settings: Settings, method: Method) -> Run:
    """New networks, their optimizers and the average, from the seed."""
    t = settings.train
    # It would say which precision was chosen, on a line of its own.
    logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.WARNING)
    devices = [ranks.local_rank()] if torch.cuda.is_available() else 1
    fabric = Fabric(accelerator="auto", devices=devices, precision=precision_of(settings))
    # All batches of a run have the same size.
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(step_seed(t.seed, -1))
    networks, optimizers = {}, {}
    modules = method.networks()
    average = copy.deepcopy(modules["generator"]).eval().requires_grad_(False)
    assert isinstance(average, TransferNetwork)
    for name, module in modules.items():
        module = ranks.synchronized(module.to(memory_format=torch.channels_last))  # type: ignore[call-overload]
        networks[name] = InPrecision(fabric.to_device(module), fabric)
        if any(phase.module == name for phase in method.phases):
            optimizers[name] = fabric.setup_optimizers(optimizer_of(t, module))
    average = average.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    graphs = Graphs() if recorded(t) else None
    return Run(fabric, networks, optimizers, average, method.fingerprint, graphs)


def optimizer_of(t: TrainSettings, module: nn.Module) -> torch.optim.Optimizer:
    lr: Any = t.lr
    if recorded(t):
        # What a recorded step reads anew each time lies in the GPU's memory.
        lr = torch.tensor(t.lr, device=next(module.parameters()).device)
    if t.optimizer == "rmsprop":
        return torch.optim.RMSprop(module.parameters(), lr=lr, alpha=t.alpha, capturable=recorded(t))
    return torch.optim.Adam(module.parameters(), lr=lr, betas=t.betas, fused=True, capturable=recorded(t))


def recorded(t: TrainSettings) -> bool:
    """Whether steps are recorded and played back."""
    return t.graphs and torch.cuda.is_available() and ranks.count() == 1


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def learning_rate(t: TrainSettings, images_seen: int) -> float:
    """Of the step after `images_seen` images: constant, then in the last `lr_decay` of the run falling to 0."""
    left = 1 - images_seen / t.images
    return t.lr * min(1.0, left / t.lr_decay) if t.lr_decay else t.lr


def precision_of(settings: Settings) -> Any:
    """bf16 where the processor computes in it (elsewhere it is emulated, and slower), else 32-bit."""
    if settings.train.precision != "auto":
        return settings.train.precision
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    return "bf16-mixed" if torch.cpu._is_avx512_bf16_supported() else "32-true"


def step_seed(seed: int, images_seen: int) -> int:
    """The seed of all that is random in the step after `images_seen` images (−1: in the initialization)."""
    return int(np.random.SeedSequence([seed, images_seen + 1]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def check_shares(t: TrainSettings, method: Method) -> None:
    """Raises `TraitswapError` unless every process can have an equal part of each group of a batch."""
    if t.batch % (method.groups * ranks.count()):
        raise TraitswapError(
            f"a batch of {t.batch} cannot be shared by {ranks.count()} processes: set train.batch to a multiple of "
            f"{method.groups * ranks.count()}"
        )


def batch_of(settings: Settings, x: Tensor, images_seen: int, groups: int) -> Tensor:
    """Faces (N × 3 × S × S, this process's share of a batch), flipped at random. Seeds the step."""
    torch.manual_seed(step_seed(settings.train.seed, images_seen))
    if settings.train.flip:
        flip = ranks.rand(len(x), device=x.device, groups=groups) < 0.5
        x = torch.where(flip[:, None, None, None], x.flip(3), x)
    return x.contiguous()


def next_step(run: Run, settings: Settings, method: Method, feed: Feed) -> None:
    """A step on the faces that come next."""
    t = settings.train
    pick = ranks.own(method.draw(feed.labels, t.seed, run.images_seen, t.batch), method.groups)
    x = batch_of(settings, feed.faces(pick), run.images_seen, method.groups)
    step(run, settings, method, x, feed.labels_of(pick))


def step(run: Run, settings: Settings, method: Method, x: Tensor, labels: Tensor) -> None:
    """One update of the module of every phase that is due, each from its own losses alone, and of the average."""
    t = settings.train
    number = run.images_seen // t.batch
    updates = {phase: weights for phase in method.phases if (weights := phase.weights(number))}
    for phase in updates:
        set_rate(run.optimizers[phase.module], learning_rate(t, run.images_seen))

    def compute(x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return update(run, method, updates, x, labels)

    if run.graphs is None:
        parts = compute(x, labels)
    else:
        due = tuple((phase.name, *weights) for phase, weights in updates.items())
        parts = run.graphs((due, method.stage(run.images_seen)), compute, x, labels)
    for key, part in parts.items():
        total, count = run.sums.get(key, (part.new_zeros(()), 0))
        run.sums[key] = (total + part, count + 1)
    run.images_seen += t.batch
    average_into(run.average, run.networks["generator"].module, run.images_seen, t.batch, t.ema_images)


def update(
    run: Run, method: Method, updates: Mapping[Phase, Mapping[str, float]], x: Tensor, labels: Tensor
) -> dict[str, Tensor]:
    """The phases of a step, with the weights of the terms that are due. Returns all losses, by phase and name.

    May be recorded on a GPU: it neither waits for the GPU's numbers nor hands it any of the host's.
    """
    shared = method.prepare(run.networks, x, labels, run.images_seen, [phase.name for phase in updates])
    losses: dict[str, Tensor] = {}
    for phase, weights in updates.items():
        for name, network in run.networks.items():
            network.requires_grad_(name == phase.module)
        parts = method.losses(phase.name, weights, run.networks, shared)
        optimizer = run.optimizers[phase.module]
        optimizer.zero_grad(set_to_none=True)
        run.fabric.backward(
            sum((weights[name] * part for name, part in parts.items() if name in weights), x.new_zeros(()))
        )
        ranks.average_gradients(run.networks[phase.module])
        optimizer.step()
        if phase.clip is not None:
            clip_parameters(run.networks[phase.module], phase.clip)
        losses |= {f"{phase.name}/{name}": part.detach() for name, part in parts.items()}
    for name in run.optimizers:
        run.networks[name].requires_grad_(True)
    return losses


@torch.no_grad()
def clip_parameters(module: nn.Module, bound: float) -> None:
    for parameter in module.parameters():
        parameter.clamp_(-bound, bound)


def due(images_seen: int, interval: int, batch: int) -> bool:
    """Whether `interval` images were completed by the last batch."""
    return images_seen // interval > (images_seen - batch) // interval


def means(run: Run, out: Path) -> dict[str, float]:
    """Mean losses since the last call; stops the run where one is not finite."""
    values = {key: float(ranks.mean(total)) / count for key, (total, count) in run.sums.items()}
    run.sums = {}
    broken = [key for key, value in values.items() if not math.isfinite(value)]
    if broken:
        raise TraitswapError(
            f"the loss {', '.join(broken)} is not finite after {run.images_seen:,} images: stopped. The states in "
            f"{out / 'state'} are from before; try a lower train.lr, or train.precision=32-true"
        )
    return values


def check_finite(run: Run, out: Path) -> None:
    """Raises `TraitswapError` unless all weights are finite: nothing broken may take the place of what is good."""
    for network in run.networks.values():
        if not all(torch.isfinite(p).all() for p in network.parameters()):
            raise TraitswapError(
                f"a weight is not finite after {run.images_seen:,} images: stopped. The states in {out / 'state'} "
                "are from before; try a lower train.lr"
            )


def save(run: Run, out: Path) -> int:
    """Writes the state, unless something in it is not finite."""
    check_finite(run, out)
    if ranks.rank() > 0:
        return run.images_seen
    state = {
        "images_seen": run.images_seen,
        "method": run.method,
        "networks": {name: run.networks[name].module.state_dict() for name in run.optimizers},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in run.optimizers.items()},
        # Its batch statistics are recomputed whenever they are needed.
        "average": dict(run.average.named_parameters()),
    }
    save_state(out, run.images_seen, state)
    return run.images_seen


def weights_seen(out: Path) -> int | None:
    """Images seen by the weights in `out`; None where there are none that can be read."""
    try:
        return int(load_config(out / "weights", KIND, KEYS)["images_seen"])
    except TraitswapError:
        return None


@torch.no_grad()
def resume(run: Run, out: Path, console: Console) -> None:
    """Loads the newest state of `out`, if there is one."""
    state = load_state(out)
    if state is None:
        return
    if state["method"] != run.method:
        raise TraitswapError(
            f"{out} was begun with another guide, or from other weights: give the same --guide and --start-from, or "
            "another --out"
        )
    for name, optimizer in run.optimizers.items():
        run.networks[name].module.load_state_dict(state["networks"][name])
        # How it computes is this machine's; what it has gathered is the run's.
        ours = optimizer.state_dict()
        optimizer.load_state_dict({**ours, "state": state["optimizers"][name]["state"]})
    for name, parameter in run.average.named_parameters():
        parameter.copy_(state["average"][name])
    run.images_seen = state["images_seen"]
    console.print(f"going on from {run.images_seen:,} images", highlight=False)


def review(
    run: Run,
    settings: Settings,
    feed: Feed,
    health: Health,
    out: Path,
    reporter: Reporter,
) -> None:
    """Statistics of the use path, then the health line, the sample grid and the weights folder."""
    check_finite(run, out)
    if ranks.rank() > 0:
        return
    recompute_statistics(run.average, statistics_batches(settings, feed))
    codec = TorchCodec(run.average, settings.network.size)
    line, values = health.check(codec)
    reporter.health(run.images_seen, line, values)
    name = f"{run.images_seen:09d}"
    health.sample(codec, out / "samples" / f"{name}.png")
    data = feed.data
    about = {"name": data.source_name, "fingerprint": data.fingerprint, "train_images": len(feed)}
    for folder in ("weights", f"kept/{name}") if settings.train.keep_weights else ("weights",):
        save_codec(out / folder, codec, settings, about, run.images_seen)


def statistics_batches(settings: Settings, feed: Feed) -> Iterator[tuple[Tensor, Tensor]]:
    """Training faces, unflipped, each batch with the units of another random set exchanged."""
    t = settings.train
    generator = torch.Generator().manual_seed(t.seed)
    batch = 64
    for begin in range(0, t.statistics_images, batch):
        x = feed.faces(images_at(len(feed), t.seed, begin, batch)).contiguous(memory_format=torch.channels_last)
        swapped = torch.rand(batch // 2, len(settings.layout.attributes), generator=generator) < 0.5
        yield x, torch.cat([swapped, swapped]).to(x.device)
