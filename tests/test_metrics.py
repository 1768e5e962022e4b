"""The measure exposes a dead model and a leaking one, and gives a perfect one the ceiling."""

import numpy as np
import pytest

from traitswap.codec import Codes
from traitswap.config import load_settings
from traitswap.data.drawn import DrawnFaces, degree, draw_face, labels, transfer_face
from traitswap.data.open import SEED, open_faces
from traitswap.data.pairs import held_out_pairs
from traitswap.images import to_network
from traitswap.metrics.chunks import Judge, as_saved, faces_of, transferred
from traitswap.metrics.quality import Quality
from traitswap.metrics.transfer import TransferTable, border_change, psnr

from .conftest import SMALL

SIZE = 64


@pytest.fixture(scope="module")
def drawn():
    settings = load_settings("tiny", [*SMALL, "network.size=64", "data.drawn_count=240"])
    data = open_faces("drawn", SIZE, settings.data)[0]
    return settings, data, DrawnFaces(settings.data.drawn_count, SEED, SIZE)


class Lookup:
    """A codec that knows each drawn face by its pixels; its embedding says which face each unit is from."""

    size = SIZE

    def __init__(self, drawn, kind):
        self.settings, self.data, self.source = drawn
        self.layout = self.settings.layout
        self.kind = kind
        self.known = {faces_of(self.data, np.array([i])).tobytes(): i for i in range(len(self.data.images))}

    def encode(self, faces, labels=None):
        items = [self.known[np.ascontiguousarray(face[None]).tobytes()] for face in faces]
        embedding = np.zeros((len(faces), self.layout.channels, 1, 1), np.float32)
        embedding += np.array(items, np.float32)[:, None, None, None]
        return Codes(embedding, faces, self.layout)

    def decode(self, codes):
        return np.stack([self.face(code[:, 0, 0]) for code in codes.embedding]).astype(np.float32)

    def face(self, code):
        photo = int(code[-1])
        taken = {n: int(code[self.layout.unit(n)][0]) for n in self.layout.names}
        moved = {n: i for n, i in taken.items() if i != photo}
        if self.kind == "dead":
            moved = {}
        if self.kind == "leaking" and moved:
            photo, moved = next(iter(moved.values())), {}
        face = self.source.face(photo)
        for name, i in moved.items():
            face = transfer_face(face, self.source.face(i), [name])
        pixels = draw_face(face, SIZE).transpose(2, 0, 1).astype(np.float32)
        if self.kind == "noisy":
            pixels += np.random.default_rng(photo).normal(0, 40, pixels.shape)
        return to_network(pixels)


@pytest.fixture(scope="module")
def measured(drawn):
    """A judge that is never wrong on drawn pictures: it compares them with every picture that could be meant."""
    _, data, source = drawn
    truth = {}

    def picture(face):
        return draw_face(face, SIZE).tobytes()

    faces = [source.face(i) for i in range(len(data.images))]
    pairs = held_out_pairs(data.split("val"), 12, 1)
    for a, b in [*zip(*pairs, strict=True), *zip(*pairs[::-1], strict=True)]:
        for names in ((), ("hair_color",), ("smiling",), ("hair_color", "smiling")):
            face = transfer_face(faces[a], faces[b], names)
            truth[picture(face)] = labels(face)

    def logits(x):
        pixels = np.rint((x + 1) * 127.5).astype(np.uint8).transpose(0, 2, 3, 1)
        found = [truth[np.ascontiguousarray(p).tobytes()] for p in pixels]
        return np.stack(found).astype(np.float32) * 2 - 1

    def identity(x):
        """Tells drawn people apart by their pixels outside the middle, roughly: a fixed random projection."""
        project = np.random.default_rng(0).normal(size=(x[0].size, 32)).astype(np.float32)
        return x.reshape(len(x), -1) @ project

    judge = Judge(logits, data.columns)

    def measure(kind):
        codec = Lookup(drawn, kind)
        attributes = codec.layout.attributes
        transfer = TransferTable(attributes, judge, identity)
        for chunk in transferred(codec, data, pairs, judge, attributes):
            transfer.add(chunk)
        return transfer.result()

    return {kind: measure(kind) for kind in ("perfect", "dead", "leaking")}


def look(x):
    """Four numbers that say what a picture looks like, its grain among them."""
    return np.stack([np.abs(np.diff(x)).mean((1, 2, 3)), x.std((1, 2, 3)), *x.mean((2, 3)).T[:2]], axis=1)


def image_quality(drawn, kind):
    codec, data = Lookup(drawn, kind), drawn[1]
    judge = Judge(lambda x: np.zeros((len(x), len(data.columns)), np.float32), data.columns)
    quality = Quality(look, "looks", codec.layout.names)
    pairs = held_out_pairs(data.split("val"), 12, 1)
    for chunk in transferred(codec, data, pairs, judge, codec.layout.attributes):
        quality.add(chunk)
    return quality.result(0)


def test_results_are_rounded_as_they_are_saved():
    faces = np.random.default_rng(0).uniform(-1.2, 1.2, (2, 3, 8, 8)).astype(np.float32)
    levels = (as_saved(faces) + 1) * 127.5
    np.testing.assert_allclose(levels, np.clip(np.rint((faces + 1) * 127.5), 0, 255), atol=1e-3)


def test_a_perfect_model_reaches_the_ceiling(measured):
    for a in measured["perfect"].attributes.values():
        assert a.pairs > 0
        assert a.success == a.success_real == 1
        assert a.kept == 1
        assert a.success_untouched == 0
        assert a.stayed == a.stayed_real == 1
    assert measured["perfect"].reconstruction["psnr"] == 60
    assert set(measured["perfect"].judge_accuracy.values()) == {1}
    for change in measured["perfect"].logit_change.values():
        assert set(change.values()) == {0}
    assert "Smiling" not in measured["perfect"].logit_change["smiling"]


def test_a_perfect_model_changes_all_that_differ_at_once(measured):
    perfect = measured["perfect"].together
    alone = measured["perfect"].attributes
    assert perfect["kept"] == 1
    for name, a in perfect["attributes"].items():
        assert a["pairs"] == alone[name].pairs
        assert a["success"] == a["success_real"] == a["stayed"] == 1
        assert a["success_untouched"] == 0
    assert max(a.pairs for a in alone.values()) < perfect["pairs"] < sum(a.pairs for a in alone.values())
    dead, leaking = measured["dead"].together, measured["leaking"].together
    assert all(a["success"] == 0 and a["stayed"] == 1 for a in dead["attributes"].values())
    assert leaking["kept"] < 0.95
    assert leaking["leaked"] > perfect["leaked"]


def test_a_dead_model_is_exposed(measured):
    for a in measured["dead"].attributes.values():
        assert a.success == a.success_untouched == 0
        assert a.identity == pytest.approx(1)
        assert a.border_change == 0


def test_a_leaking_model_is_exposed(measured):
    for name, a in measured["leaking"].attributes.items():
        honest = measured["perfect"].attributes[name]
        assert a.success == 1
        assert a.kept < 0.95
        assert a.leaked == pytest.approx(1 - a.unrelated)
        assert a.leaked > honest.leaked
        assert a.identity < honest.identity
        assert a.border_change > honest.border_change + 0.05


def test_a_leaking_model_moves_the_logits_of_other_columns(measured):
    assert max(measured["leaking"].logit_change["smiling"].values()) > 0.1
    assert any(a.stayed < 1 for a in measured["leaking"].attributes.values())


def test_image_quality_of_a_dead_model_is_the_floor_and_of_noise_is_far_above(drawn):
    dead, noisy = (image_quality(drawn, kind) for kind in ("dead", "noisy"))
    for name, row in dead.items():
        assert row["count"] == noisy[name]["count"] > 0
        assert row["frechet_looks"] > 0
        # Equal but for the order in which 32-bit numbers were added.
        assert row["frechet_looks"] == pytest.approx(row["frechet_looks_floor"], rel=1e-3)
        assert row["kernel_looks"] == pytest.approx(row["kernel_looks_floor"], abs=1e-4)
        assert noisy[name]["frechet_looks_floor"] == pytest.approx(row["frechet_looks_floor"], rel=1e-3)
        assert noisy[name]["frechet_looks"] > 2 * row["frechet_looks"]
        assert noisy[name]["frechet_looks_pooled"] > 2 * row["frechet_looks_pooled"]
        assert noisy[name]["kernel_looks"] > row["kernel_looks"] + 3 * row["kernel_looks_error"]


def test_a_drawn_degree_is_that_of_the_label(drawn):
    _, data, source = drawn
    smiles = np.array([degree(source.face(i), "Smiling") for i in range(len(data.images))])
    assert ((smiles > 0.2) == data.columns_of(["Smiling"])[:, 0]).all()
    assert degree(source.face(0), "Eyeglasses") is None


def test_psnr_and_border_by_hand():
    x = np.zeros((1, 3, 16, 16), np.float32)
    y = x + 0.2  # 0.1 of the range: −20 log₁₀ 0.1
    assert psnr(x, y)[0] == pytest.approx(20, abs=1e-5)
    assert border_change(x, y)[0] == pytest.approx(0.1)
    y = x.copy()
    y[:, :, 2:-2, 2:-2] = 1
    assert border_change(x, y)[0] == 0
