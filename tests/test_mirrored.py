"""Faces drawn twice, also mirrored."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traitswap import TransferPipeline
from traitswap.codec import Codes
from traitswap.mirrored import Mirrored

from .photos import Tint, astronaut


class Lopsided(Tint):
    """Tints what it takes, by how much of a unit there is, and always darkens the right."""

    size = 8

    def decode(self, codes):
        taken = codes.embedding[:, :1] - codes.own[:, :1]
        return codes.photo + taken - np.linspace(0, 1, codes.photo.shape[-1], dtype=np.float32)


faces = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).uniform(-1, 1, (4, 3, 8, 8)).astype(np.float32)
)


@given(faces)
def test_what_is_drawn_of_a_mirrored_photo_is_the_mirrored_picture(x):
    codec = Mirrored(Lopsided())
    reference = codec.encode(x[2:])

    def drawn(photos):
        return codec.decode(codec.encode(np.ascontiguousarray(photos)).blend({"smiling": reference}))

    np.testing.assert_allclose(drawn(x[:2, ..., ::-1]), drawn(x[:2])[..., ::-1], atol=1e-6)
    plain = Lopsided()
    codes = plain.encode(x[:2])
    assert np.abs(plain.decode(codes) - x[:2]).max() > 0.9
    assert np.abs(codec.decode(codes) - x[:2] + 0.5).max() < 1e-5, "of the lopsided shade, the even half is left"


def test_both_take_the_same_units_in_their_place():
    """Units that have a place in the picture are mirrored too; z is that of the mirrored photo."""
    seen = []

    class Recording(Tint):
        size = 8

        def encode(self, faces, labels=None):
            return Codes(faces.copy(), faces, self.layout)

        def decode(self, codes):
            seen.append(codes)
            return codes.photo

    codec = Mirrored(Recording())
    x = np.random.default_rng(0).uniform(-1, 1, (2, 3, 8, 8)).astype(np.float32)
    codes = codec.encode(x[:1])
    codec.decode(codes.blend({"hair_color": codec.encode(x[1:])}))
    [both] = seen
    (one, other), (photo, mirrored) = both.embedding, both.photo
    assert (other == one[..., ::-1]).all()
    assert (mirrored == photo[..., ::-1]).all()
    assert (one[0] == x[1, 0]).all()
    assert (both.own == np.concatenate([x[:1, :2], x[:1, :2, :, ::-1]])).all()


def test_a_face_that_is_drawn_again_is_not_encoded_again():
    class Counting(Tint):
        encoded = 0

        def encode(self, faces, labels=None):
            self.encoded += len(faces)
            return super().encode(faces, labels)

    plain = Counting()
    codec = Mirrored(plain)
    x = np.random.default_rng(0).uniform(-1, 1, (2, 3, 64, 64)).astype(np.float32)
    one, other = codec.encode(x[:1]), codec.encode(x[1:])
    faces = [codec.decode(one.blend({"smiling": other}, {"smiling": s})) for s in (0, 0.5, 1)]
    assert plain.encoded == 3
    assert (faces[0] == Mirrored(Tint()).decode(one)).all()
    assert (codec.decode(other) == Mirrored(Tint()).decode(other)).all()
    assert plain.encoded == 4


@pytest.mark.parametrize("asked", [True, False])
def test_a_pipeline_draws_as_its_weights_ask(asked):
    class Counting(Tint):
        decoded = 0

        def decode(self, codes):
            self.decoded += len(codes)
            return super().decode(codes)

    codec = Counting()
    pipe = TransferPipeline(codec, {"mirrored": asked})
    codes = pipe.encode([astronaut()])
    pipe.decode(codes)
    assert codec.decoded == (2 if asked else 1)
