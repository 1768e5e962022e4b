"""Exported networks: the same pictures as torch, and torch not needed."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from traitswap import TransferPipeline, load_generator, swap
from traitswap.errors import TraitswapError
from traitswap.export import export, largest_difference
from traitswap.networks.weights import TorchCodec, load_codec, new_generator, save_codec
from traitswap.onnx_codec import DECODER_NAME, ENCODER_NAME, load_onnx_codec

from .conftest import save_new_weights, small_settings


@pytest.fixture(scope="module")
def weights(settings, tmp_path_factory):
    return save_new_weights(settings, tmp_path_factory.mktemp("export") / "weights")


@pytest.fixture(scope="module")
def exported(settings, weights):
    if settings.method.name == "stargan":
        pytest.skip("needs labels of the photo, so it is not exported")
    folder = weights.with_name("exported")
    assert export(weights, folder) < 1e-4
    return folder


def test_the_exported_networks_equal_torch_for_any_batch(weights, exported, settings):
    torch_codec, config = load_codec(weights)
    onnx_codec, same_config = load_onnx_codec(exported)
    assert same_config == config
    assert (onnx_codec.layout, onnx_codec.size) == (torch_codec.layout, torch_codec.size)
    rng = np.random.default_rng(1)
    for n in (1, 2, 5):
        x = rng.uniform(-1, 1, (n, 3, settings.network.size, settings.network.size)).astype(np.float32)
        codes, others = torch_codec.encode(x), onnx_codec.encode(x)
        np.testing.assert_allclose(others.embedding, codes.embedding, atol=1e-4)
        taken = codes.blend({"smiling": codes[::-1]}, {"smiling": 0.5})
        np.testing.assert_allclose(onnx_codec.decode(taken), torch_codec.decode(taken), atol=1e-4)


def test_what_differs_is_seen(weights, exported):
    codec, _ = load_codec(weights)
    other, _ = load_codec(weights)
    last = [p for name, p in other.generator.named_parameters() if "decoder" in name][-1]
    last.data += 0.1
    assert largest_difference(codec, other) > 0.01


def test_an_export_that_differs_is_not_kept(weights, exported, monkeypatch):
    before = (exported / DECODER_NAME).read_bytes()
    monkeypatch.setattr("traitswap.export.TOLERANCE", -1.0)
    with pytest.raises(TraitswapError, match=r"differ from torch by .*: nothing written"):
        export(weights, exported)
    assert (exported / DECODER_NAME).read_bytes() == before


def test_devices_are_named_as_torch_names_them(weights, exported):
    pipe = TransferPipeline.from_pretrained(weights)
    assert pipe.to("cpu") is pipe
    with pytest.raises(TraitswapError, match="cannot use the device 'gpu'"):
        pipe.to("gpu")
    with pytest.raises(TraitswapError, match="where the installed onnxruntime runs them"):
        TransferPipeline.from_pretrained(exported).to("cpu")


def test_gradients_flow_from_a_blend_to_photo_reference_and_strength(weights, exported, settings):
    generator = load_generator(weights)
    size = settings.network.size
    x = torch.rand(2, 3, size, size).mul(2).sub(1).requires_grad_()
    strength = torch.tensor(0.5, requires_grad=True)
    embedding = generator.encode(x)
    photo, reference = embedding[:1], embedding[1:]
    taken = swap.blend(photo, {"smiling": reference}, generator.layout, {"smiling": strength})
    result = generator.decode(taken, x[:1])
    result.square().sum().backward()
    assert (x.grad.abs().sum((1, 2, 3)) > 0).all()
    assert strength.grad.abs() > 0
    codec, _ = load_codec(weights)
    codes = codec.encode(x.detach().numpy())
    expected = codec.decode(codes[:1].blend({"smiling": codes[1:]}, {"smiling": 0.5}))
    np.testing.assert_allclose(result.detach().numpy(), expected, atol=1e-5)


def test_damaged_networks_are_named(exported, tmp_path):
    for file in exported.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / ENCODER_NAME).write_bytes(b"no network")
    with pytest.raises(TraitswapError, match=r"encoder\.onnx is damaged or cut short"):
        load_onnx_codec(tmp_path)


def test_a_method_that_needs_labels_is_refused(tmp_path):
    settings = small_settings("stargan-lite")
    codec = TorchCodec(new_generator(settings), settings.network.size)
    save_codec(tmp_path / "weights", codec, settings, {"name": "drawn", "fingerprint": "", "train_images": 1}, 0)
    with pytest.raises(TraitswapError, match="label"):
        export(tmp_path / "weights", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_torch_is_not_needed_for_a_transfer(exported, tmp_path):
    rng = np.random.default_rng(2)
    for name in "ab":
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from traitswap import TransferPipeline\n"
        "pipe = TransferPipeline.from_pretrained(sys.argv[1])\n"
        "pipe('a.png', take={'smiling': 'b.png'}, aligned=True).image.save(sys.argv[2])\n"
    )
    run = [sys.executable, "-c", code, str(exported), "out.png"]
    subprocess.run(run, cwd=tmp_path, check=True)
    from traitswap import TransferPipeline

    codec, config = load_codec(exported)
    with_torch = TransferPipeline(codec, config)(tmp_path / "a.png", {"smiling": tmp_path / "b.png"}, aligned=True)
    ours, theirs = (np.asarray(image, np.int16) for image in (Image.open(tmp_path / "out.png"), with_torch.image))
    assert np.abs(ours - theirs).max() <= 1
