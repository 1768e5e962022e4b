"""A run from its settings: data, classifiers, method, health; and what it would cost, without running it."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from traitswap.baselines import DNAGANSettings, StarGANSettings
from traitswap.checkpoint import CONFIG_NAME
from traitswap.config import ClassifierSettings, LatentSwapSettings, ModelSettings, Settings, parse_settings
from traitswap.data.cache import FaceData
from traitswap.data.open import open_faces
from traitswap.data.pairs import held_out_pairs
from traitswap.data.sources import OnProblem
from traitswap.errors import TraitswapError
from traitswap.methods.base import Method
from traitswap.methods.dna_gan import DNAGAN
from traitswap.methods.latent_swap import LatentSwap, related_columns
from traitswap.methods.stargan import StarGAN
from traitswap.metrics.chunks import Judge
from traitswap.metrics.evaluation import classifier_for
from traitswap.metrics.features import OnnxFeatures
from traitswap.networks.autoencoder import Generator
from traitswap.networks.classifier import AttributeClassifier
from traitswap.networks.transfer import TransferNetwork
from traitswap.networks.weights import load_classifier, load_codec, save_classifier, torch_features
from traitswap.progress import bar
from traitswap.training.classifier import classifier_accuracy, train_classifier
from traitswap.training.graphs import WARM_UP
from traitswap.training.health import Health
from traitswap.training.loop import Run, start, step

NOT_OF_GENERATOR = (
    "discriminator_widths",
    "discriminator_leak",
    "spectral_norm",
    "score_maps",
    "conditional_scores",
    "guide_scores",
    "unit_logits",
)
"""Settings of the network on which weights to start from need not agree."""
HELD_OUT_SEED = 0
"""Pairs on which runs are watched are the same for all runs."""


@dataclass(frozen=True)
class Classifiers:
    """Where classifiers trained before are, if anywhere; a run trains what it lacks."""

    guide: Path | None = None
    health: Path | None = None


def read_faces(where: str, settings: ModelSettings, on_problem: OnProblem, console: Console) -> FaceData:
    """The decoded faces, with a bar while decoding and a line for each problem."""
    with bar("decode", console) as progress:
        task = progress.add_task("images", total=None)
        data, problems = open_faces(
            where,
            settings.network.size,
            settings.data,
            on_problem,
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    for problem in problems:
        console.print(f"note: {problem}", highlight=False, soft_wrap=True, markup=False)
    return data


def held_out(data: FaceData) -> np.ndarray:
    """Faces on which nothing is trained: the val split, or the test split where there is none."""
    try:
        return data.split("val")
    except TraitswapError:
        return data.split("test")


def obtain_classifier(
    folder: Path, data: FaceData, settings: ClassifierSettings, seed: int, purpose: str, console: Console
) -> AttributeClassifier:
    """The classifier in `folder`, trained first if it is not there. Raises if it was trained otherwise."""
    origin = {
        "data": {"fingerprint": data.fingerprint, "size": int(data.images.shape[1])},
        "settings": settings.model_dump(mode="json"),
        "seed": seed,
    }
    if (folder / CONFIG_NAME).exists():
        _, config = load_classifier(folder)
        if any(config.get(key) != value for key, value in origin.items()):
            raise TraitswapError(
                f"the classifier in {folder} was trained with other data or settings: remove it, or name it by "
                f"--{purpose} to use it all the same"
            )
        return classifier_for(data, folder)[0]
    held = held_out(data)
    with bar(f"train {purpose} classifier", console) as progress:
        task = progress.add_task("images", total=settings.images)
        model = train_classifier(
            data, settings, seed, lambda done, total: progress.update(task, completed=done, total=total)
        )
    accuracy = classifier_accuracy(model, data, held)
    save_classifier(folder, model, data.columns, settings, {**origin, "held_out_accuracy": accuracy})
    console.print(
        f"{purpose} classifier: {np.mean(list(accuracy.values())):.1%} of held-out labels right, in {folder}",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )
    return model


def check_guide_fits(guide: AttributeClassifier, settings: LatentSwapSettings) -> None:
    """The units' branch starts as a copy of the guide's trunk."""
    if (guide.width, guide.size) != (settings.network.unit_width, settings.network.unit_size):
        raise TraitswapError(
            f"the guide has width {guide.width} and size {guide.size}, but network.unit_width and unit_size are "
            f"{settings.network.unit_width} and {settings.network.unit_size}: they must be the same"
        )


def build_method(
    settings: Settings, data: FaceData, guide: AttributeClassifier | None, initial: Generator | None = None
) -> Method:
    if isinstance(settings, StarGANSettings):
        return StarGAN(settings)
    if isinstance(settings, DNAGANSettings):
        return DNAGAN(settings)
    assert isinstance(settings, LatentSwapSettings)
    labels = torch.from_numpy(np.ascontiguousarray(data.labels[data.split("train")]))
    return LatentSwap(
        settings,
        data.columns,
        related_columns(settings.layout, data.columns, labels, settings.method.related_correlation),
        guide,
        initial,
    )


def load_initial(folder: Path, settings: Settings) -> Generator:
    """The generator that a run starts from. Raises `TraitswapError` unless its network is that of the settings."""
    if not isinstance(settings, LatentSwapSettings):
        raise TraitswapError(f"--start-from: {settings.method.name} cannot start from weights, only latent-swap can")
    codec, config = load_codec(folder)
    theirs = parse_settings(config["settings"], str(folder))
    if not isinstance(codec.generator, Generator):
        raise TraitswapError(f"--start-from: the weights in {folder} are {theirs.method.name}'s, not latent-swap's")
    ours, there = (s.network.model_dump() for s in (settings, theirs))
    changed = [
        f"network.{key}: there {there[key]}, now {value}"
        for key, value in ours.items()
        if value != there[key] and key not in NOT_OF_GENERATOR
    ]
    if changed:
        raise TraitswapError(f"--start-from: the network in {folder} is another ({'; '.join(changed)})")
    return codec.generator


def prepare_run(
    settings: Settings,
    data: FaceData,
    out: Path,
    classifiers: Classifiers,
    identity_network: Path | None,
    console: Console,
    start_from: Path | None = None,
) -> tuple[Method, Health]:
    """The method and the watch over it; classifiers that are not given are trained into `out`.

    `start_from`: a weights folder that the generator begins as, of the same network but maybe of other attributes.
    """
    # What can be wrong is found before classifiers are trained, which takes minutes.
    data.columns_of(settings.layout.columns)
    pairs = held_out_pairs(held_out(data), settings.train.health_pairs, HELD_OUT_SEED)
    initial = load_initial(start_from, settings) if start_from else None
    identity = OnnxFeatures(identity_network) if identity_network else None
    folders = {"guide": classifiers.guide, "health": classifiers.health}
    given = {purpose: classifier_for(data, folder)[0] for purpose, folder in folders.items() if folder}

    def classifier(purpose: str, learning: ClassifierSettings, seed: int) -> AttributeClassifier:
        if purpose in given:
            return given[purpose]
        return obtain_classifier(out / purpose, data, learning, seed, purpose, console)

    seed = settings.train.seed
    guide = None
    if isinstance(settings, LatentSwapSettings) and settings.method.guide:
        guide = classifier("guide", settings.classifier, seed + 1)
        if settings.network.pool_units:
            check_guide_fits(guide, settings)
    method = build_method(settings, data, guide, initial)
    # An attack is for the gradient, which only a guide gives; without, learning is quicker and more often right.
    judge = classifier("health", settings.classifier.model_copy(update={"attack": 0.0}), seed + 2)
    return method, Health(data, pairs, Judge(torch_features(judge), data.columns), identity)


@dataclass(frozen=True)
class Estimate:
    parameters: dict[str, int]
    memory_mib: float
    """Weights, gradients, optimizer state, average and what a step holds for its backward passes."""
    seconds_per_step: float
    steps: int


@dataclass(frozen=True)
class Rehearsal:
    """A new run, and random pictures and labels to take steps on."""

    settings: Settings
    method: Method
    run: Run
    x: Tensor
    labels: Tensor

    def step(self, number: int, times: int = 1) -> None:
        """Step `number` of a run, so many times; a GPU may still be at it then."""
        for _ in range(times):
            self.run.images_seen = number * self.settings.train.batch
            step(self.run, self.settings, self.method, self.x, self.labels)


def rehearsal(settings: Settings, data: FaceData) -> Rehearsal:
    """Of a run with these settings; where it is guided, by a classifier that knows nothing."""
    guide = AttributeClassifier(len(data.columns), settings.classifier.size, settings.classifier.width)
    guided = isinstance(settings, LatentSwapSettings) and settings.method.guide
    method = build_method(settings, data, guide.eval().requires_grad_(False) if guided else None)
    run = start(settings, method)
    size = settings.network.size
    x = torch.rand(settings.train.batch, 3, size, size, device=run.fabric.device) * 2 - 1
    return Rehearsal(settings, method, run, x, (torch.rand(len(x), len(method.columns), device=x.device) < 0.5).float())


def estimate(settings: Settings, data: FaceData) -> Estimate:
    """What a run takes here, from steps of every kind on random pictures."""
    data.columns_of(settings.layout.columns)
    rehearsed = rehearsal(settings, data)
    run = rehearsed.run
    held, most, seconds = 0, 0, 0.0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal held
        held += tensor.nbytes if not isinstance(tensor, nn.Parameter) else 0
        return tensor

    for number, share in kinds_of_step(rehearsed.method).items():
        held = 0
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            rehearsed.step(number)
        most = max(most, held)
        if run.graphs is not None:
            rehearsed.step(number, WARM_UP)
        began = _now(run)
        rehearsed.step(number, 2)
        seconds += share * (_now(run) - began) / 2
    counts = parameter_counts({name: run.networks[name].module for name in run.optimizers})
    weights = sum(counts.values()) * 4
    return Estimate(
        parameters=counts,
        memory_mib=(5 * weights + most) / 2**20,
        seconds_per_step=seconds,
        steps=settings.train.images // settings.train.batch,
    )


def _now(run: Run) -> float:
    """Seconds, once a GPU has done what it was given."""
    if run.fabric.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def kinds_of_step(method: Method) -> dict[int, float]:
    """The number of one step for each set of terms that are due together, and the share of steps that are like it."""
    period = math.lcm(*(p.period for p in method.phases), *(t.interval for p in method.phases for t in p.terms))
    kinds: dict[Any, list[int]] = {}
    for number in range(period):
        kinds.setdefault(tuple(tuple(phase.weights(number)) for phase in method.phases), []).append(number)
    return {numbers[0]: len(numbers) / period for numbers in kinds.values()}


def parameter_counts(networks: Mapping[str, nn.Module]) -> dict[str, int]:
    """Trainable parameters by network; the generator's parts apart."""
    counts: dict[str, int] = {}
    for name, network in networks.items():
        parts = dict(network.named_children()) if isinstance(network, TransferNetwork) else {name: network}
        counts |= {part: sum(p.numel() for p in module.parameters()) for part, module in parts.items()}
    return counts
