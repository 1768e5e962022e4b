"""What every method keeps to, and what makes StarGAN and DNA-GAN themselves."""

import numpy as np
import pytest
import torch
from torch import nn

from traitswap.codec import Codes
from traitswap.config import load_settings, parse_settings, preset_names
from traitswap.errors import TraitswapError
from traitswap.methods.base import gradient_between
from traitswap.methods.dna_gan import DNAGAN
from traitswap.methods.stargan import StarGAN
from traitswap.networks.dna_gan import DNAGANGenerator, by_attribute
from traitswap.networks.weights import TorchCodec
from traitswap.swap import exchange, zero
from traitswap.training.loop import learning_rate, start, step
from traitswap.training.setup import build_method, kinds_of_step, parameter_counts

from .conftest import small_settings

STARGAN = {"hair": ["Black_Hair", "Blond_Hair", "Brown_Hair"], "male": ["Male"], "young": ["Young"]}


def batch_for(settings, method, count=8):
    torch.manual_seed(5)
    x = torch.rand(count, 3, settings.network.size, settings.network.size) * 2 - 1
    return x, (torch.rand(count, len(method.columns)) < 0.5).float()


@pytest.mark.parametrize("phase", [0, 1])
@pytest.mark.parametrize("preset", ["paper", "stargan-lite", "dna-gan-lite"])
def test_a_phase_gives_gradients_to_its_own_module_alone(preset, faces, phase):
    settings = small_settings(preset)
    method = build_method(settings, faces, None)
    run = start(settings, method)
    chosen = method.phases[phase]
    method.phases = (chosen,)
    run.images_seen = settings.train.batch * next(n for n in range(10) if chosen.weights(n))
    before = {name: [p.clone() for p in net.parameters()] for name, net in run.networks.items()}
    step(run, settings, method, *batch_for(settings, method))
    for name, network in run.networks.items():
        own = name == chosen.module
        gradients = [p.grad for p in network.parameters()]
        assert any(g is not None and g.abs().sum() > 0 for g in gradients) == own
        changed = any(not torch.equal(a, b) for a, b in zip(before[name], network.parameters(), strict=True))
        assert changed == own


@pytest.mark.parametrize("preset", ["stargan-lite", "dna-gan-lite"])
def test_where_the_generator_rests_it_neither_moves_nor_builds_a_graph(preset, faces):
    settings = small_settings(preset)
    method = build_method(settings, faces, None)
    run = start(settings, method)
    assert not method.phases[1].weights(0)
    x, labels = batch_for(settings, method)
    for updates in (["D"], ["D", "G"]):
        shared = method.prepare(run.networks, x, labels, 0, updates)
        fake = shared.x_fake if preset.startswith("stargan") else shared.result.x_fake
        assert fake.requires_grad == ("G" in updates)
    before = [p.clone() for p in run.networks["generator"].parameters()]
    step(run, settings, method, x, labels)
    assert all(torch.equal(a, b) for a, b in zip(before, run.networks["generator"].parameters(), strict=True))


def test_the_generators_take_their_turns_as_published():
    stargan, dna_gan = StarGAN(load_settings("stargan-paper")), DNAGAN(load_settings("dna-gan-paper"))
    for method in (stargan, dna_gan):
        assert all(method.phases[0].weights(n) for n in range(1200))
    assert [n for n in range(12) if stargan.phases[1].weights(n)] == [4, 9]
    # 100 updates of D before the first of 500 updates of G, 1 before each other: 599 in all.
    turns = [n for n in range(2 * 599) if dna_gan.phases[1].weights(n)]
    assert turns == [*range(99, 599), *range(698, 1198)]
    assert load_settings("dna-gan-paper").train.images == 200_000 // 500 * 599 * 384
    assert kinds_of_step(stargan) == {0: 0.8, 4: 0.2}


def test_the_learning_rate_falls_over_the_last_half():
    t = load_settings("stargan-paper").train
    shares = (0, 0.5, 0.75, 1)
    assert [learning_rate(t, int(s * t.images)) for s in shares] == pytest.approx([1e-4, 1e-4, 5e-5, 0])
    t = load_settings("dna-gan-paper").train
    assert [learning_rate(t, int(s * t.images)) for s in shares] == [5e-5] * 4


def test_stargan_is_as_large_as_published():
    settings = load_settings("stargan-paper", attributes=STARGAN)
    networks = StarGAN(settings).networks()
    assert parameter_counts(networks) == {"generator": 8_430_528, "discriminator": 44_762_048}


def test_stargan_has_the_layers_of_its_table():
    networks = StarGAN(load_settings("stargan-paper", ["network.size=64"], STARGAN)).networks()
    shapes = []
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    for module in networks["generator"].modules():
        if isinstance(module, kinds):
            module.register_forward_hook(
                lambda m, _, out: shapes.append((m.kernel_size[0], m.stride[0], m.in_channels, *out.shape[1:3]))
            )
            assert module.bias is None
    with torch.no_grad():
        x = networks["generator"](torch.zeros(1, 3, 64, 64), torch.zeros(1, 5))
    assert x.shape == (1, 3, 64, 64)
    down, up = (
        [(7, 1, 8, 64, 64), (4, 2, 64, 128, 32), (4, 2, 128, 256, 16)],
        [(4, 2, 256, 128, 32), (4, 2, 128, 64, 64)],
    )
    assert shapes == [*down, *[(3, 1, 256, 256, 16)] * 12, *up, (7, 1, 64, 3, 64)]
    with torch.no_grad():
        scores, logits = networks["discriminator"](x)
    assert scores.shape == (1, 1, 1, 1)
    assert logits.shape == (1, 5)


def test_stargan_s_targets_are_the_labels_of_the_batch_permuted():
    settings = small_settings("stargan-lite")
    method = StarGAN(settings)
    run = start(settings, method)
    x, labels = batch_for(settings, method, 16)
    s = method.prepare(run.networks, x, labels, 0, ["D"])
    assert not torch.equal(s.y_trg, labels)
    assert sorted(s.y_trg.tolist()) == sorted(labels.tolist()), "whole rows, each once"
    assert torch.equal(s.y_org, labels)


def test_stargan_s_embedding_is_the_labels():
    settings = small_settings("stargan-lite")
    torch.manual_seed(0)
    generator = StarGAN(settings).networks()["generator"]
    codec = TorchCodec(generator, 32)
    x = np.random.default_rng(0).uniform(-1, 1, (2, 3, 32, 32)).astype(np.float32)
    labels = np.array([[1, 0, 0, 0], [0, 0, 1, 1]], np.uint8)
    codes = codec.encode(x, labels)
    assert codes.embedding[:, :, 0, 0].tolist() == [[1, 0, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0]]
    hair, both = (codes[:1].swap(codes[1:], names)[0] for names in (["hair_color"], ["hair_color", "smiling"]))

    def told(*y):
        with torch.no_grad():
            return generator(torch.from_numpy(x[:1]), torch.tensor([y], dtype=torch.float32)).numpy()

    np.testing.assert_allclose(codec.decode(hair), told(0, 0, 1, 0), atol=1e-6)
    np.testing.assert_allclose(codec.decode(both), told(0, 0, 1, 1), atol=1e-6)
    half = codes[:1].blend({"smiling": codes[1:]}, {"smiling": 0.5})
    np.testing.assert_allclose(codec.decode(half), told(1, 0, 0, 0.5), atol=1e-6)
    assert abs(codec.decode(half) - codec.decode(codes[:1])).max() > 1e-4
    with pytest.raises(TraitswapError, match="stargan needs the labels of photo and reference"):
        codec.encode(x)


def test_the_gradient_lies_between_real_and_fake():
    # The score ‖x‖²/2 has the gradient x̂ itself; with x = 1 and x̃ = 0 that is ε, one an image.
    torch.manual_seed(0)
    gradient = gradient_between(
        lambda x: x.square().sum((1, 2, 3)) / 2, torch.ones(64, 3, 2, 2), torch.zeros(64, 3, 2, 2)
    )
    epsilon = gradient[:, :1, :1, :1]
    assert torch.equal(gradient, epsilon.expand_as(gradient))
    assert epsilon.min() >= 0
    assert epsilon.max() <= 1
    assert epsilon.std() > 0.2


def dna_settings():
    return small_settings("dna-gan-lite")


def test_dna_gan_s_pieces_are_zeroed_and_given():
    layout = dna_settings().layout
    assert (layout.unit_channels, layout.rest_channels) == (4, 4)
    torch.manual_seed(0)
    a, b = torch.randn(2, 2, 12, 4, 4)
    erased = zero(a, layout, ["smiling"])
    assert (erased[:, 4:8] == 0).all()
    assert torch.equal(erased[:, :4], a[:, :4])
    assert torch.equal(erased[:, 8:], a[:, 8:])
    # What DNA-GAN exchanges in use is what everyone does.
    given = exchange(b, a, layout, ["smiling"])[0]
    assert torch.equal(given[:, 4:8], a[:, 4:8])
    assert torch.equal(given[:, :4], b[:, :4])


def test_a_step_of_dna_gan_decodes_what_its_paper_says():
    settings = dna_settings()
    torch.manual_seed(0)
    generator = DNAGANGenerator(settings.network, settings.layout).eval()
    x = torch.rand(8, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        e = generator.encode(x)
        given, erased, without, has = [], [], [], []
        # A of bangs 0, 1, of smiling 2, 3; B of bangs 4, 5, of smiling 6, 7; pieces 0 … 4 and 4 … 8.
        for a, b, piece in ((0, 4, slice(0, 4)), (1, 5, slice(0, 4)), (2, 6, slice(4, 8)), (3, 7, slice(4, 8))):
            b_x, a_e, b_0 = e[b].clone(), e[a].clone(), e[b].clone()
            b_x[piece], a_e[piece], b_0[piece] = e[a][piece], 0, 0
            given.append(b_x), erased.append(a_e), without.append(b_0), has.append(e[a])
        x_fake, x_rec = generator(x, True)
        torch.testing.assert_close(x_fake, generator.decode(torch.stack([*given, *erased])))
        torch.testing.assert_close(x_rec, generator.decode(torch.stack([*has, *without])))
        assert generator(x, False).x_rec is None


def test_dna_gan_sees_faces_that_have_and_lack_each_attribute(faces):
    method = DNAGAN(dna_settings())
    labels = faces.columns_of(method.columns)
    pick = method.draw(labels, 3, 16, 8)
    for i, (_, has, lacks) in enumerate(by_attribute(torch.from_numpy(labels[pick]), method.layout)):
        assert (has[:, i] == 1).all()
        assert (lacks[:, i] == 0).all()
        assert len(has) == len(lacks) == 2
    assert (method.draw(labels, 3, 16, 8) == pick).all()
    assert (method.draw(labels, 4, 16, 8) != pick).any()
    assert (method.draw(labels, 3, 24, 8) != pick).any()
    with pytest.raises(TraitswapError, match="with and without Smiling; there are 0 without"):
        method.draw(np.stack([labels[:, 0], np.ones_like(labels[:, 0])], 1), 3, 0, 8)


def test_dna_gan_s_critic_judges_each_image_by_its_own_attribute(faces):
    settings = dna_settings()
    method = DNAGAN(settings)
    x, labels = batch_for(settings, method)
    run = start(settings, method)
    shared = method.prepare(run.networks, x, labels, 0, ["D"])
    assert shared.own[:, 0].tolist() == [0, 0, 1, 1, 0, 0, 1, 1]

    class Told(nn.Module):
        """Bangs 1, smiling 10, for real faces; nothing for others."""

        def forward(self, faces, y):
            assert torch.equal(y, labels), "synthesized faces are judged by the labels of the real ones beside them"
            return torch.tensor([[1.0, 10.0]]).repeat(8, 1) * float(torch.equal(faces, x))

    parts = method.losses("D", ["adv"], {"discriminator": Told()}, shared)
    assert parts["adv"].item() == pytest.approx(-5.5)
    # Summed over two attributes, A and B: 1 + 1 + 10 + 10.
    assert -parts["adv"].item() * method.phases[0].terms[0].weight == pytest.approx(22)


def test_dna_gan_s_critic_stays_clipped(faces):
    settings = dna_settings()
    method = DNAGAN(settings)
    run = start(settings, method)
    assert any((p.abs() > 0.01).any() for p in run.networks["discriminator"].parameters())
    for _ in range(3):
        step(run, settings, method, *batch_for(settings, method))
        assert all((p.abs() <= 0.01).all() for p in run.networks["discriminator"].parameters())
        assert any((p.abs() > 0.01).any() for p in run.networks["generator"].parameters())


def test_dna_gan_has_the_layers_that_were_released():
    networks = DNAGAN(load_settings("dna-gan-released")).networks()
    weights = {n: tuple(p.shape) for n, p in networks["generator"].named_parameters() if p.dim() == 4}
    assert [s[:2] for n, s in weights.items() if n.startswith("encoder")] == [(128, 3), (256, 128), (512, 256)]
    assert [s[:2] for n, s in weights.items() if n.startswith("decoder")] == [(512, 512), (512, 256), (256, 3)]
    critic = [tuple(p.shape[:2]) for p in networks["discriminator"].parameters() if p.dim() > 1]
    assert critic == [(128, 6), (256, 128), (512, 256), (512, 512), (3, 512 * 4 * 4)]
    assert networks["generator"].layout.unit("smiling") == slice(128, 256)
    assert all(abs(p.std().item() - 0.02) < 0.002 for p in networks["generator"].parameters() if p.dim() == 4)


@pytest.mark.parametrize("name", [n for n in preset_names() if "-" in n])
def test_presets_of_baselines_are_named_by_method(name):
    settings = load_settings(name)
    method, _, kind = name.rpartition("-")
    assert settings.method.name == method
    assert load_settings(kind, method=method) == settings
    assert parse_settings(settings.model_dump(mode="json"), name) == settings


def test_settings_older_than_the_choice_are_ours():
    table = load_settings("paper").model_dump(mode="json")
    del table["method"]["name"], table["train"]["optimizer"], table["train"]["lr_decay"], table["train"]["alpha"]
    assert parse_settings(table, "old") == load_settings("paper")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"preset": "lite", "method": "star-gan"}, "no method 'star-gan'; did you mean stargan"),
        ({"preset": "tiny", "method": "stargan"}, "method latent-swap, not stargan; presets of stargan: stargan-lite"),
        ({"preset": "stargan-lite", "method": "latent-swap"}, "is of the method stargan, not latent-swap"),
        ({"preset": "stargan-lite", "overrides": ["method.lambda_clss=1"]}, "did you mean method.lambda_cls"),
        ({"preset": "stargan-lite", "overrides": ["network.piece_channels=8"]}, "no setting 'network.piece_channels'"),
        ({"preset": "dna-gan-lite", "attributes": STARGAN}, "one label column each; hair has 3: give one of them"),
        ({"preset": "dna-gan-lite", "overrides": ["train.batch=16"]}, "train.batch 16 is not a multiple of 6"),
        ({"preset": "dna-gan-lite", "overrides": ["network.piece_channels=32"]}, "leave nothing of the 96"),
        ({"preset": "dna-gan-lite", "overrides": ["network.size=60"]}, "size 60 is not a multiple of 8"),
    ],
)  # fmt: skip
def test_wrong_choices_are_explained(arguments, expected):
    with pytest.raises(TraitswapError, match=expected):
        load_settings(**arguments)


def test_the_methods_codes_are_alike():
    """Whatever the embedding, codes are cut, exchanged and blended by the layout alone."""
    for preset in ("paper", "stargan-lite", "dna-gan-lite"):
        settings = small_settings(preset)
        layout = settings.layout
        codes = Codes(np.zeros((2, layout.channels, 1, 1), np.float32), np.zeros((2, 3, 32, 32), np.float32), layout)
        assert codes.swap(codes, layout.names)[0].embedding.shape == codes.embedding.shape
