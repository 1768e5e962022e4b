"""Trains attribute classifiers: those that guide a generator, watch it, or judge it."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from traitswap.config import ClassifierSettings
from traitswap.data.cache import FaceData
from traitswap.images import to_network
from traitswap.networks.classifier import AttributeClassifier, augment, averaged_to, draw_augmentation

_ATTACK_STEPS = 2


def train_classifier(
    data: FaceData,
    settings: ClassifierSettings,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> AttributeClassifier:
    """A classifier of all label columns of `data`, trained on its train split and frozen.

    Faces are flipped, moved, scaled and brightened at random. `progress` is told images seen and in all. Same data,
    settings and seed: same weights (on one processor).
    """
    random = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AttributeClassifier(len(data.columns), settings.size, settings.width)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    train = data.split("train")
    steps = max(settings.images // settings.batch, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.lr, total_steps=steps)
    for step in range(steps):
        pick = np.sort(train[torch.randint(len(train), (settings.batch,), generator=random).numpy()])
        x = faces_tensor(data, pick)
        y = torch.from_numpy(data.labels[pick]).float()
        flip = torch.rand(len(x), generator=random) < 0.5
        x = torch.where(flip[:, None, None, None], x.flip(3), x)
        x = augment(
            averaged_to(x, settings.size),
            draw_augmentation(len(x), settings.size, settings.noise_grains, x.device, random),
        )
        if settings.attack:
            x = attacked(model, x, y, settings.attack, random)
        logits = model(x)
        loss = F.binary_cross_entropy_with_logits(logits, y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if progress:
            progress((step + 1) * settings.batch, steps * settings.batch)
    model.eval().requires_grad_(False)
    return model


def attacked(
    model: AttributeClassifier, x: torch.Tensor, y: torch.Tensor, radius: float, random: torch.Generator
) -> torch.Tensor:
    """Faces within an L2 distance of `radius` of `x` of which the model says less of `y` (Madry et al., 2018).

    Two steps up the gradient of the loss of a random quarter of each face's columns: an attack on all at once
    would leave most of them to others.
    """
    aim = (torch.rand(y.shape, generator=random) < 0.25).float()
    moved = unit_length(torch.randn(x.shape, generator=random)) * (radius / 2)
    for _ in range(_ATTACK_STEPS):
        moved.requires_grad_()
        loss = F.binary_cross_entropy_with_logits(model(x + moved), y, weight=aim, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, moved)
        moved = moved.detach() + unit_length(gradient) * (radius * 0.75)
        length = moved.flatten(1).norm(dim=1)[:, None, None, None]
        moved = moved * (radius / length.clamp(min=radius))
    return x + moved


def unit_length(x: torch.Tensor) -> torch.Tensor:
    """Each of N items brought to an L2 norm of 1."""
    return F.normalize(x.flatten(1), dim=1).view(x.shape)


def faces_tensor(data: FaceData, indices: NDArray[np.int64], device: torch.device | str = "cpu") -> torch.Tensor:
    """The faces at `indices` as N × 3 × S × S float32 in −1 … 1, channels last."""
    pixels = torch.from_numpy(data.images[indices]).to(device)
    x: torch.Tensor = to_network(pixels.permute(0, 3, 1, 2).float())
    return x.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def classifier_accuracy(model: AttributeClassifier, data: FaceData, indices: np.ndarray) -> dict[str, float]:
    """Share of the faces at `indices` on which each column's prediction is right."""
    right = np.zeros(len(data.columns))
    for chunk in np.array_split(indices, max(len(indices) // 256, 1)):
        right += ((model(faces_tensor(data, chunk)) > 0).numpy() == (data.labels[chunk] > 0)).sum(0)
    return dict(zip(data.columns, (right / len(indices)).tolist(), strict=True))
