"""The HTTP API: the pipeline's pictures over the wire, every limit, and every error as one clear line."""

import asyncio
import base64
import contextlib
import io
import json
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

httpx = pytest.importorskip("httpx", reason="httpx is missing: pip install '.[dev]'")
uvicorn = pytest.importorskip("uvicorn", reason="the extra 'web' is missing: pip install '.[dev]'")

from traitswap import TransferPipeline, cli  # noqa: E402
from traitswap.cli import using  # noqa: E402
from traitswap.codec import Codes  # noqa: E402
from traitswap.crops import guided  # noqa: E402
from traitswap.editing import as_pixels  # noqa: E402
from traitswap.metadata import SOURCE_TYPE  # noqa: E402
from traitswap.pipeline import STRONGEST  # noqa: E402
from traitswap.web import server  # noqa: E402
from traitswap.web.app import create_app  # noqa: E402
from traitswap.web.guard import Limits  # noqa: E402

from .photos import Shade, astronaut, image_file, scaled, shade, two_faces  # noqa: E402

TAKE = {"hair_color": "@fair"}
UNIT = base64.b64encode(np.float16(0.5).tobytes()).decode()


@pytest.fixture(scope="module")
def pipe():
    return shade()


@pytest.fixture(scope="module")
def client(pipe):
    with served(pipe) as client:
        yield client


@pytest.fixture(scope="module")
def photo():
    return image_file(astronaut())


@pytest.fixture(scope="module")
def reference():
    return image_file(np.clip(astronaut() * 0.6, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def codes(client, photo):
    return encode(client, photo)["faces"][0]["codes"]


@contextlib.contextmanager
def served(pipe, **limits):
    """A client of a server that runs in a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    app = create_app(pipe, Limits(**limits), frozenset({"localhost", "127.0.0.1"}))
    running = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=30) as client:
            yield client
    finally:
        running.should_exit = True
        thread.join(10)
        listener.close()
    assert not thread.is_alive()


def connected(client):
    """A bare connection to the client's server."""
    connection = socket.create_connection((client.base_url.host, client.base_url.port))
    connection.settimeout(10)
    return connection


def encode(client, photo, name="me.png"):
    answer = client.post("/v1/encode", files={"photo": (name, photo)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def decode(client, codes, take, strength=None):
    return client.post("/v1/decode", json={"codes": codes, "take": take, "strength": strength or {}})


def transfer(client, photo, edits, references=(), **fields):
    files = [
        ("photo", ("me.png", photo)),
        *(("references", (f"her{i}.png", data)) for i, data in enumerate(references)),
    ]
    return client.post("/v1/transfer", files=files, data={"edits": json.dumps(edits), **fields})


def refused(answer, status, *expected):
    """An error of one line that says all of `expected`, with the headers that every answer has."""
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    error = answer.json()["error"]
    assert "\n" not in error
    assert "Traceback" not in error
    for part in expected:
        assert part in error
    assert answer.headers["cache-control"] == "no-store"


def pixels(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image)


# What it gives


def test_the_faces_of_a_photo_with_their_squares(client):
    image = np.concatenate([astronaut()[:, 215:], two_faces()], 1)
    seen = encode(client, image_file(image))
    assert (seen["width"], seen["height"]) == (1097, 512)
    first, cut, third = seen["faces"]
    assert [face["number"] for face in seen["faces"]] == [1, 2, 3]
    assert cut["trouble"] == "me.png: face 2 is cut off by the photo's edge: give a photo with the whole face"
    assert cut["codes"] is cut["units"] is cut["square"] is None
    for face, left, width in ((first, 297, 90), (third, 297 + 544, 45)):
        assert face["trouble"] == ""
        assert face["box"][0] == pytest.approx(left + 2 * width, abs=width / 4)
        turn, shift = (complex(*face["square"][name]) for name in ("turn", "shift"))
        # The middle of the box lies near the middle of the square, which is about twice as wide.
        middle = complex(face["box"][0] + face["box"][2] / 2, face["box"][1] + face["box"][3] / 2)
        assert abs(turn * middle + shift - (0.5 + 0.55j)) < 0.08
        assert 1.6 < 1 / abs(turn) / face["box"][2] < 2.8
    preview = seen["preview"]
    shown = pixels(base64.b64decode(preview["data"]))
    assert shown.shape == (preview["height"], preview["width"], 3) == (478, 1024, 3)


def test_the_preview_is_upright_and_keeps_transparency(client):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    turned = encode(client, image_file(np.rot90(two_faces()), exif=exif))
    assert (turned["width"], turned["height"]) == (800, 512)
    shown = pixels(base64.b64decode(turned["preview"]["data"]))
    assert np.abs(shown.astype(int) - two_faces()).mean() < 3
    clear = encode(client, image_file(np.dstack([astronaut(), np.full((512, 512), 77, np.uint8)])))
    assert (pixels(base64.b64decode(clear["preview"]["data"]))[..., 3] == 77).all()


def test_decode_gives_the_pipelines_change(client, pipe, photo, reference, codes):
    her = encode(client, reference)["faces"][0]["units"]["hair_color"]
    encoded = pipe.encode_photo(photo)
    references = pipe.encode_references({"hair_color": reference, "smiling": "@smiling"})
    for amount in (0.0, 0.3, 1.0):
        strength = {"hair_color": amount, "smiling": amount / 2}
        answer = decode(client, codes, {"hair_color": her, "smiling": "@smiling"}, strength)
        assert answer.headers["content-type"] == "application/octet-stream"
        change = np.frombuffer(answer.content, "<i2").reshape(64, 64, 6) / [[[32] * 3 + [4096] * 3]]
        expected = guided(pipe.change(encoded.codes, references, strength)[0], as_pixels(encoded.codes.photo)[0])
        off = np.abs(change - np.concatenate(expected, 2)).max((0, 1))
        # The codes that were sent are in half precision.
        assert off[:3].max() <= 1
        assert off[3:].max() <= 0.002
        assert (np.abs(change[..., 3:]).max() > 0.02) == (amount > 0)
        assert change.any() == (amount > 0)
        assert max(np.abs(change[0]).max(), np.abs(change[:, -1]).max()) < 0.5
    assert not np.frombuffer(decode(client, codes, {}).content, "<i2").any()


def test_the_server_remembers_nothing(client, codes):
    """Another one answers as well."""
    with served(shade()) as other:
        assert decode(other, codes, TAKE).content == decode(client, codes, TAKE).content


def test_transfer_gives_what_the_command_line_writes(client, pipe, photo, reference):
    take, strength = {"hair_color": reference, "smiling": "@smiling"}, {"smiling": 0.5}
    edits = [{"face": 1, "take": {"hair_color": 2, "smiling": "@smiling"}, "strength": strength}]
    result = pipe(photo, take, strength)
    for name, mark in (("png", True), ("jpeg", False), ("webp", True)):
        answer = transfer(client, photo, edits, [b"not taken from", reference], format=name, mark=str(mark).lower())
        assert answer.content == result.encoded(name.upper(), mark)
        assert answer.headers["content-type"] == f"image/{name}"
        assert (SOURCE_TYPE.encode() in answer.content) == mark


def test_every_face_takes_its_own(client, pipe):
    image = two_faces()
    edits = [{"face": 2, "take": {"smiling": "@smiling"}}, {"take": TAKE, "strength": {"hair_color": 0.5}}]
    got = pixels(transfer(client, image_file(image), edits).content).astype(int)
    second = np.asarray(pipe(image, {"smiling": "@smiling"}, face=2).image)
    first = np.asarray(pipe(image, TAKE, {"hair_color": 0.5}).image)
    assert (got - image == (second - image.astype(int)) + (first - image.astype(int))).all()
    assert (second != image).any()
    assert (first != image).any()


def test_the_model_and_the_limits_are_told(client):
    told = client.get("/v1/model").json()
    assert told["styles"] == {"hair_color": ["@dark", "@fair"], "smiling": ["@smiling"]}
    assert told["attributes"] == ["hair_color", "smiling"]
    assert told["size"] == 64
    assert told["strongest"] == STRONGEST
    assert told["max_upload"] == Limits().upload
    assert client.get("/healthz").json() == {"status": "ok"}


def test_metrics_count_requests_and_not_their_paths(pipe, photo):
    with served(pipe) as client:
        encode(client, photo)
        client.post("/v1/encode", files={"photo": b"no image"})
        client.get("/v1/anything-at-all")
        said = client.get("/metrics")
    assert said.headers["content-type"].startswith("text/plain")
    lines = said.text.splitlines()
    assert 'traitswap_requests_total{path="/v1/encode",status="200"} 1.0' in lines
    assert 'traitswap_requests_total{path="/v1/encode",status="422"} 1.0' in lines
    assert 'traitswap_requests_total{path="other",status="404"} 1.0' in lines
    assert 'traitswap_request_seconds_count{path="/v1/encode"} 2.0' in lines
    assert "traitswap_requests_busy 0.0" in lines
    assert "anything" not in said.text


# Errors


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda a: b"not an image", "is not an image that can be read"),
        (lambda a: b"", "is not an image that can be read"),
        (lambda a: image_file(a)[:3000], "is damaged or cut short"),
        (lambda a: image_file(np.full_like(a, 128)), "no face found; give a photo with an upright, well-lit face"),
        (lambda a: image_file(scaled(a, 90)), "pixels wide, at least 32 are needed"),
        (lambda a: image_file(np.ascontiguousarray(a[:, 215:])), "is cut off by the photo's edge"),
        (lambda a: image_file(Image.new("1", (8000, 7000))), "8000×7000 pixels; at most 50,000,000 are read"),
    ],
)
def test_photos_that_cannot_be_edited_are_named(client, photo, spoil, expected):
    spoiled = spoil(astronaut())
    for name, answer in (
        ("me.png", transfer(client, spoiled, [{"take": TAKE}])),
        ("her0.png", transfer(client, photo, [{"take": {"smiling": 1}}], [spoiled])),
    ):
        refused(answer, 422, name, expected)
        assert "--aligned" not in answer.text
    answer = client.post("/v1/encode", files={"photo": ("me.png", spoiled)})
    if answer.status_code == 200:  # there are faces, and a reason for each
        assert expected in answer.json()["faces"][0]["trouble"]
    else:
        refused(answer, 422, "me.png", expected)


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ([], "edits: "),
        ([{"face": 0, "take": {}}], "greater than or equal to 1"),
        ([{"face": 3, "take": {}}], "me.png has no face 3: give one of 1 to 1"),
        ([{"take": TAKE}, {"take": TAKE}], "face 1 is edited twice"),
        ([{"take": {"hair": "@fair"}}], "no attribute 'hair'"),
        ([{"take": {"hair_color": "@fare"}}], "did you mean @fair?"),
        ([{"take": {"hair_color": "her.png"}}], "'her.png' is neither a reference's number nor a style's name"),
        ([{"take": {"hair_color": 2}}], "reference 2 is to be taken, 1 were sent"),
        ([{"take": {"hair_color": 0}}], "edits"),
        ([{"take": {}, "strength": {"smiling": 0.5}}], "no reference to take it from"),
        ([{"take": TAKE, "strength": {"hair_color": 1.6}}], "less than or equal to 1.5"),
        ([{"take": TAKE, "strength": {"hair_color": "1"}}], "valid number"),
        ([{"take": TAKE, "aligned": True}], "aligned"),
        ({"take": TAKE}, "valid list"),
    ],
)
def test_wrong_edits_are_explained(client, photo, edits, expected):
    refused(transfer(client, photo, edits, [photo]), 422, expected)


def test_wrong_forms_are_explained(client, photo):
    files = {"photo": photo}
    refused(client.post("/v1/transfer", files=files, data={"edits": "["}), 422, "edits", "JSON")
    refused(client.post("/v1/transfer", files=files), 422, "edits: Field required")
    edits = json.dumps([{"take": TAKE}])
    refused(client.post("/v1/transfer", data={"edits": edits}), 422, "photo: ")
    refused(client.post("/v1/transfer", files=files, data={"edits": edits, "format": "gif"}), 422, "format", "'webp'")
    refused(client.post("/v1/encode", data={"photo": "me.png"}), 422, "photo: ")
    refused(client.post("/v1/encode", content=b"x", headers={"content-type": "multipart/form-data"}), 400)
    refused(
        client.post("/v1/decode", content=b"{", headers={"content-type": "application/json"}), 422, "the body: JSON"
    )
    refused(client.get("/v1/decode"), 405)
    refused(client.get("/v2"), 404)


def altered(codes, change):
    data = bytearray(base64.b64decode(codes))
    change(data)
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda data: data.pop(), "bytes; this model's have"),
        (lambda data: data.clear(), "0 bytes; this model's have"),
        (lambda data: data.__setitem__(slice(0, 2), np.float16(np.nan).tobytes()), "not every number is finite"),
        (lambda data: data.__setitem__(slice(0, 2), np.float16(-np.inf).tobytes()), "not every number is finite"),
    ],
)
def test_codes_that_no_photo_gave_are_refused(client, codes, change, expected):
    wrong = altered(codes, change)
    refused(decode(client, wrong, TAKE), 422, "codes: ", expected)
    unit = altered(UNIT, change)
    refused(decode(client, codes, {"hair_color": unit}), 422, "take 'hair_color': ", expected)


def test_units_alike_everywhere_are_sent_once(photo):
    class Spread(Shade):
        """Its embeddings have places; its smile differs between them."""

        def encode(self, faces, labels=None):
            codes = super().encode(faces)
            embedding = np.repeat(np.repeat(codes.embedding, 2, 2), 2, 3)
            embedding[:, 1, 0] += 0.25
            return Codes(embedding, faces, self.layout)

        def decode(self, codes):
            return super().decode(Codes(codes.embedding.mean((2, 3), keepdims=True), codes.photo, self.layout))

    pipe = TransferPipeline(Spread())
    with served(pipe) as client:
        [face] = encode(client, photo)["faces"]
        lengths = {name: len(base64.b64decode(unit)) for name, unit in face["units"].items()}
        assert lengths == {"hair_color": 2, "smiling": 8}
        for name in face["units"]:
            assert not np.frombuffer(decode(client, face["codes"], {name: face["units"][name]}).content, "<i2").any()
        refused(
            decode(client, face["codes"], {"smiling": face["units"]["smiling"][:4]}), 422, "take 'smiling': 3 bytes"
        )


def test_wrong_references_of_decode_are_explained(client, codes):
    refused(decode(client, "§", TAKE), 422, "codes: not base64")
    refused(decode(client, codes, {"hair_color": "her.png"}), 422, "take 'hair_color': not base64")
    refused(decode(client, codes, {"hair_color": "@fare"}), 422, "did you mean @fair?")
    refused(decode(client, codes, {"hair": "@fair"}), 422, "no attribute 'hair'")
    refused(decode(client, codes, {}, {"smiling": 0.5}), 422, "no reference to take it from")
    refused(decode(client, codes, TAKE, {"hair_color": 1.51}), 422, "strength.hair_color")
    nan = json.dumps({"codes": codes, "take": TAKE, "strength": {"hair_color": float("nan")}})
    refused(client.post("/v1/decode", content=nan, headers={"content-type": "application/json"}), 422, "strength")


@settings(max_examples=30)
@given(numbers=st.lists(st.floats(width=16), min_size=3, max_size=3), level=st.integers(0, 255))
def test_any_numbers_as_codes_are_answered(client, numbers, level):
    blob = base64.b64encode(np.array(numbers, "<f2").tobytes() + bytes([level]) * (64 * 64 * 3)).decode()
    answer = decode(client, blob, TAKE)
    assert answer.status_code == (200 if np.isfinite(numbers).all() else 422)


def test_a_change_that_is_no_number_is_refused(codes):
    class Broken(Shade):
        def decode(self, codes):
            return super().decode(codes) * np.where(codes.embedding[:, :1] == codes.embedding[:, 1:2], 1, np.inf)

    with served(TransferPipeline(Broken())) as client:
        refused(decode(client, codes, {"hair_color": UNIT}), 422, "no face has such")


def test_what_the_server_does_wrong_is_no_traceback(photo):
    class Failing(Shade):
        def decode(self, codes):
            raise RuntimeError("secret")

    with served(TransferPipeline(Failing())) as client:
        answer = transfer(client, photo, [{"take": {}}])
    refused(answer, 500, "the server failed")
    assert "secret" not in answer.text


# Limits


def test_too_large_a_body_is_refused_before_it_is_read(pipe, photo):
    def endless():
        for _ in range(40):
            yield b"x" * 100_000

    with served(pipe, upload=1_000_000) as client:
        with connected(client) as connection:
            connection.sendall(b"POST /v1/encode HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2000000000\r\n\r\n")
            answer = connection.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"more than 1 MB were sent" in answer
        # Without a length, what arrives is counted.
        answer = client.post("/v1/decode", content=endless(), headers={"content-type": "application/json"})
        refused(answer, 413, "more than 1 MB")
        encode(client, photo)


def test_no_photo_is_written_to_disk(client, photo, monkeypatch):
    def rollover(self):
        raise AssertionError("a temporary file was made")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", rollover)
    large = photo + bytes(2_000_000)  # more than Starlette keeps in memory by itself; readers of PNG stop at its end
    assert encode(client, large)["width"] == 512
    assert transfer(client, large, [{"take": {"smiling": 1}}], [large]).status_code == 200


class Waiting(Shade):
    """A model that draws only when told."""

    def __init__(self):
        self.go, self.began = threading.Event(), threading.Semaphore(0)

    def encode(self, faces, labels=None):
        if faces.max() > -1:  # not the blank that the server looks at when it starts
            self.began.release()
            assert self.go.wait(20)
        return super().encode(faces)


def test_beyond_the_queue_the_answer_is_busy(photo):
    def post():
        return client.post("/v1/encode", files={"photo": photo})

    model = Waiting()
    with served(TransferPipeline(model), workers=1, queue=1) as client, ThreadPoolExecutor(2) as threads:
        try:
            accepted = [threads.submit(post), threads.submit(post)]
            assert model.began.acquire(timeout=20)
            until(lambda: "traitswap_requests_busy 2.0" in client.get("/metrics").text)
            answer = post()
            refused(answer, 503, "the server is busy")
            assert int(answer.headers["retry-after"]) >= 1
            assert client.get("/healthz").status_code == 200
            assert not model.began.acquire(timeout=0.2), "one at a time"
        finally:
            model.go.set()
        assert [call.result(20).status_code for call in accepted] == [200, 200]
        assert post().status_code == 200


def until(what):
    for _ in range(500):
        if what():
            return
        time.sleep(0.02)
    raise AssertionError("waited too long")


def test_work_and_photos_that_take_too_long_are_given_up(photo):
    model = Waiting()
    with served(TransferPipeline(model), seconds=0.5) as client:
        try:
            refused(client.post("/v1/encode", files={"photo": photo}), 503, "longer than 0.5 seconds")
        finally:
            model.go.set()
        with connected(client) as slow:
            form = b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 100\r\n\r\n--x"
            slow.sendall(b"POST /v1/encode HTTP/1.1\r\nHost: 127.0.0.1\r\n" + form)
            assert slow.recv(10_000).startswith(b"HTTP/1.1 408 ")


# Who may ask


def test_other_names_and_other_sites_are_refused(client, photo):
    refused(client.get("/", headers={"host": "evil.example"}), 421)
    refused(client.get("/v1/model", headers={"host": "localhost.evil.example:80"}), 421)
    refused(client.get("/", headers={"host": "[::1"}), 421)
    assert client.get("/healthz", headers={"host": "LOCALHOST:1234"}).status_code == 200
    files = {"photo": photo}
    own = str(client.base_url)
    for origin in ("http://evil.example", "null", "http://localhost:1", "http://["):
        refused(client.post("/v1/encode", files=files, headers={"origin": origin}), 403, "another site")
    assert client.post("/v1/encode", files=files, headers={"origin": own}).status_code == 200


def test_every_answer_forbids_what_a_page_could_leak_by(client):
    for path in ("/", "/page.js", "/page.css", "/icon.svg", "/v1/model", "/none", "/openapi.json"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


# What it says of itself


def test_any_request_gets_an_answer_that_the_schema_knows(client):
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is missing: pip install '.[dev]'")
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        negative_data_rejection,
        response_schema_conformance,
        status_code_conformance,
        unsupported_method,
    )

    # Not whether all that fits the schema is accepted: few bytes are a photo.
    checks = [
        not_a_server_error,
        content_type_conformance,
        negative_data_rejection,
        response_schema_conformance,
        status_code_conformance,
        unsupported_method,
    ]
    schema = schemathesis.openapi.from_url(f"{client.base_url}/openapi.json")
    operations = [operation.ok() for operation in schema.get_all_operations()]
    assert {operation.path for operation in operations} == {
        "/healthz", "/metrics", "/v1/model", "/v1/encode", "/v1/decode", "/v1/transfer",
    }  # fmt: skip
    for operation in operations:
        # What fits the schema, and what does not; without a body there is nothing to get wrong.
        for mode in (
            schemathesis.GenerationMode if operation.method == "post" else [schemathesis.GenerationMode.POSITIVE]
        ):

            @settings(max_examples=15)
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case):
                case.call_and_validate(checks=checks)

            ask()


# The server as a process


def test_it_says_where_it_is_and_ctrl_c_ends_it():
    code = (
        "from tests.photos import shade; from traitswap.web.guard import Limits; from traitswap.web.server import run;"
        "run(shade(), '127.0.0.1', 0, Limits(), lambda text: print(text, flush=True))"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    try:
        said = run.stdout.readline()
        address = said.split()[3]
        assert said == f"traitswap is at {address} (Ctrl-C ends it)\n"
        assert httpx.get(f"{address}/healthz", timeout=20).status_code == 200
        assert httpx.get(f"{address}/healthz", headers={"host": "evil.example"}).status_code == 421
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=20)
        assert (run.returncode, out, err) == (0, "", "")
    finally:
        run.kill()


def test_serve_hands_its_options_on(monkeypatch, capsys):
    given = []
    monkeypatch.setattr(using, "_pipeline", lambda weights: f"model of {weights}")
    monkeypatch.setattr(server, "run", lambda *arguments: given.append(arguments[:4]))
    options = "--host 0.0.0.0 --port 81 --max-upload 2 --max-pixels 3 --max-seconds 4 --workers 5 --queue 6"
    for arguments in ("", options):
        monkeypatch.setattr(sys, "argv", ["traitswap", "serve", "-w", "there", *arguments.split()])
        with pytest.raises(SystemExit, match="0"):
            cli.main()
    assert given == [
        ("model of there", "127.0.0.1", 8000, Limits()),
        ("model of there", "0.0.0.0", 81, Limits(2_000_000, 3_000_000, 5, 6, 4.0)),
    ]


def test_an_address_that_cannot_be_had_is_named(monkeypatch, capsys):
    monkeypatch.setattr(using, "_pipeline", lambda weights: shade())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for host, expected in (("127.0.0.1", f"port {port}"), ("256.0.0.1", "256.0.0.1")):
            monkeypatch.setattr(sys, "argv", f"traitswap serve -w x --host {host} --port {port}".split())
            with pytest.raises(SystemExit, match="2"):
                cli.main()
            error = capsys.readouterr().err
            assert error.startswith("traitswap: cannot listen on ")
            assert expected in error
            assert error.count("\n") == 1


def test_beyond_this_machine_everyone_is_warned_and_any_name_will_do(pipe, monkeypatch):
    said, apps = [], []
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: apps.append(self.config.app))
    for host in ("127.0.0.1", "0.0.0.0"):
        server.run(pipe, host, 0, Limits(), said.append)
    assert [asyncio.run(_status(app)) for app in apps] == [421, 200]
    assert len(said) == 3
    assert "whoever can reach this address can use it" in said[2]


async def _status(app):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://box.example") as client:
        return (await client.get("/healthz")).status_code
