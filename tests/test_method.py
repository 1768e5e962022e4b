import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from traitswap import losses
from traitswap.config import load_settings
from traitswap.errors import TraitswapError
from traitswap.methods.latent_swap import (
    LatentSwap,
    choose_swaps,
    column_owner,
    columns_moved,
    differing,
    related_columns,
    shown_alike,
)
from traitswap.networks.autoencoder import Generator, change_of, warped
from traitswap.networks.blocks import beside
from traitswap.networks.classifier import AttributeClassifier, Augmentation, augment, draw_augmentation
from traitswap.networks.discriminator import Discriminator
from traitswap.networks.transfer import partner
from traitswap.swap import exchange
from traitswap.training.averaging import recompute_statistics
from traitswap.training.classifier import attacked, unit_length
from traitswap.training.loop import start
from traitswap.training.setup import load_initial, parameter_counts

from .conftest import SMALL, guide_for, save_new_weights, small_settings

COLUMNS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Smiling", "Male")


@pytest.fixture(scope="session", params=["tiny", "paper"])
def settings(request):
    """Of our method alone."""
    return small_settings(request.param)


def paper():
    return load_settings("paper")


@given(st.integers(0, 2**32), st.integers(1, 12))
def test_swaps_yield_only_label_combinations_of_the_pair(seed, pairs):
    torch.manual_seed(seed)
    layout = paper().layout
    owner = column_owner(layout, COLUMNS)
    labels = (torch.rand(2 * pairs, len(COLUMNS)) < 0.5).float()
    swapped = choose_swaps(differing(labels, partner(labels), owner, 2))
    target = torch.where(columns_moved(swapped, owner), partner(labels), labels)
    assert (swapped[:pairs] == swapped[pairs:]).all(), "both of a pair exchange the same units"
    ours = owner >= 0
    stays = (target == labels)[:, ours].all(1)
    crosses = (target == partner(labels))[:, ours].all(1)
    assert (stays | crosses).all()
    assert (target[:, ~ours] == labels[:, ~ours]).all()


def test_both_strategies_and_all_subsets_occur_equally_often():
    torch.manual_seed(0)
    differs = torch.tensor([[True, False]]).repeat(8000, 1)
    counts = torch.unique(choose_swaps(differs)[:4000], dim=0, return_counts=True)[1]
    assert len(counts) == 4
    assert (counts / 4000 - 0.25).abs().max() < 0.03


def test_attributes_that_differ_together_move_together():
    torch.manual_seed(0)
    swapped = choose_swaps(torch.ones(400, 3, dtype=torch.bool))
    assert (swapped == swapped[:, :1]).all()


def test_related_columns_are_found_by_correlation():
    torch.manual_seed(0)
    smiling, male = torch.rand(500) < 0.5, torch.rand(500) < 0.5
    hair = torch.nn.functional.one_hot(torch.randint(0, 3, (500,)), 3)
    mouth_open = smiling ^ (torch.rand(500) < 0.1)
    labels = torch.cat([hair, torch.stack([smiling, male, mouth_open], 1)], 1)
    related = related_columns(paper().layout, (*COLUMNS, "Mouth_Slightly_Open"), labels, 0.4)
    assert related.tolist() == [[False] * 6, [False] * 5 + [True]]


@pytest.fixture
def method(settings, faces):
    guide = guide_for(faces)
    return LatentSwap(settings, faces.columns, None, guide if settings.method.guide else None)


def random_batch(settings, method):
    torch.manual_seed(5)
    x = torch.rand(8, 3, settings.network.size, settings.network.size) * 2 - 1
    return x, (torch.rand(8, len(method.columns)) < 0.5).float()


def test_what_is_kept_and_what_moves_is_weighed_as_set(settings, method):
    run = start(settings, method)
    x, labels = random_batch(settings, method)
    s = method.prepare(run.networks, x, labels, 0, ["D", "G"])
    assert s.moved.any()
    assert (s.column_weights[s.moved] == settings.method.swapped_weight).all()
    assert (s.column_weights[~s.moved] == 1).all()
    assert (s.y_target[~s.moved] == labels[~s.moved]).all()
    assert (s.y_target[s.moved] == partner(labels)[s.moved]).all()
    assert (s.untouched == ~s.moved.any(1)).all()


def test_training_exchanges_what_use_exchanges(settings, method):
    """`Generator.exchanged`, on a batch of pairs, and `swap.exchange`, on the same sets, give the same bits."""
    generator = method.networks()["generator"]
    torch.manual_seed(1)
    embedding = torch.randn(6, settings.layout.channels, 4, 4)
    for names in ([], ["smiling"], ["hair_color"], ["hair_color", "smiling"]):
        swapped = torch.tensor([[name in names for name in settings.layout.names]]).repeat(6, 1)
        first, second = exchange(embedding[:3], embedding[3:], settings.layout, names)
        together = generator.exchanged(embedding, swapped)
        assert torch.equal(together, torch.cat([first, second]))
        assert torch.equal(generator.exchanged(together, swapped), embedding)


def test_a_pooled_unit_says_nothing_of_places(faces):
    settings = load_settings("tiny", SMALL)
    encoder = LatentSwap(settings, faces.columns).networks()["generator"].encoder
    units = encoder(torch.rand(4, 3, 32, 32))[:, : settings.layout.swapped_channels]
    assert torch.equal(units, units[:, :, :1, :1].expand_as(units))


@pytest.mark.parametrize("patch", [1, 2])
@pytest.mark.parametrize("widths", [[8], [8, 12], [8, 12, 16]])
def test_a_new_residual_generator_returns_the_photo(patch, widths):
    settings = load_settings("tiny", (*SMALL, f"network.patch={patch}", f"network.widths={widths}"))
    generator = Generator(settings.network, settings.layout)
    x = torch.rand(4, 3, 32, 32) * 2 - 1
    swapped = torch.ones(4, 2, dtype=torch.bool)
    assert torch.equal(generator(x, swapped).x_fake, x)
    # A warp by nothing interpolates, and rounds.
    ways = {"recolor": True, "warp": True}
    other = Generator(settings.network.model_copy(update=ways), settings.layout)
    assert torch.allclose(other(x, swapped).x_fake, x, atol=1e-5)


def test_a_warp_moves_pixels_by_what_the_flow_says():
    x = torch.rand(2, 3, 32, 32)
    right = torch.zeros(2, 2, 8, 8)
    right[:, 0] = torch.atanh(torch.tensor(2 * 2 / 32 / 0.15))
    assert torch.allclose(warped(x, right)[..., :-2], x[..., 2:], atol=1e-5)
    down = right.flip(1)
    assert torch.allclose(warped(x, down)[..., :-2, :], x[..., 2:, :], atol=1e-5)


def test_a_recoloured_pixel_changes_by_a_matrix_of_its_colour():
    x = torch.rand(2, 3, 4, 4) * 2 - 1
    h = torch.randn(2, 12, 4, 4)
    change = change_of(x, h)
    matrix = h[1, 3:, 2, 3].view(3, 3).T
    assert torch.allclose(change[1, :, 2, 3], h[1, :3, 2, 3] + matrix @ (x[1, :, 2, 3] + 1), atol=1e-5)
    assert torch.equal(change_of(x, h[:, :3]), h[:, :3])


def test_the_gradient_of_a_recoloured_face_is_that_of_its_formula():
    torch.manual_seed(0)
    x = torch.rand(2, 3, 4, 4, dtype=torch.double, requires_grad=True)
    h = torch.randn(2, 12, 4, 4, dtype=torch.double, requires_grad=True)
    added, *factors = h.chunk(4, 1)
    change = added + sum(f * c for f, c in zip(factors, (x + 1).split(1, 1), strict=True))
    expected = torch.autograd.grad(change.square().sum(), (x, h))
    # In float32, as networks are.
    got = torch.autograd.grad(change_of(x.float(), h.float()).square().sum(), (x, h))
    for ours, theirs in zip(got, expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("layouts", [(True, False), (False, False), (True, True)])
def test_channels_beside_each_other_keep_their_values_and_gradients(layouts):
    torch.manual_seed(0)
    formats = [torch.channels_last if last else torch.contiguous_format for last in layouts]
    parts = [torch.randn(2, 3, 4, 4).contiguous(memory_format=f).requires_grad_() for f in formats]
    whole = beside(*parts)
    assert torch.equal(whole, torch.cat(parts, 1))
    assert whole.is_contiguous(memory_format=torch.channels_last if any(layouts) else torch.contiguous_format)
    seen: list[torch.Tensor] = []
    parts[0].register_hook(seen.append)
    weights = torch.randn_like(whole)
    (whole * weights).sum().backward()
    for part, weight in zip(parts, weights.split(3, 1), strict=True):
        assert torch.equal(part.grad, weight)
    if any(layouts):
        assert seen[0].is_contiguous(memory_format=formats[0])


@pytest.mark.parametrize("size", [16, 32, 48, 64])
def test_patches_are_averaged_as_pixels_are(size):
    sizes = (f"network.size={size}", "network.patch=2", "network.unit_size=16", "classifier.size=16")
    settings = load_settings("tiny", (*SMALL, *sizes))
    encoder = Generator(settings.network, settings.layout).eval().encoder
    x = torch.rand(2, 3, size, size) * 2 - 1
    assert torch.allclose(encoder.apart(x)[0][:, :, 0, 0], encoder.units(x), atol=1e-6)


def test_a_folded_classifier_answers_as_before():
    torch.manual_seed(0)
    classifier = AttributeClassifier(4, 16, 2)
    for layer in classifier.trunk:
        if isinstance(layer, torch.nn.BatchNorm2d):
            for numbers in (layer.weight, layer.bias, layer.running_mean):
                torch.nn.init.normal_(numbers)
            torch.nn.init.uniform_(layer.running_var, 0.5, 2)
    classifier.eval()
    folded = classifier.folded()
    x = torch.rand(3, 3, 32, 32) * 2 - 1
    assert torch.allclose(folded(x), classifier(x), atol=1e-4)
    for ours, theirs in zip(folded.features(x), classifier.features(x), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4)
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in folded.modules())
    assert any(isinstance(layer, torch.nn.BatchNorm2d) for layer in classifier.modules())


def test_a_residual_decoder_is_told_what_changes():
    settings = small_settings("tiny")
    generator = Generator(settings.network, settings.layout).eval()
    torch.nn.init.normal_(generator.decoder.head.weight)
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    e = generator.encode(x)
    far = generator.decode(e, x, generator.units(e) + 1)
    assert torch.equal(generator.decode(e, x), generator.decode(e, x, generator.units(e)))
    assert not torch.allclose(far, generator.decode(e, x))


def test_an_augmentation_of_nothing_changes_nothing():
    x = torch.rand(3, 3, 16, 16) * 2 - 1
    still = Augmentation(torch.zeros(3, 5), torch.zeros_like(x))
    assert torch.allclose(augment(x, still), x, atol=1e-5)
    drawn = draw_augmentation(64, 16, (1,), torch.device("cpu"), torch.Generator().manual_seed(0))
    deviations = drawn.noise.std((1, 2, 3))
    assert deviations.max() < 0.21
    assert deviations.min() < 0.02 < deviations.mean()
    coarse = draw_augmentation(64, 16, (4,), torch.device("cpu"), torch.Generator().manual_seed(0)).noise
    assert (coarse.diff(dim=3).std() / coarse.std()) < 0.6 * (drawn.noise.diff(dim=3).std() / drawn.noise.std())
    noise = torch.rand_like(x)
    assert torch.allclose(augment(x, still._replace(noise=noise)), x + noise, atol=1e-5)


def test_an_attack_stays_within_its_radius_and_hurts_more_than_chance():
    torch.manual_seed(0)
    model = AttributeClassifier(40, 32, 4).eval()
    x, y = torch.rand(8, 3, 32, 32) * 2 - 1, torch.randint(2, (8, 40)).float()
    moved = attacked(model, x, y, 0.5, torch.Generator().manual_seed(1))
    assert ((moved - x).flatten(1).norm(dim=1) <= 0.5 + 1e-5).all()
    chance = x + 0.5 * unit_length(torch.randn_like(x))
    as_it_was, by_chance, attacked_loss = (losses.classification(model(faces), y) for faces in (x, chance, moved))
    assert attacked_loss - as_it_was > 5 * (by_chance - as_it_was).abs()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_early_on_an_attribute_weighs_the_same_however_many_columns_it_has(faces):
    early = ["method.early_images=100", "method.early_weight=15", "method.swapped_weight=8"]
    settings = load_settings("tiny", [*SMALL, *early])
    method = LatentSwap(settings, faces.columns, None, AttributeClassifier(len(faces.columns), 32, 2).eval())
    networks = start(settings, method).networks
    x, labels = random_batch(settings, method)
    for images_seen, weights in ((96, (15 / 3, 15.0)), (104, (8.0, 8.0))):
        s = method.prepare(networks, x, labels, images_seen, ["D", "G"])
        for attribute, weight in zip(range(2), weights, strict=True):
            moved = s.moved[:, method.owner == attribute]
            assert moved.any()
            assert (s.column_weights[:, method.owner == attribute][moved] == weight).all()


def test_units_begin_with_what_the_guide_says_of_their_columns(faces):
    settings = load_settings("tiny", SMALL)
    guide = guide_for(faces)
    encoder = LatentSwap(settings, faces.columns, None, guide).networks()["generator"].encoder.eval()
    x = torch.rand(4, 3, settings.network.size, settings.network.size) * 2 - 1
    width = settings.layout.unit_channels
    for unit, attribute in zip(encoder.units(x).split(width, 1), settings.layout.attributes, strict=True):
        # Here a unit has fewer channels than hair colour has columns.
        logits = guide(x)[:, [faces.columns.index(column) for column in attribute.columns[:width]]]
        torch.testing.assert_close(unit[:, : logits.shape[1]], logits)


def test_soft_targets_are_met_by_a_photo_left_alone(faces):
    """What the guide says of photo and reference is the target: nothing swapped and nothing changed costs nothing."""
    settings = load_settings("tiny", SMALL)
    guide = guide_for(faces)
    method = LatentSwap(settings, faces.columns, None, guide)
    x, labels = random_batch(settings, method)
    s = method.prepare(start(settings, method).networks, x, labels, 0, ["D", "G"])
    s = s._replace(moved=torch.zeros_like(s.moved), result=s.result._replace(x_fake=x))
    logits, target = method._guided(guide, s)
    torch.testing.assert_close(logits.sigmoid(), target)


def test_sharp_targets_ask_for_more_of_the_reference_alone(faces):
    guide = guide_for(faces)
    found = {}
    for sharpness in (1, 3):
        settings = load_settings("tiny", [*SMALL, f"method.target_sharpness={sharpness}"])
        method = LatentSwap(settings, faces.columns, None, guide)
        torch.manual_seed(0)
        networks = start(settings, method).networks
        x, labels = random_batch(settings, method)
        s = method.prepare(networks, x, labels, 0, ["D", "G"])
        torch.manual_seed(1)
        found[sharpness] = method._guided(guide, s)[1].logit()
    assert s.moved.any()
    torch.testing.assert_close(found[3], torch.where(s.moved, 3 * found[1], found[1]))


@given(seed=st.integers(0, 99), position=st.integers(0, 10**6))
def test_second_images_are_drawn_to_show_every_column_alike(seed, position):
    labels = np.random.default_rng(seed).random((400, 3)) < (0.02, 0.3, 0.9)
    labels[0] = True
    picks = shown_alike(labels, seed, position, 64)
    assert labels[picks].any(1).all()
    assert (picks == shown_alike(labels, seed, position, 64)).all()
    assert (picks != shown_alike(labels, seed, position + 64, 64)).any()
    # A third of the draws aims at the rare column; left to chance it would be 1 or 2 of 64.
    assert labels[picks][:, 0].sum() >= 7


def test_the_rarer_a_column_is_the_more_often_it_is_drawn():
    labels = np.zeros((110, 2), dtype=np.uint8)
    labels[:10, 0] = labels[10:, 1] = 1
    rare = {power: (shown_alike(labels, 0, 0, 2000, power) < 10).mean() for power in (0, 1, 2)}
    assert rare[0] == pytest.approx(1 / 2, abs=0.05)
    assert rare[1] == pytest.approx(10 / 11, abs=0.03)
    assert rare[2] == pytest.approx(100 / 101, abs=0.01)


def test_what_no_face_shows_is_not_waited_for():
    labels = np.zeros((5, 2), dtype=np.uint8)
    assert set(shown_alike(labels, 0, 0, 64)) == set(range(5))
    labels[3, 1] = 1
    assert set(shown_alike(labels, 0, 0, 64)) == {3}


def test_a_balanced_batch_leaves_first_images_as_they_come(faces):
    plain, balanced = (
        LatentSwap(load_settings("tiny", [*SMALL, f"method.balanced={json.dumps(on)}"]), faces.columns)
        for on in (False, True)
    )
    labels = np.random.default_rng(0).integers(0, 2, (50, len(plain.columns)))
    a, b = plain.draw(labels, 0, 16, 8), balanced.draw(labels, 0, 16, 8)
    assert (a[:4] == b[:4]).all()
    assert (a[4:] != b[4:]).any()
    assert labels[b[4:]][:, balanced.owner >= 0].any(1).all()


def test_scores_of_several_scales_weigh_alike():
    torch.manual_seed(0)
    one = Discriminator(32, (4, 6, 8), 0.2, 2, spectral=False)
    three = Discriminator(32, (4, 6, 8), 0.2, 2, spectral=False, maps=3)
    for mine, other in ((three.trunk, one.trunk), (three.label, one.label), (three.scores[2], one.scores[0])):
        mine.load_state_dict(other.state_dict())
    x = torch.rand(2, 3, 32, 32)
    (plain, labels), (scores, same) = one(x), three(x)
    assert scores.shape == (2, 3, 16, 16)
    torch.testing.assert_close(same, labels)
    # The last layer's map is what a single one is, enlarged.
    torch.testing.assert_close(scores[:, 2, ::4, ::4], plain[:, 0])
    torch.testing.assert_close(scores[:, 2].mean((1, 2)), plain.mean((1, 2, 3)))
    first = three.scores[0](three.trunk[:2](x))
    torch.testing.assert_close(scores[:, :1], first)


def test_each_label_adds_to_the_score_or_takes_from_it():
    torch.manual_seed(0)
    network = Discriminator(32, (4, 8), 0.2, 2, spectral=False, maps=2, conditions=3)
    x, shown = torch.rand(2, 3, 32, 32), torch.tensor([[0.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    flipped = shown.clone()
    flipped[0, 2] = 1
    (scores, labels), (other, same) = network(x, shown), network(x, flipped)
    torch.testing.assert_close(labels, same)
    torch.testing.assert_close(scores[1], other[1])
    seen = network.scores[0](network.trunk[:2](x))
    torch.testing.assert_close((other - scores)[0, 0], 2 * seen[0, 3])


def test_faces_are_scored_with_the_labels_they_are_to_show(faces):
    settings = load_settings("tiny", [*SMALL, "network.conditional_scores=true", "method.gp_interval=1"])
    method = LatentSwap(settings, faces.columns)
    run = start(settings, method)
    x, labels = random_batch(settings, method)
    torch.manual_seed(1)
    s = method.prepare(run.networks, x, labels, 0, ["D", "G"])
    discriminator, asked = run.networks["discriminator"], []

    def watched(x, shown):
        asked.append(shown)
        return discriminator(x, shown)

    networks = {**run.networks, "discriminator": watched}
    for phase in method.phases:
        method.losses(phase.name, [t.name for t in phase.terms], networks, s)
    real, target = (y[:, method.owner >= 0] for y in (s.y_real, s.y_target))
    assert (real != target).any()
    # Real and synthesized ones, those between them, and synthesized ones again.
    for shown, expected in zip(asked, [torch.cat([real, target]), real, target], strict=True):
        torch.testing.assert_close(shown, expected)


def test_what_a_guide_sees_is_scored_and_the_guide_stays_as_it_is():
    torch.manual_seed(0)
    guide = AttributeClassifier(3, 32, 2).eval().requires_grad_(False)
    network = Discriminator(64, (4, 8), 0.2, 2, spectral=False, maps=2, guide=guide)
    own = Discriminator(64, (4, 8), 0.2, 2, spectral=False, maps=2)
    x = torch.rand(2, 3, 64, 64, requires_grad=True)
    scores, _ = network(x)
    assert scores.shape == (2, 2 + 3, 32, 32), "three sizes of the guide's, enlarged to the finest"
    seen = network.feature_scores[0](guide.trunk[:6](torch.nn.functional.avg_pool2d(x, 2)))
    torch.testing.assert_close(scores[:, 2, ::4, ::4], seen[:, 0])
    assert {name for name in network.state_dict() if name not in own.state_dict()} == {
        name for name in network.state_dict() if name.startswith("feature_scores.")
    }
    (gradient,) = torch.autograd.grad(scores[:, 2:].mean(), x)
    assert gradient.abs().sum() > 0, "a generator learns from them"


def test_scores_of_a_guide_need_one():
    with pytest.raises(TraitswapError, match=r"guide_scores needs method\.guide"):
        load_settings("tiny", [*SMALL, "network.guide_scores=true", "method.guide=false", "method.soft_targets=false"])


def test_more_score_maps_than_layers_are_refused():
    with pytest.raises(TraitswapError, match=r"score_maps is 3, but network\.discriminator_widths has only 2"):
        load_settings("tiny", [*SMALL, "network.score_maps=3"])


def test_the_paper_preset_is_the_papers_network():
    settings = paper()
    method = LatentSwap(settings, COLUMNS)
    counts = parameter_counts(method.networks())
    assert settings.layout.channels == 192

    def conv(a, b, k, bias=0):
        return a * b * k * k + bias * b

    norm, residual = 2, 3 * (2 * conv(256, 256, 3) + 2 * 2 * 256)
    encoder = conv(3, 64, 7) + norm * 64 + conv(64, 128, 4) + norm * 128 + conv(128, 256, 4) + norm * 256
    assert counts["encoder"] == encoder + residual + conv(256, 192, 1, bias=1)
    decoder = conv(192, 256, 1) + norm * 256 + residual + conv(256, 128, 4) + norm * 128 + conv(128, 64, 4) + norm * 64
    assert counts["decoder"] == decoder + conv(64, 3, 7, bias=1)
    assert counts["verification"] == 2 * (16 + 1)
    widths = [3, 64, 128, 256, 512, 1024, 2048]
    trunk = sum(conv(a, b, 4, bias=1) for a, b in pairwise(widths))
    assert counts["discriminator"] == trunk + conv(2048, 1, 3) + conv(2048, 4, 2)


def test_the_paper_preset_sets_what_the_paper_says():
    m, t = paper().method, paper().train
    assert (m.lambda_adv, m.lambda_cls, m.lambda_ver, m.lambda_rec, m.lambda_gp) == (1, 0.1, 0.1, 10, 10)
    assert (m.keep_labels, m.lambda_self, m.guide, m.swapped_weight, m.gp_interval) == (False, 0, False, 1, 1)
    assert (t.batch, t.images // t.batch, t.lr, t.betas, t.flip) == (16, 200_000, 1e-4, (0.5, 0.999), True)


def randomized(settings):
    """A generator in evaluation mode in which every unit and every channel matters."""
    torch.manual_seed(7)
    generator = Generator(settings.network, settings.layout, settings.method.verify_averaged).eval()
    for parameter in generator.parameters():
        parameter.data.normal_(0, 0.5)
    x = torch.rand(8, 3, settings.network.size, settings.network.size) * 2 - 1
    recompute_statistics(generator, [(x, torch.tensor([[True, False]]).repeat(8, 1))])
    return generator


def test_weights_to_start_from_bring_their_attributes_with_them(settings, faces):
    old = randomized(settings)
    more = {"bangs": ("Bangs",), "smile": ("Smiling",), "hair_color": settings.attributes["hair_color"]}
    new = LatentSwap(settings.model_copy(update={"attributes": more}), faces.columns, initial=old)
    generator = new.networks()["generator"].eval()
    x, _ = random_batch(settings, new)
    for name, now in (("hair_color", [2]), ("smiling", [1])):
        then = torch.tensor([n == name for n in old.layout.names]).repeat(len(x), 1)
        swapped = torch.zeros(len(x), 3, dtype=torch.bool)
        swapped[:, now] = True
        before, after = old.transfer(x, then), generator.transfer(x, swapped)
        assert (before - old.transfer(x, torch.zeros_like(then))).abs().max() > 1e-3, "it does something"
        torch.testing.assert_close(after, before)
        swapped[:, 0] = True
        torch.testing.assert_close(generator.transfer(x, swapped), before)


def test_other_weights_to_start_from_are_another_run(settings, faces):
    one, other = randomized(settings), randomized(settings)
    next(other.parameters()).data += 1
    prints = [LatentSwap(settings, faces.columns, initial=i).fingerprint for i in (None, one, other)]
    assert len(set(prints)) == 3


def test_the_same_weights_to_start_from_continue_a_run(settings, faces, tmp_path):
    """Each process reads them anew, and what the folder does not hold, it draws anew."""
    folder = save_new_weights(settings, tmp_path / "weights")
    one, again = (LatentSwap(settings, faces.columns, initial=load_initial(folder, settings)) for _ in range(2))
    assert one.fingerprint == again.fingerprint


def test_weights_to_start_from_must_have_the_network_of_the_run(settings, tmp_path):
    folder = save_new_weights(settings, tmp_path / "weights")
    assert load_initial(folder, settings).layout == settings.layout
    wider = settings.model_copy(update={"network": settings.network.model_copy(update={"rest_channels": 5})})
    with pytest.raises(TraitswapError, match=r"network.rest_channels: there 6, now 5"):
        load_initial(folder, wider)
    others = {"discriminator_leak": 0.5, "guide_scores": True}
    load_initial(folder, settings.model_copy(update={"network": settings.network.model_copy(update=others)}))
    with pytest.raises(TraitswapError, match="only latent-swap can"):
        load_initial(folder, small_settings("stargan-lite"))
    with pytest.raises(TraitswapError, match="are stargan's, not latent-swap's"):
        load_initial(save_new_weights(small_settings("stargan-lite"), tmp_path / "stargan"), settings)
