"""A confined attribute changes its region alone: hair and nothing of its colour, eyes, mouth, or forehead."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traitswap.attributes import Attribute, Layout
from traitswap.codec import Codes
from traitswap.crops import FRAME
from traitswap.data.cache import FaceData
from traitswap.editing import as_pixels
from traitswap.errors import TraitswapError
from traitswap.images import to_network
from traitswap.metrics.chunks import ALL, Judge, transferred
from traitswap.pipeline import TransferPipeline
from traitswap.regions import eye_region, forehead_region, hair_region, mouth_region

SIZE = 128
HAIR, SKIN, WALL = (90, 60, 30), (220, 180, 160), (120, 140, 170)
Y, X = np.mgrid[:SIZE, :SIZE] / SIZE
FRINGE = (np.abs(X - 0.5) < 0.18) & (np.abs(Y - 0.38) < 0.07)
MOUTH = (np.abs(X - 0.5) < 0.1) & (np.abs(Y - 0.8) < 0.03)


def scene(seed=0):
    """A face with a cap of hair before a wall, a collar of the hair's colour below; where hair and collar are."""
    face = ((X - 0.5) / 0.25) ** 2 + ((Y - 0.6) / 0.32) ** 2 < 1
    hair = (((X - 0.5) / 0.36) ** 2 + ((Y - 0.45) / 0.36) ** 2 < 1) & ~face & (Y < 0.7)
    collar = (Y > 0.93) & (np.abs(X - 0.5) < 0.4)
    picture = np.full((SIZE, SIZE, 3), WALL, float)
    for where, colour in ((face, SKIN), (hair, HAIR), (collar, HAIR)):
        picture[where] = colour
    noise = np.random.default_rng(seed).normal(0, 6, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8), hair, collar


def grown(where, pixels):
    """Where it is, and `pixels` round it."""
    near = np.zeros_like(where)
    for dy in range(-pixels, pixels + 1):
        for dx in range(-pixels, pixels + 1):
            near |= np.roll(where, (dy, dx), (0, 1))
    return near


def change_of(hair, collar, strong=80.0, spill=0.15):
    change = np.where(hair, strong, spill * strong)
    change[collar] = 0.45 * strong
    return np.repeat(change[..., None], 3, 2).astype(np.float32)


@given(seed=st.integers(0, 50), strong=st.floats(20, 200), spill=st.floats(0, 0.25))
def test_the_hair_is_in_and_all_else_is_out_to_the_bit(seed, strong, spill):
    face, hair, collar = scene(seed)
    region = hair_region(face, -change_of(hair, collar, strong, spill))
    assert region.dtype == np.float32
    assert region.min() >= 0
    assert region.max() <= 1
    assert region[~grown(~hair, 4)].mean() > 0.99
    assert not region[~grown(hair, 6)].any(), "exactly 0 on face, wall and collar"
    again = hair_region(face, -change_of(hair, collar, strong, spill))
    assert (region == again).all()


@pytest.mark.parametrize("size", [64, 128, 200])
@pytest.mark.parametrize(
    ("find", "within", "without"), [(eye_region, (0, 1), (3, 4)), (mouth_region, (2, 3, 4), (0, 1))]
)
def test_a_part_of_the_face_is_in_and_the_others_and_the_border_are_out(size, find, within, without):
    region = find(size)
    assert region.shape == (size, size)
    assert region.dtype == np.float32
    at = np.array([region[int(y * size), int(x * size)] for x, y in FRAME])
    assert (at[[*within]] == 1).all()
    assert (at[[*without]] == 0).all()
    assert not region[: size // 4].any()
    assert not region[:, : size // 10].any()
    assert np.abs(region - region[:, ::-1]).max() < 0.1, "as far to the left as to the right"
    assert ((region > 0) & (region < 1)).any(), "no hard edge"


@pytest.mark.parametrize("size", [64, 128, 200])
def test_the_forehead_ends_softly_at_the_eyes(size):
    region = forehead_region(size)
    assert region.shape == (size, size)
    assert region.dtype == np.float32
    eyes = int(FRAME[:2, 1].mean() * size)
    assert (region[: int(0.9 * eyes)] == 1).all()
    assert 0.3 < region[eyes].mean() < 0.9
    assert not region[int(FRAME[2, 1] * size) :].any(), "nothing at the nose"
    assert (np.diff(region, axis=0) <= 0).all()


def test_what_cannot_be_told_is_left_as_it_is():
    face, hair, collar = scene()
    for change in (np.zeros((SIZE, SIZE, 3)), change_of(hair, collar, 5.0)):
        assert (hair_region(face, change.astype(np.float32)) == 1).all()


class Spilling:
    """Darkens hair by its first unit, and spills; brightens the mouth by its second."""

    layout = Layout((Attribute("hair_color", ("Hair",)), Attribute("smiling", ("Smiling",))), 1, 1)
    size = SIZE

    def encode(self, faces, labels=None):
        return Codes(np.zeros((len(faces), 3, 1, 1), np.float32), faces, self.layout)

    def decode(self, codes):
        _, hair, collar = scene()
        darker = change_of(hair, collar).transpose(2, 0, 1) / 127.5
        return codes.photo - codes.embedding[:, :1] * darker + codes.embedding[:, 1:2] * 0.2 * MOUTH


def taking(hair, smile):
    """Codes of a reference with these units."""
    embedding = np.array([hair, smile, 0], np.float32).reshape(1, 3, 1, 1)
    return Codes(embedding, np.zeros((1, 3, SIZE, SIZE), np.float32), Spilling.layout)


@pytest.fixture
def pipe():
    return TransferPipeline(Spilling(), {"confined": {"hair_color": "hair"}})


@pytest.fixture
def codes():
    face, _, _ = scene()
    return Spilling().encode(to_network(face.transpose(2, 0, 1)[None].astype(np.float32)))


def test_a_confined_attribute_changes_its_region_alone(pipe, codes):
    _, hair, _ = scene()
    references = {"hair_color": taking(1, 0)}
    [change] = pipe.change(codes, references)
    assert not change[~grown(hair, 6)].any()
    assert np.allclose(change[~grown(~hair, 4)], -80, atol=1)
    [half] = pipe.change(codes, references, {"hair_color": 0.5})
    assert np.allclose(half, change / 2, atol=1e-3), "the region does not move with the strength"
    [everywhere] = TransferPipeline(Spilling()).change(codes, references)
    assert (everywhere[~grown(hair, 6)] != 0).all(), "what is confined spills by itself"
    assert np.allclose(pipe.draw(codes, references), np.clip(pipe.decode_arrays(codes) + change, 0, 255), atol=1)


def test_what_is_taken_besides_goes_where_it_likes(pipe, codes):
    both = {"hair_color": taking(1, 0), "smiling": taking(0, 1)}
    [change] = pipe.change(codes, both, {"hair_color": 0.5})
    [hair] = pipe.change(codes, {"hair_color": both["hair_color"]}, {"hair_color": 0.5})
    [smile] = pipe.change(codes, {"smiling": both["smiling"]})
    assert smile.any()
    assert np.allclose(change, hair + smile, atol=1e-3)


class Mingling(Spilling):
    """What its units draw together is not the sum of what they draw alone."""

    def decode(self, codes):
        return super().decode(codes) + 0.1 * codes.embedding[:, :1] * codes.embedding[:, 1:2]


def test_what_confined_attributes_draw_together_stays_in_their_regions(codes):
    _, hair, _ = scene()
    mouth = mouth_region(SIZE) > 0
    both = {"hair_color": taking(1, 0), "smiling": taking(0, 1)}
    confined = TransferPipeline(Mingling(), {"confined": {"hair_color": "hair", "smiling": "mouth"}})
    [change] = confined.change(codes, both)
    assert not change[~grown(hair, 6) & ~mouth].any()
    assert change[mouth].any()
    [together] = TransferPipeline(Mingling()).change(codes, both)
    assert (together[~grown(hair, 6) & ~mouth] != 0).all(), "it spills by itself"


def test_what_is_free_is_drawn_once_and_goes_where_it_likes(codes):
    """And the confined attribute is drawn on it: bangs take the new colour."""
    _, hair, _ = scene()
    both = {"hair_color": taking(1, 0), "smiling": taking(0, 1)}
    confined, free = (TransferPipeline(Mingling(), c) for c in ({"confined": {"hair_color": "hair"}}, {}))
    [change], [together] = (pipe.change(codes, both) for pipe in (confined, free))
    [smile] = free.change(codes, {"smiling": both["smiling"]})
    outside, inside = ~grown(hair, 6), ~grown(~hair, 4)
    assert np.allclose(change[outside], smile[outside], atol=1e-3)
    assert np.allclose(change[inside], together[inside], atol=1e-3)


class Growing(Spilling):
    """Its second unit draws a fringe, in the colour that the first gives."""

    def decode(self, codes):
        colour, fringe = codes.embedding[:, :1], codes.embedding[:, 1:2]
        hair = super().decode(replace(codes, embedding=codes.embedding * np.array([1, 0, 0]).reshape(3, 1, 1)))
        return np.where((fringe > 0) & FRINGE, (np.array(HAIR).reshape(3, 1, 1) - 80 * colour) / 127.5 - 1, hair)


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_a_fringe_that_is_taken_has_the_colour_that_is_taken(codes, strength):
    pipe = TransferPipeline(Growing(), {"confined": {"hair_color": "hair"}})
    both = {"hair_color": taking(1, 0), "smiling": taking(0, 1)}
    [face] = pipe.draw(codes, both, {"hair_color": strength})
    within = ~grown(~FRINGE, 3)
    assert np.abs(face[within].astype(int) - np.clip(np.array(HAIR) - 80 * strength, 0, 255)).max() < 15


class Separate(Growing):
    """The two know nothing of each other: the first darkens what is hair in the photo, the second draws its fringe in
    the photo's colour, and some hair about the mouth."""

    def decode(self, codes):
        hair, fringe = codes.embedding[:, :1], codes.embedding[:, 1:2]
        colour = np.array(HAIR, np.float32).reshape(3, 1, 1) / 127.5 - 1
        about = np.abs(codes.photo - colour).max(1, keepdims=True) < 0.4
        drawn = (fringe > 0) & (FRINGE | MOUTH)
        return np.where(drawn, colour, codes.photo - hair * 80 / 127.5 * (about & (Y < 0.7)))


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_a_fringe_that_has_grown_is_recoloured_with_the_hair(codes, strength):
    pipe = TransferPipeline(Separate(), {"confined": {"hair_color": "hair", "smiling": "forehead"}})
    [face] = pipe.draw(codes, {"hair_color": taking(1, 0), "smiling": taking(0, 1)}, {"hair_color": strength})
    within = ~grown(~FRINGE, 3)
    assert np.abs(face[within].astype(int) - np.clip(np.array(HAIR) - 80 * strength, 0, 255)).max() < 15
    [before] = pipe.decode_arrays(codes)
    assert (face[MOUTH] == before[MOUTH]).all()


class Labelled(Spilling):
    """Its units are labels; of a face whose labels are not known, 0."""

    def encode(self, faces, labels=None):
        if labels is None:
            labels = np.zeros((len(faces), 2))
        embedding = np.pad(labels, ((0, 0), (0, 1))).astype(np.float32)[:, :, None, None]
        return Codes(embedding, faces, self.layout)


@pytest.mark.parametrize("confined", [{"hair_color": "hair"}, {"hair_color": "hair", "smiling": "forehead"}])
def test_what_is_measured_is_what_users_get(confined):
    """Evaluation's results are the pipeline's, to the bit."""
    pipe = TransferPipeline(Labelled(), {"confined": confined})
    faces = np.stack([scene(seed)[0] for seed in range(4)])
    labels = np.array([[0, 0], [0, 1], [1, 1], [1, 0]], np.uint8)
    names = [f"{i}.png" for i in range(4)]
    data = FaceData(faces, labels, Labelled.layout.columns, names, np.full(4, 2, np.uint8), "scenes", "")
    judge = Judge(lambda faces: np.zeros((len(faces), 2), np.float32), Labelled.layout.columns)
    pairs, attributes = (np.array([0, 1]), np.array([2, 3])), Labelled.layout.attributes
    [plain] = transferred(Labelled(), data, pairs, judge, attributes)
    [chunk] = transferred(Labelled(), data, pairs, judge, attributes, confined=confined)
    for results, free in zip(chunk.results, plain.results, strict=True):
        for result, item, taken in zip(results.faces, results.items, results.taken, strict=True):
            reference = chunk.codes[chunk.partner[[item]]]
            take = {a.name: reference for a, is_taken in zip(attributes, taken, strict=True) if is_taken}
            [drawn] = pipe.draw(chunk.codes[np.array([item])], take)
            assert (drawn == as_pixels(result[None])).all()
        assert (results.faces != free.faces).any() == (results.name == ALL or results.name in confined)


@pytest.mark.parametrize(
    "config",
    [{"confined": "hair_color"}, {"confined": 1}, {"confined": [1]}, {"confined": ["hair_color"]}, {"mirrored": "no"}],
)
def test_a_config_that_makes_no_sense_says_what_is_expected(config):
    with pytest.raises(TraitswapError, match=r'such as {"hair_color": "hair"}, and true or false'):
        TransferPipeline(Spilling(), config)


def test_weights_that_confine_what_they_do_not_know_say_so():
    with pytest.raises(TraitswapError, match="no attribute 'hair'"):
        TransferPipeline(Spilling(), {"confined": {"hair": "hair"}})


@pytest.mark.parametrize("region", ["nose", 1, ["hair"]])
def test_a_region_that_is_not_known_says_which_are(region):
    with pytest.raises(TraitswapError, match=r"hair_color cannot be confined to .*: the regions are hair, eyes, mouth"):
        TransferPipeline(Spilling(), {"confined": {"hair_color": region}})
