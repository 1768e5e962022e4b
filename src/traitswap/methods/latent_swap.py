"""The paper's method: latent units exchanged between two images, and the options that go beyond it."""

import hashlib
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from traitswap import losses, ranks
from traitswap.attributes import Layout
from traitswap.config import LatentSwapSettings
from traitswap.methods.base import Phase, Term, draw_any, gradient_between
from traitswap.networks.autoencoder import Generator, GeneratorPass
from traitswap.networks.classifier import AttributeClassifier, Augmentation, draw_augmentation
from traitswap.networks.discriminator import Discriminator
from traitswap.networks.transfer import partner


class SwapStep(NamedTuple):
    x_real: Tensor
    y_real: Tensor
    y_target: Tensor
    """ỹ: the labels that the synthesized images are to show, N × columns."""
    moved: Tensor
    """Columns whose labels come from the partner, N × columns, bool."""
    column_weights: Tensor
    untouched: Tensor
    """Images with nothing swapped, N, bool."""
    result: GeneratorPass


class _Columns(NamedTuple):
    """What is known of the label columns."""

    owner: Tensor
    """Of each the position of its attribute, −1 where it belongs to none."""
    shown: Tensor
    """Positions of those that belong to one."""
    of_guide: Tensor
    """Of each its position among the guide's."""
    related: Tensor
    """k × columns, bool."""
    weights: Tensor
    """2 × columns: of each where it is swapped, in the generator's classification loss, early and later."""


class LatentSwap:
    """Eq. 1–7, with the settings of `settings.method`.

    `columns` are the label columns of the data. `related` (k × columns, bool) marks, for each attribute, the columns
    that move with it in real faces and so are free when it is swapped. `guide` classifies all of `columns`. `initial`
    is what the generator begins as, in place of random weights.
    """

    groups = 2

    def __init__(
        self,
        settings: LatentSwapSettings,
        columns: tuple[str, ...],
        related: Tensor | None = None,
        guide: AttributeClassifier | None = None,
        initial: Generator | None = None,
    ) -> None:
        m = settings.method
        self.settings = settings
        self.layout = settings.layout
        self.columns = columns if m.keep_labels else self.layout.columns
        self.owner = column_owner(self.layout, self.columns)
        if related is None or not m.keep_labels:
            related = torch.zeros(len(self.layout.attributes), len(self.columns), dtype=torch.bool)
        self.guide = guide
        self.initial = initial
        # A guide knows the columns of the data, in their order.
        self.guide_columns = [columns.index(c) for c in self.columns]
        sharing = (self.owner[:, None] == self.owner).sum(1)
        self._columns = {
            torch.device("cpu"): _Columns(
                owner=self.owner,
                shown=torch.nonzero(self.owner >= 0)[:, 0],
                of_guide=torch.tensor(self.guide_columns),
                related=related,
                weights=torch.stack([m.early_weight / sharing, torch.full((len(self.columns),), m.swapped_weight)]),
            )
        }
        self.phases = (
            Phase(
                "D",
                "discriminator",
                (Term("adv", m.lambda_adv), Term("cls", m.lambda_cls_d), Term("gp", m.lambda_gp, m.gp_interval)),
            ),
            Phase(
                "G",
                "generator",
                (
                    Term("adv", m.lambda_adv),
                    Term("cls", m.lambda_cls),
                    Term("ver", m.lambda_ver),
                    Term("rec", m.lambda_rec),
                    Term("self", m.lambda_self),
                    Term("change", m.lambda_change),
                ),
            ),
        )

    @property
    def fingerprint(self) -> str:
        """Of the weights of the guide, and of those that the generator begins as."""
        # Of a generator, what it begins as: weights folders have no verification layers.
        given: list[nn.Module] = [self.guide] if self.guide is not None else []
        given += self.initial.parts().values() if self.initial is not None else []
        arrays = [p.detach().cpu().numpy().tobytes() for network in given for p in network.state_dict().values()]
        return hashlib.sha256(b"".join(arrays)).hexdigest() if arrays else ""

    def networks(self) -> dict[str, nn.Module]:
        network = self.settings.network
        generator = Generator(network, self.layout, self.settings.method.verify_averaged)
        if self.guide is not None and generator.encoder.units is not None:
            generator.encoder.units.start_from(self.guide, self._columns_of_units() if network.unit_logits else {})
        if self.initial is not None:
            generator.start_from(self.initial)
        guide = self.guide.folded() if self.guide is not None else None
        discriminator = Discriminator(
            network.size,
            network.discriminator_widths,
            network.discriminator_leak,
            len(self.columns),
            spectral=network.spectral_norm,
            maps=network.score_maps,
            conditions=len(self.layout.columns) if network.conditional_scores else 0,
            guide=guide if network.guide_scores else None,
        )
        if not network.spectral_norm:
            # Nothing keeps the scale from layer to layer then but the initialization (He et al., 2015).
            for layer in discriminator.trunk:
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight, network.discriminator_leak)
        networks: dict[str, nn.Module] = {"generator": generator, "discriminator": discriminator}
        return networks if guide is None else {**networks, "guide": guide}

    def _columns_of_units(self) -> dict[int, int]:
        """The first channels of each unit, and for each the guide's column that it begins as."""
        width = self.layout.unit_channels
        return {
            i * width + j: self.guide_columns[self.columns.index(column)]
            for i, attribute in enumerate(self.layout.attributes)
            for j, column in enumerate(attribute.columns[:width])
        }

    def _at(self, device: torch.device) -> _Columns:
        """Copied there once: a copy from the host would wait for a GPU."""
        if device not in self._columns:
            self._columns[device] = _Columns(*(t.to(device) for t in self._columns[torch.device("cpu")]))
        return self._columns[device]

    def draw(self, labels: NDArray[Any], seed: int, images_seen: int, count: int) -> NDArray[np.int64]:
        picks = draw_any(labels, seed, images_seen, count)
        if self.settings.method.balanced:
            columns = labels[:, self._at(torch.device("cpu")).shown.numpy()]
            rarity = self.settings.method.rarity
            picks[count // 2 :] = shown_alike(columns, seed, images_seen, count - count // 2, rarity)
        return picks

    def stage(self, images_seen: int) -> int:
        return int(images_seen >= self.settings.method.early_images)

    def prepare(
        self, networks: Mapping[str, Any], x: Tensor, labels: Tensor, images_seen: int, updates: Collection[str]
    ) -> SwapStep:
        columns = self._at(x.device)
        swapped = choose_swaps(differing(labels, partner(labels), columns.owner, len(self.layout.attributes)))
        moved = columns_moved(swapped, columns.owner)
        free = (swapped.float() @ columns.related.float() > 0) & ~moved
        weights = columns.weights[self.stage(images_seen)]
        return SwapStep(
            x_real=x,
            y_real=labels,
            y_target=torch.where(moved, partner(labels), labels),
            moved=moved,
            column_weights=torch.where(moved, weights, torch.ones_like(weights)).masked_fill(free, 0.0),
            untouched=~swapped.any(1),
            result=networks["generator"](x, swapped),
        )

    def losses(
        self, phase: str, due: Collection[str], networks: Mapping[str, Any], shared: SwapStep
    ) -> dict[str, Tensor]:
        if phase == "D":
            return self._discriminator_losses(due, networks["discriminator"], shared)
        return self._generator_losses(due, networks["discriminator"], networks.get("guide"), shared)

    def _discriminator_losses(self, due: Collection[str], discriminator: Any, s: SwapStep) -> dict[str, Tensor]:
        x_fake = s.result.x_fake.detach()
        shown = self._shown(s.y_real)
        scores, logits = discriminator(torch.cat([s.x_real, x_fake]), self._shown(torch.cat([s.y_real, s.y_target])))
        scores_real, scores_fake = scores.chunk(2)
        parts = {
            "adv": losses.adversarial_discriminator(scores_real, scores_fake),
            "cls": losses.classification(logits[: len(s.x_real)], s.y_real),
        }
        if "gp" in due:
            # D_adv(x̂) of a whole picture is the mean of its map, as in the other terms.
            # R1 is taken at real faces: between such a face and itself.
            at = s.x_real if self.settings.method.r1 else x_fake
            gradient = gradient_between(lambda x: discriminator(x, shown)[0].mean((1, 2, 3)), s.x_real, at)
            parts["gp"] = (losses.r1 if self.settings.method.r1 else losses.gradient_penalty)(gradient)
        return parts

    def _shown(self, labels: Tensor) -> Tensor | None:
        """Those of N × columns labels that the discriminator's scores depend on, if they do."""
        shown = self._at(labels.device).shown
        return labels.index_select(1, shown) if self.settings.network.conditional_scores else None

    def _generator_losses(self, due: Collection[str], discriminator: Any, guide: Any, s: SwapStep) -> dict[str, Tensor]:
        result = s.result
        scores, logits = discriminator(result.x_fake, self._shown(s.y_target))
        target = s.y_target
        if guide is not None:
            logits, target = self._guided(guide, s)
        parts = {
            "adv": losses.adversarial_generator(scores),
            "cls": losses.classification(logits, target, s.column_weights),
            "ver": losses.verification(result.same, result.other),
            "rec": losses.cycle_consistency(s.x_real, result.x_rec),
        }
        changes = losses.distances(s.x_real, result.x_fake)
        if "self" in due:
            # The mean is over the whole batch's untouched images, of which other processes may have more.
            share = s.untouched.sum().clamp(min=1) / ranks.mean(s.untouched.sum().float()).clamp(min=1 / ranks.count())
            parts["self"] = share * losses.self_reconstruction(changes, s.untouched)
        if "change" in due:
            parts["change"] = changes.mean()
        return parts

    def _guided(self, guide: Any, s: SwapStep) -> tuple[Tensor, Tensor]:
        """The guide's logits of x̃ and what they should be, N × columns. All are looked at through one augmentation."""
        grains = self.settings.classifier.noise_grains
        drawn = draw_augmentation(len(s.x_real) * ranks.count(), self.settings.classifier.size, grains, s.x_real.device)
        augmentation = Augmentation(*map(ranks.own, drawn))
        of_guide = self._at(s.x_real.device).of_guide
        logits = guide(s.result.x_fake, augmentation).index_select(1, of_guide)
        if not self.settings.method.soft_targets:
            return logits, s.y_target
        with torch.no_grad():
            seen = guide(s.x_real, augmentation).index_select(1, of_guide)
            target = torch.where(s.moved, partner(seen) * self.settings.method.target_sharpness, seen).sigmoid()
        return logits, target


def column_owner(layout: Layout, columns: tuple[str, ...]) -> Tensor:
    """For each of `columns` the position of its attribute, −1 where it belongs to none."""
    owner = dict(zip(layout.columns, layout.column_attribute(), strict=True))
    return torch.tensor([owner.get(column, -1) for column in columns])


def differing(labels: Tensor, other: Tensor, owner: Tensor, attributes: int) -> Tensor:
    """N of the paper: which attributes' labels differ between two batches (N × columns each) → N × k, bool."""
    of_attribute = owner == torch.arange(attributes, device=owner.device)[:, None]
    return ((labels != other)[:, None] & of_attribute).any(2)


def choose_swaps(differs: Tensor) -> Tensor:
    """S of each pair, for both its images: A ∪ N or A, with equal probability; A a random subset of P.

    `differs` is N for a batch whose second half is the first half's partners (2n × k); so is the result.
    """
    half = differs[: len(differs) // 2]
    random = ranks.rand(len(half), half.shape[1] + 1, device=half.device, groups=1) < 0.5
    swapped = torch.where(half, random[:, :1], random[:, 1:])
    return torch.cat([swapped, swapped])


def shown_alike(labels: NDArray[Any], seed: int, position: int, count: int, rarity: float = 0.0) -> NDArray[np.int64]:
    """`count` faces that each show one of the columns (`labels`: M × columns, 0 or 1), every column as likely, or
    more so by how few faces show it, to the power of `rarity`.

    A pure function of (seed, position). Columns that no face shows are left out; where all are, any face will do.
    """
    draws = np.random.default_rng([seed, position, labels.shape[1]])
    shown = [faces for column in labels.T if len(faces := np.flatnonzero(column))] or [np.arange(len(labels))]
    weights = np.array([len(faces) ** -rarity for faces in shown])
    columns = (
        draws.choice(len(shown), count, p=weights / weights.sum()) if rarity else draws.integers(len(shown), size=count)
    )
    return np.array([draws.choice(shown[i]) for i in columns], dtype=np.int64)


def columns_moved(swapped: Tensor, owner: Tensor) -> Tensor:
    """The columns (N × columns, bool) whose labels come from the partner when `swapped` (N × k) units do."""
    moved: Tensor = swapped[:, owner.clamp(min=0)] & (owner >= 0)
    return moved


def related_columns(layout: Layout, columns: tuple[str, ...], labels: Tensor, threshold: float) -> Tensor:
    """Columns that go with an attribute, by correlation over `labels` (M × columns): k × columns, bool."""
    z = labels.float() - labels.float().mean(0)
    z = z / z.norm(dim=0).clamp(min=1e-6)
    correlation = (z.T @ z).abs()
    owner = column_owner(layout, columns)
    rows = [correlation[owner == i].amax(0) > threshold for i in range(len(layout.attributes))]
    return torch.stack(rows) & (owner < 0)
