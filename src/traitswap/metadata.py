"""What a picture's file says beside its pixels: EXIF, colour profile, XMP; and the mark of an edited picture."""

import re
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC's term for a picture of which a trained model made a part."""
LONGEST = 65_000
"""Bytes of EXIF or XMP; JPEG has no room for more."""

_XMP_TAG = 700
_EXTENSION = b"http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_STATEMENT = (
    b'<rdf:Description rdf:about="" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:Iptc4xmpExt="'
    + _EXTENSION
    + b'" Iptc4xmpExt:DigitalSourceType="'
    + SOURCE_TYPE.encode()
    + b'"/>'
)
_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
).encode()
_OTHER_SOURCE_TYPE = re.compile(
    rb"""\s[\w-]+:DigitalSourceType\s*=\s*(?:"[^"]*"|'[^']*')|<([\w-]+:DigitalSourceType)\b[^>]*?(?:/>|>.*?</\1\s*>)""",
    re.DOTALL,
)


def metadata_of(image: Image.Image) -> dict[str, bytes]:
    """`exif`, `icc_profile` and `xmp` of an upright picture, where there are any that hold for its pixels as 8-bit RGB.

    Left out: profiles of other colour spaces, and EXIF's small picture, which shows what was there before.
    """
    kept = {"exif": _exif(image)}
    profile = image.info.get("icc_profile") or b""
    if profile[16:20] == b"RGB ":
        kept["icc_profile"] = profile
    xmp = image.info.get("xmp") or b""
    kept["xmp"] = xmp.encode() if isinstance(xmp, str) else xmp
    return {name: data for name, data in kept.items() if data and (name == "icc_profile" or len(data) <= LONGEST)}


def _exif(image: Image.Image) -> bytes:
    try:
        exif = image.getexif()
        return exif.tobytes() if exif else b""
    except Exception:  # Damaged in any of many ways; the photo itself is whole.
        return b""


def marked(xmp: bytes) -> bytes:
    """An XMP packet, or none (empty), with `SOURCE_TYPE` as its DigitalSourceType; the rest of it stays."""
    packet = _OTHER_SOURCE_TYPE.sub(b"", xmp)
    before, end, after = packet.rpartition(b"</rdf:RDF>")
    if not end or len(packet) + len(_STATEMENT) > LONGEST:
        before, end, after = _PACKET.rpartition(b"</rdf:RDF>")
    return before + _STATEMENT + end + after


def saving_options(file_format: str, metadata: dict[str, bytes]) -> dict[str, Any]:
    """What Pillow's `save` takes for what `metadata_of` gives; a format that has no place for it does without."""
    options: dict[str, Any] = dict(metadata)
    xmp = options.pop("xmp", b"")
    if xmp and file_format == "PNG":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
    elif xmp and file_format == "TIFF":
        exif = Image.Exif()
        exif.load(options.get("exif", b""))
        exif[_XMP_TAG] = xmp
        options["exif"] = exif
    elif xmp:
        options["xmp"] = xmp
    return options
