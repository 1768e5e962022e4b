"""Ordinary photos through the pipeline: turned, large, small, grey, transparent, several faces or none."""

import io
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from traitswap.batched import BATCH, Batched
from traitswap.errors import TraitswapError
from traitswap.images import open_photo, read_photo
from traitswap.metadata import SOURCE_TYPE, marked
from traitswap.pipeline import Edit

from .photos import TINT, Tint, astronaut, image_file, scaled, tint, turned, two_faces

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(scope="module")
def photo():
    return astronaut()


@pytest.fixture(scope="module")
def reference(photo):
    return np.clip(photo * 0.8, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def edited(photo, reference):
    return edit(photo, reference)


def edit(photo, reference, **options):
    return np.asarray(tint()(photo, {"hair_color": reference}, **options).image)


def change(before, after):
    return after.astype(int) - before


def test_the_face_changes_and_keeps_its_detail(photo, edited):
    difference = change(photo, edited)
    face = np.s_[90:150, 195:250]
    red = difference[face][..., 0]
    room = photo[face][..., 0] < 255 - TINT
    assert (red[room] == TINT).all(), "the model's change, none of its blur"
    assert (difference[..., 1:] == 0).all()


def test_what_lies_away_from_the_face_is_bit_identical(photo, edited):
    difference = change(photo, edited).any(2)
    assert not difference[280:].any()
    assert not difference[:, 360:].any()
    assert not difference[:, :80].any()


def test_the_edge_of_the_change_is_soft(photo, edited):
    # Half as bright, so that nothing is clipped, and on grey, so that only the edit makes steps.
    grey = photo // 2
    red = change(grey, edit(grey, photo))[..., 0]
    assert red.max() == TINT
    assert np.abs(np.diff(red, axis=0)).max() <= TINT / 8
    assert np.abs(np.diff(red, axis=1)).max() <= TINT / 8


def test_nothing_taken_leaves_every_bit(photo, reference):
    assert (np.asarray(tint()(photo).image) == photo).all()
    assert (edit(photo, reference, strength={"hair_color": 0}) == photo).all()


def test_a_turned_photo_gets_the_turned_change(photo, reference, edited):
    dark = photo // 2
    plain = change(dark, edit(dark, reference))[..., 0].astype(np.float32)
    for angle in (30, -20):
        image, matrix = turned(dark, angle)
        expected = cv2.warpAffine(plain, matrix, (512, 512))
        got = change(image, edit(image, reference))[..., 0]
        assert np.abs(got - expected).mean() < 0.1 * expected.mean()


def test_exif_turned_is_as_turned(photo, reference, edited):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Artist] = "her"
    buffer = io.BytesIO()
    # Stored on its side, to be turned clockwise.
    Image.fromarray(np.rot90(photo)).save(buffer, "PNG", exif=exif)
    result = tint()(buffer.getvalue(), {"hair_color": reference})
    assert (np.asarray(result.image) == edited).all()
    kept = Image.Exif()
    kept.load(result.image.info["exif"])
    assert dict(kept) == {ExifTags.Base.Artist: "her"}


def test_small_and_large_photos(photo, reference):
    small = np.ascontiguousarray(photo[50:190, 178:268])
    assert small.shape[1] == 90
    assert change(small, edit(small, reference))[60:90, 30:60, 0].mean() > 0.8 * TINT
    large = scaled(photo // 2, 4000)
    difference = change(large, edit(large, reference))
    assert (difference[760:1150, 1560:1900] == [TINT, 0, 0]).all()
    assert not difference[2200:].any()


def test_the_face_of_a_number_is_edited_alone(reference):
    image = two_faces()
    first, second, both = (change(image, edit(image, reference, face=which)) for which in (1, 2, "all"))
    assert first[:, :400].any()
    assert not first[:, 520:].any()
    assert second[:, 560:].any()
    assert not second[:, :520].any()
    assert (both == first + second).all()
    assert tint()(image, face="all").faces == (1, 2)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda a: np.full_like(a, 128), "no face found"),
        (lambda a: scaled(a, 90), "pixels wide, at least 32 are needed"),
        (lambda a: a[:, 215:], "is cut off by the photo's edge"),
        (lambda a: a[:147], "is cut off by the photo's edge"),
    ],
)
def test_photos_and_references_without_a_usable_face_are_named(photo, tmp_path, spoil, expected):
    spoiled = tmp_path / "spoiled.png"
    Image.fromarray(np.ascontiguousarray(spoil(photo))).save(spoiled)
    for request in ({"photo": spoiled, "take": {"hair_color": photo}}, {"photo": photo, "take": {"smiling": spoiled}}):
        with pytest.raises(TraitswapError, match=f"spoiled.png: .*{expected}"):
            tint()(**request)


def test_every_face_is_edited_in_its_own_way(reference):
    image = two_faces()
    edits = [Edit(2, {"smiling": reference}), Edit(1, {"hair_color": reference}, {"hair_color": 0})]
    both = tint().edit_faces(image, edits)
    assert both.faces == (2, 1)
    # Tint reddens what takes hair, and a strength of 0 takes nothing.
    assert (np.asarray(both.image) == image).all()
    red = tint().edit_faces(image, [Edit(2, {"hair_color": reference}), Edit(1, {"hair_color": reference})]).image
    assert (np.asarray(red) == edit(image, reference, face="all")).all()
    assert (np.asarray(red) == edit(image, reference, face=(1, 2))).all()
    for wrong, expected in (
        ([Edit(1, {}), Edit(1, {})], "face 1 is edited twice"),
        ([Edit(3, {})], "no face 3"),
        ([Edit(1, {"hair": reference})], "no attribute 'hair'"),
        ([], "no edits"),
    ):
        with pytest.raises(TraitswapError, match=expected):
            tint().edit_faces(image, wrong)


def test_many_faces_go_through_the_networks_some_at_a_time():
    faces = np.random.default_rng(0).uniform(-1, 1, (2 * BATCH + 5, 3, 64, 64)).astype(np.float32)
    some, all_at_once = Batched(Tint()), Tint()
    codes = some.encode(faces)
    assert (codes.embedding == all_at_once.encode(faces).embedding).all()
    assert (some.decode(codes) == all_at_once.decode(codes)).all()


def test_the_change_of_a_face_is_what_an_edit_adds(photo, reference):
    pipe = tint()
    encoded, references = pipe.encode_photo(photo // 2), pipe.encode_references({"hair_color": reference})
    [change] = pipe.change(encoded.codes, references)
    assert np.allclose(change, [TINT, 0, 0], atol=1e-3)
    assert (pipe.change(encoded.codes, references, rebuilt=encoded.rebuilt)[0] == change).all()
    assert not pipe.change(encoded.codes, references, {"hair_color": 0}).any()


def test_an_opened_photo_keeps_its_name(photo):
    opened = open_photo(photo, "him.png")
    assert open_photo(opened) is opened
    assert (np.asarray(tint()(opened, {"hair_color": opened}).image) == photo).all()
    for data in (np.full_like(photo, 128), Image.fromarray(np.full_like(photo, 128))):
        with pytest.raises(TraitswapError, match=r"him.png: no face found.*--aligned") as raised:
            tint()(photo, {"hair_color": open_photo(data, "him.png")})
        assert "--aligned" not in raised.value.message
    with pytest.raises(TraitswapError, match=r"him.png has 512×512 pixels; at most 1,000 are read"):
        open_photo(image_file(photo), "him.png", 1_000)


def test_an_aligned_crop_is_rebuilt_and_has_no_numbers(photo):
    crop = photo[40:200, 140:300]
    result = tint()(crop, aligned=True)
    assert result.image.size == (64, 64)
    assert result.faces == ()
    with pytest.raises(TraitswapError, match="an aligned crop has one face"):
        tint()(crop, face=2, aligned=True)


def saved(image, suffix, tmp_path, mark=True, **options):
    """A picture written, edited and written again."""
    Image.init()
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    image.save(source, **options)
    tint()(source, {"hair_color": astronaut()}).save(target, mark=mark)
    return open_photo(source), loaded(target)


def loaded(path):
    with Image.open(path) as image:
        image.load()
        return image


def test_grey_gives_colour(photo, tmp_path):
    before, after = saved(
        Image.fromarray(photo).convert("L"), ".png", tmp_path, icc_profile=b"x" * 16 + b"GRAY" + b"x" * 108
    )
    assert after.mode == "RGB"
    assert "icc_profile" not in after.info
    assert (change(before.pixels, np.asarray(after))[100:140, 200:240, 1:] == 0).all()


def test_sixteen_bit_grey_is_read(photo, tmp_path):
    grey = np.asarray(Image.fromarray(photo).convert("L"))
    before, after = saved(Image.fromarray(grey.astype(np.uint16) * 257), ".png", tmp_path)
    assert (before.pixels == grey[:, :, None]).all()
    assert after.mode == "RGB"


def test_transparency_stays_where_the_format_has_it(photo, tmp_path):
    alpha = np.full((512, 512), 255, np.uint8)
    alpha[:, :150] = np.arange(150)
    image = Image.fromarray(np.dstack([photo, alpha]))
    for suffix in (".png", ".webp", ".tiff"):
        _, after = saved(image, suffix, tmp_path, lossless=True)
        assert after.mode == "RGBA"
        assert (np.asarray(after)[..., 3] == alpha).all()
        if suffix != ".webp":  # written with losses
            assert (np.asarray(after)[300:] == np.asarray(image)[300:]).all()
    tint()(image, {"hair_color": photo}).save(tmp_path / "out.jpg")
    flat = read_photo(tmp_path / "out.jpg")
    assert np.abs(flat[300:].astype(int) - open_photo(image).seen[300:]).mean() < 4


def test_cmyk_becomes_rgb_without_its_profile(photo, tmp_path):
    profile = b"\0" * 16 + b"CMYK" + b"\0" * 108
    before, after = saved(Image.fromarray(photo).convert("CMYK"), ".jpg", tmp_path, icc_profile=profile, quality=95)
    assert after.mode == "RGB"
    assert "icc_profile" not in after.info
    assert np.abs(change(before.pixels, np.asarray(after))[300:]).mean() < 4


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif", ".tiff"])
def test_metadata_is_kept_and_the_mark_added(photo, tmp_path, suffix):
    if Image.registered_extensions().get(suffix) not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {suffix}")
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "her"
    exif[ExifTags.Base.Orientation] = 1
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.LensModel] = "50 mm"
    source = tmp_path / "in.jpg"
    Image.fromarray(photo).save(source, exif=exif, icc_profile=PROFILE, xmp=marked(b"").replace(b"compositeWith", b"x"))
    result = tint()(source, {"hair_color": photo})
    for mark in (True, False):
        result.save(tmp_path / f"out{suffix}", mark=mark)
        after = loaded(tmp_path / f"out{suffix}")
        assert after.size == (512, 512)
        assert after.info["icc_profile"] == PROFILE
        assert after.getexif()[ExifTags.Base.Artist] == "her"
        assert after.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.LensModel] == "50 mm"
        assert after.getexif().get(ExifTags.Base.Orientation, 1) == 1
        assert (SOURCE_TYPE.encode() in after.info["xmp"]) == mark
        assert after.info["xmp"].count(b"DigitalSourceType=") == 1


def test_a_picture_without_metadata_is_marked_all_the_same(photo, tmp_path):
    tint()(photo).save(tmp_path / "out.png")
    [statement] = ElementTree.fromstring(loaded(tmp_path / "out.png").info["xmp"]).iter(f"{RDF}Description")
    assert statement.attrib == {f"{RDF}about": "", f"{IPTC}DigitalSourceType": SOURCE_TYPE}
    tint()(photo).save(tmp_path / "out.png", mark=False)
    assert "xmp" not in loaded(tmp_path / "out.png").info


@pytest.mark.parametrize(
    "other",
    [
        b'<rdf:Description Iptc4xmpExt:DigitalSourceType="http://x/digitalCapture" dc:format="image/jpeg"/>',
        b"<rdf:Description dc:format='image/jpeg'><e:DigitalSourceType>http://x</e:DigitalSourceType></rdf:Description>",
        b'<rdf:Description dc:format="image/jpeg"><e:DigitalSourceType rdf:resource="http://x"/></rdf:Description>',
    ],
)
def test_the_mark_replaces_another_and_keeps_the_rest(other):
    packet = marked(b"<x:xmpmeta><rdf:RDF>" + other + b"</rdf:RDF></x:xmpmeta>")
    assert packet.count(b"DigitalSourceType") == 1
    assert b"image/jpeg" in packet
    assert b"http://x" not in packet
    assert packet.endswith(b"</rdf:RDF></x:xmpmeta>")


def test_metadata_too_long_for_jpeg_does_not_stop_the_writing(photo, tmp_path):
    assert len(marked(b"<rdf:RDF>" + b"x" * 70_000 + b"</rdf:RDF>")) < 1_000
    source = Image.fromarray(photo)
    source.info["xmp"] = b"<rdf:RDF>" + b"x" * 70_000 + b"</rdf:RDF>"
    source.info["exif"] = b"Exif\0\0damaged"
    for mark in (True, False):
        tint()(source).save(tmp_path / "out.jpg", mark=mark)
        assert ("xmp" in loaded(tmp_path / "out.jpg").info) == mark
