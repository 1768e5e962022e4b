"""The measure exposes a dead model and a leaking one, and gives a perfect one the ceiling."""

import numpy as np
import pytest

from traitswap.codec import Codes
from traitswap.config import load_settings
from traitswap.data.drawn import DrawnFaces, draw_face, transfer_face
from traitswap.data.open import SEED, open_faces
from traitswap.data.pairs import held_out_pairs
from traitswap.images import to_network
from traitswap.metrics.transfer import Judge, border_change, faces_of, measure_transfer, psnr

from .conftest import SMALL

SIZE = 64


@pytest.fixture(scope="module")
def drawn():
    settings = load_settings("tiny", [*SMALL, "network.size=64"])
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
        return to_network(draw_face(face, SIZE).transpose(2, 0, 1).astype(np.float32))


@pytest.fixture(scope="module")
def measured(drawn):
    """A judge that is never wrong on drawn pictures: it compares them with every picture that could be meant."""
    _, data, source = drawn
    truth = {}

    def picture(face):
        return draw_face(face, SIZE).tobytes()

    from traitswap.data.drawn import labels

    faces = [source.face(i) for i in range(len(data.images))]
    pairs = held_out_pairs(data.split("val"), 4, 0)
    for a, b in [*zip(*pairs, strict=True), *zip(*pairs[::-1], strict=True)]:
        for names in ((), ("hair_color",), ("smiling",)):
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
    return {
        kind: measure_transfer(Lookup(drawn, kind), data, pairs, judge, identity)
        for kind in ("perfect", "dead", "leaking")
    }


def test_a_perfect_model_reaches_the_ceiling(measured):
    for a in measured["perfect"].attributes.values():
        assert a.pairs > 0
        assert a.success == a.success_real == 1
        assert a.kept == 1
        assert a.success_untouched == 0
    assert measured["perfect"].reconstruction["psnr"] == 60


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


def test_psnr_and_border_by_hand():
    x = np.zeros((1, 3, 16, 16), np.float32)
    y = x + 0.2  # 0.1 of the range: −20 log₁₀ 0.1
    assert psnr(x, y)[0] == pytest.approx(20, abs=1e-5)
    assert border_change(x, y)[0] == pytest.approx(0.1)
    y = x.copy()
    y[:, :, 2:-2, 2:-2] = 1
    assert border_change(x, y)[0] == 0
