"""How a training step is put together: which losses of what, of which faces with which labels, weighed how."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from traitswap import losses
from traitswap.config import load_settings
from traitswap.data.pairs import images_at
from traitswap.errors import TraitswapError
from traitswap.images import to_network, to_pixels
from traitswap.methods.base import Phase, Term, gradient_between
from traitswap.methods.latent_swap import LatentSwap
from traitswap.networks.autoencoder import Generator
from traitswap.networks.transfer import partner
from traitswap.networks.weights import load_codec
from traitswap.training import classifier, loop
from traitswap.training.averaging import average_into, recompute_statistics
from traitswap.training.feed import Feed
from traitswap.training.setup import build_method

from .conftest import SMALL, guide_for, small_settings

CPU = torch.device("cpu")


@pytest.fixture(scope="session", params=["tiny", "paper", "stargan-lite"])
def settings(request):
    return small_settings(request.param)


def begun(settings, faces):
    """A method, its run, and what a step shares."""
    guided = settings.preset == "tiny"
    method = build_method(settings, faces, guide_for(faces) if guided else None)
    run = loop.start(settings, method)
    torch.manual_seed(5)
    x = torch.rand(8, 3, settings.network.size, settings.network.size) * 2 - 1
    labels = (torch.rand(8, len(method.columns)) < 0.5).float()
    return method, run, method.prepare(run.networks, x, labels, 0, ["D", "G"])


def labels_of(shared):
    return shared.y_real if hasattr(shared, "y_real") else shared.y_org


class Judge(nn.Module):
    """Scores the first half of what it sees 0.5, the second −0.25, and knows the labels of the first alone."""

    def __init__(self, labels):
        super().__init__()
        self.labels = labels

    def forward(self, faces, shown=None):
        scores = torch.tensor([0.5, -0.25]).repeat_interleave(len(faces) // 2)
        logits = 18 * self.labels - 9
        return scores[:, None, None, None], torch.cat([logits, -logits])


def test_the_discriminator_learns_real_from_fake_and_the_labels_of_the_real(settings, faces):
    method, _, shared = begun(settings, faces)
    found = method.losses("D", ["adv", "cls"], {"discriminator": Judge(labels_of(shared))}, shared)
    wasserstein = settings.method.name == "stargan"
    assert found["adv"].item() == pytest.approx(-0.75 if wasserstein else (1 - 0.5) + (1 - 0.25))
    assert found["cls"] < 0.01


def test_the_generator_is_to_return_to_the_photo(settings, faces):
    method, run, shared = begun(settings, faces)
    if settings.method.name == "stargan":
        asked = []

        def generator(faces, labels):
            asked.append((faces, labels))
            return shared.x_real

        networks = {**run.networks, "generator": generator}
        assert method.losses("G", ["rec"], networks, shared)["rec"] == 0
        assert torch.equal(asked[0][0], shared.x_fake)
        assert torch.equal(asked[0][1], shared.y_org)
        return
    returned = shared.result._replace(x_rec=shared.x_real, x_fake=-shared.x_real)
    assert method.losses("G", ["rec"], run.networks, shared._replace(result=returned))["rec"] == 0


def test_the_synthesized_faces_learn_from_every_loss_of_theirs(settings, faces):
    method, run, shared = begun(settings, faces)
    fake = shared.x_fake if settings.method.name == "stargan" else shared.result.x_fake
    found = method.losses("G", ["adv", "cls"], run.networks, shared)
    for name in ("adv", "cls"):
        (gradient,) = torch.autograd.grad(found[name], fake, retain_graph=True)
        assert gradient.abs().sum() > 0, name


class Parting(nn.Module):
    """An encoder whose embedding is the face, of which two channels are units."""

    def apart(self, x):
        return x[:, :2], x[:, 2:]


class Joining(nn.Module):
    """Its decoder."""

    def forward(self, units, rest, photo, own):
        return torch.cat([units, rest], 1)


def test_units_are_exchanged_and_exchanged_back():
    sizes = [
        "network.unit_channels=1",
        "network.rest_channels=1",
        "network.pool_units=false",
        "network.unit_logits=false",
    ]
    settings = load_settings("tiny", [*SMALL, *sizes])
    generator = Generator(settings.network, settings.layout)
    generator.encoder, generator.decoder = Parting(), Joining()
    for i, layer in enumerate(generator.verification.layers, 1):
        nn.init.constant_(layer.weight, i)
        nn.init.zeros_(layer.bias)
    torch.manual_seed(0)
    x = torch.randn(4, 3, 8, 8)
    for chosen in ([False, False], [True, False], [False, True], [True, True]):
        swapped = torch.tensor([chosen, [True, False]]).repeat(2, 1)
        given = generator(x, swapped)
        expected = x.clone()
        expected[:, :2] = torch.where(swapped[:, :, None, None], partner(x)[:, :2], x[:, :2])
        assert torch.equal(given.x_fake, expected)
        assert torch.equal(given.x_rec, x)
        # The units of an image and of what became of it, and of its partner's.
        assert (given.same == 0).all()
        apart = (x - partner(x))[:, :2].abs().mean((2, 3))
        torch.testing.assert_close(given.other, apart * torch.tensor([1.0, 2.0]))


def test_the_gradient_penalty_teaches():
    weight = torch.tensor(2.0, requires_grad=True)
    ones = torch.ones(4, 3, 2, 2)
    gradient_between(lambda x: weight * x.square().sum((1, 2, 3)), ones, 0 * ones).square().sum().backward()
    assert weight.grad > 0


@pytest.mark.parametrize("r1", [True, False])
def test_r1_is_taken_at_real_faces(faces, r1):
    settings = load_settings("tiny", [*SMALL, f"method.r1={json.dumps(r1)}"])
    method, _, shared = begun(settings, faces)

    def discriminator(x, shown=None):
        # Its gradient is the face itself.
        return x.square().sum((1, 2, 3), keepdim=True) / 2, torch.zeros(len(x), len(method.columns))

    shared = shared._replace(result=shared.result._replace(x_fake=torch.zeros_like(shared.x_real)))
    found = method.losses("D", ["adv", "cls", "gp"], {"discriminator": discriminator}, shared)["gp"]
    assert torch.isclose(found, losses.r1(shared.x_real)) == r1


def test_related_columns_are_free_where_their_attribute_is_swapped(faces):
    settings = small_settings("tiny")
    free = next(i for i, column in enumerate(faces.columns) if column not in settings.layout.columns)
    related = torch.zeros(2, len(faces.columns), dtype=torch.bool)
    related[1, free] = True
    method = LatentSwap(settings, faces.columns, related, guide_for(faces))
    torch.manual_seed(0)
    x, labels = torch.rand(32, 3, 32, 32), (torch.rand(32, len(faces.columns)) < 0.5).float()
    shared = method.prepare(loop.start(settings, method).networks, x, labels, 0, ["D"])
    smile = shared.moved[:, faces.columns.index("Smiling")]
    assert smile.any()
    assert not smile.all()
    assert torch.equal(shared.column_weights[:, free], (~smile).float())


def test_losses_count_as_often_and_as_much_as_they_weigh(faces):
    settings = small_settings("stargan-lite")
    method = build_method(settings, faces, None)
    run = loop.start(settings, method)
    parameter = next(run.networks["generator"].parameters())
    method.phases = (Phase("G", "generator", (Term("a", 2.0), Term("unused", 0.0), Term("rare", 3.0, interval=2))),)
    method.prepare = lambda *shared: None
    method.losses = lambda *due: dict.fromkeys(("a", "unused", "rare"), parameter.sum())
    for expected in (2 + 2 * 3, 2):
        loop.step(run, settings, method, torch.zeros(4, 3, 32, 32), torch.zeros(4, 4))
        assert (parameter.grad == expected).all()


def test_the_rate_of_a_step_is_the_schedules(faces):
    settings = small_settings("stargan-lite")
    train = settings.train.model_copy(update={"images": 400, "lr_decay": 0.5})
    settings = settings.model_copy(update={"train": train})
    method, run, shared = begun(settings, faces)
    run.images_seen = 300
    loop.step(run, settings, method, shared.x_real, labels_of(shared))
    [group] = run.optimizers["discriminator"].param_groups
    assert group["lr"] == train.lr / 2
    assert group["betas"] == train.betas


def test_the_average_follows_with_its_half_life():
    average, model = nn.Linear(2, 2), nn.Linear(2, 2)
    for images_seen, batch, half_life, expected in ((10**6, 100, 100, 0.5), (100, 10, 10**6, 1 - 0.5 ** (10 / 15))):
        for network, value in ((average, 0.0), (model, 1.0)):
            for parameter in network.parameters():
                nn.init.constant_(parameter, value)
        average_into(average, model, images_seen, batch, half_life)
        assert average.weight.mean().item() == pytest.approx(expected)


def shuffled(faces):
    """The same faces, of which any may be held out."""
    return replace(faces, partition=np.random.default_rng(0).permutation(faces.partition))


def test_training_faces_come_with_their_own_labels(settings, faces, monkeypatch):
    data = shuffled(faces)
    method = build_method(settings, data, guide_for(faces) if settings.preset == "tiny" else None)
    feed = Feed(data, method.columns, CPU)
    pick = np.arange(len(feed))[::-7].copy()
    chosen = np.flatnonzero(data.partition == 0)[pick]
    pixels = data.images[chosen].transpose(0, 3, 1, 2).astype(np.float32)
    np.testing.assert_allclose(feed.faces(pick), to_network(pixels), atol=1e-6)
    assert (feed.labels_of(pick).numpy() == data.columns_of(method.columns)[chosen]).all()

    seen = []
    monkeypatch.setattr(loop, "step", lambda run, settings, method, x, labels: seen.append((x, labels)))
    settings = settings.model_copy(update={"train": settings.train.model_copy(update={"flip": False})})
    loop.next_step(loop.start(settings, method), settings, method, feed)
    [(x, labels)] = seen
    for face, label in zip(to_pixels(x.numpy()).transpose(0, 2, 3, 1), labels.numpy(), strict=True):
        [index] = np.flatnonzero((data.images == face).all((1, 2, 3)))
        assert data.partition[index] == 0
        assert (data.columns_of(method.columns)[index] == label).all()


def test_a_classifier_learns_training_faces_with_their_own_labels(faces, monkeypatch):
    data, picks, targets = shuffled(faces), [], []
    real_faces, real_loss = classifier.faces_tensor, torch.nn.functional.binary_cross_entropy_with_logits
    monkeypatch.setattr(classifier, "faces_tensor", lambda d, pick: picks.append(pick) or real_faces(d, pick))
    monkeypatch.setattr(
        classifier.F, "binary_cross_entropy_with_logits", lambda x, y: targets.append(y) or real_loss(x, y)
    )
    settings = small_settings("tiny").classifier
    classifier.train_classifier(data, settings.model_copy(update={"images": 3 * settings.batch, "attack": 0.0}), 0)
    assert len(picks) == 3
    for pick, target in zip(picks, targets, strict=True):
        assert (data.partition[pick] == 0).all()
        assert (target.numpy() == data.labels[pick]).all()


def test_faces_are_flipped_left_to_right_or_not_at_all(settings):
    x = torch.arange(3 * 16.0).view(1, 3, 4, 4).repeat(64, 1, 1, 1)
    train = settings.train.model_copy(update={"flip": True})
    given = loop.batch_of(settings.model_copy(update={"train": train}), x, 0, 2)
    flipped = (given == x.flip(3)).all(3).all(2).all(1)
    assert (flipped | (given == x).all(3).all(2).all(1)).all()
    assert 16 < flipped.sum() < 48


def test_nothing_random_comes_twice():
    assert len({loop.step_seed(*at) for at in ((0, 0), (0, 16), (1, 0), (1, 16), (0, -1))}) == 5
    first, second = images_at(10, 4, 0, 10), images_at(10, 4, 10, 10)
    assert sorted(first) == sorted(second) == list(range(10))
    assert (first != second).any()


def test_what_is_not_finite_is_not_saved(settings, faces, tmp_path):
    _, run, _ = begun(settings, faces)
    loop.save(run, tmp_path)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    next(run.networks["discriminator"].parameters()).data[0] = float("nan")
    run.images_seen += 8
    with pytest.raises(TraitswapError, match="not finite"):
        loop.save(run, tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_saved_weights_have_the_statistics_of_use(settings, faces, whole):
    codec, _ = load_codec(whole / "weights")
    generator = codec.generator
    before = {name: buffer.clone() for name, buffer in generator.named_buffers() if "running" in name}
    if settings.method.name != "stargan":
        assert any(buffer.abs().sum() > 0 for name, buffer in before.items() if "mean" in name)
    columns = build_method(settings, faces, guide_for(faces) if settings.preset == "tiny" else None).columns
    recompute_statistics(generator, loop.statistics_batches(settings, Feed(faces, columns, CPU)))
    for name, buffer in generator.named_buffers():
        if name in before:
            torch.testing.assert_close(buffer, before[name], rtol=1e-3, atol=1e-4)


def test_only_the_papers_discriminator_is_normalized_spectrally(settings, faces):
    method = build_method(settings, faces, guide_for(faces) if settings.preset == "tiny" else None)
    first = method.networks()["discriminator"].trunk[0]
    assert is_parametrized(first) == getattr(settings.network, "spectral_norm", False)
    assert is_parametrized(first) == (settings.preset == "paper")


def test_the_watching_classifier_is_another_than_the_guide(settings, whole):
    if settings.preset != "tiny":
        pytest.skip("a method without a guide")
    seeds = [json.loads((whole / name / "config.json").read_text())["seed"] for name in ("guide", "health")]
    assert seeds[0] != seeds[1]
