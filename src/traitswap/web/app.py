"""The HTTP API and the page: parse, call the pipeline in a thread, answer. No photo is kept; of the last few faces
what the model sees is, in memory (`pipeline`)."""

import asyncio
import base64
import importlib.metadata
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, ParamSpec, TypeVar

import numpy as np
from fastapi import FastAPI, File, Form, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict, Field, Json
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from starlette.types import ASGIApp

from traitswap.crops import faces_in, guided, trouble
from traitswap.editing import as_pixels
from traitswap.errors import TraitswapError
from traitswap.images import Photo, encoded, open_photo
from traitswap.pipeline import STRONGEST, Edit, Reference, TransferPipeline
from traitswap.styles import MARK
from traitswap.web.blobs import Blobs
from traitswap.web.guard import Guard, Limits, Metrics

PAGE = Path(__file__).parent / "page"
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
PREVIEW_SIDE = 1024
"""Longer side, in pixels, of the picture that /v1/encode gives back."""
FORMATS = {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP"}

Strength = Annotated[float, Field(ge=0, le=STRONGEST)]
_STRENGTH = f"0 keeps the face's own, 1 (default) takes the reference's, up to {STRONGEST} goes beyond."
P = ParamSpec("P")
T = TypeVar("T")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Problem(BaseModel):
    error: str
    """One line for a person: what was got, what was expected, what to do."""


class Model(BaseModel):
    attributes: list[str]
    styles: dict[str, list[str]] = Field(description="For each attribute, names that may stand for a reference.")
    size: int = Field(description="Height and width of the faces that the model works on, pixels.")
    strongest: float = Field(description="The largest strength.")
    max_upload: int = Field(description="Bytes of a request.")
    max_pixels: int = Field(description="Pixels of a photo.")


class Preview(BaseModel):
    data: str = Field(description="An image file, base64: the photo upright, at most 1024 pixels long.")
    type: str
    width: int
    height: int


class Square(BaseModel):
    """Where the model sees the face: x + iy in pixels of the photo lies at turn · (x + iy) + shift, 0 … 1 within the
    square. Pairs are real and imaginary parts; 0, 0 is the photo's corner, not the middle of its first pixel."""

    turn: tuple[float, float]
    shift: tuple[float, float]


class Face(BaseModel):
    number: int = Field(description="From 1, the largest first.")
    box: tuple[float, float, float, float] = Field(description="Left, top, width, height; pixels of the photo.")
    trouble: str = Field(description="Why it cannot be edited; empty if it can.")
    square: Square | None
    codes: str | None = Field(description="For /v1/decode, to be changed; base64.")
    units: dict[str, str] | None = Field(description="For /v1/decode, to be taken, by attribute; base64.")


class EncodedFaces(BaseModel):
    width: int
    height: int
    preview: Preview
    faces: list[Face]


class Decode(_Strict):
    codes: str = Field(description="Codes of the face to change, from /v1/encode.")
    take: dict[str, str] = Field(
        description="For each attribute, a reference's unit of it, from /v1/encode, or a style such as @blond."
    )
    strength: dict[str, Strength] = Field({}, description=_STRENGTH)


class FaceEdit(_Strict):
    face: Annotated[int, Field(ge=1)] = Field(1, description="Number of the face, from 1, the largest first.")
    take: dict[str, Annotated[int, Field(ge=1)] | str] = Field(
        description="For each attribute, what to take it from: the number of a reference, from 1 in the order sent, or "
        "a style such as @blond."
    )
    strength: dict[str, Strength] = Field({}, description=_STRENGTH)


PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The body is not what its Content-Type says."},
    403: {"model": Problem, "description": "Asked by a page of another site."},
    408: {"model": Problem, "description": "The body did not arrive in time."},
    413: {"model": Problem, "description": "The body is too large."},
    421: {"model": Problem, "description": "The Host header names another machine."},
    422: {"model": Problem, "description": "Something in the request is wrong; the error says what."},
    503: {"model": Problem, "description": "Too many requests, or the work took too long; see Retry-After."},
}
OFFSET_STEPS, SLOPE_STEPS = 32, 4096
"""What /v1/decode sends is in whole numbers: so many are a level, or a slope of 1. The page has the same two."""
_CHANGE = (
    "How the levels (0 … 255) in the face's square change: size × size × 6 whole numbers, rows from the top, 16-bit "
    f"little-endian. At each pixel offsets of red, green and blue, of which {OFFSET_STEPS} are a level, then slopes, "
    f"of which {SLOPE_STEPS} are 1. All but 0 at the border. Enlarged to the square in the photo, a level becomes "
    "offset + (1 + slope) · level."
)


def create_app(
    pipe: TransferPipeline, limits: Limits | None = None, hosts: frozenset[str] | None = frozenset({"localhost"})
) -> ASGIApp:
    """The API and the page for one model. `hosts`: what the Host header may name; None for anything."""
    limits = limits or Limits()
    # The body's size is limited, so that no photo need be written to a temporary file, as Starlette does beyond 1 MB.
    MultiPartParser.spool_max_size = sys.maxsize
    app = FastAPI(
        title="traitswap",
        version=importlib.metadata.version("traitswap"),
        summary="Gives attributes of reference faces to the faces of a photo.",
        description="Nothing of a photo is written to disk. The last few faces, as the model sees them, stay in memory "
        'until others take their place. Every error is one line: `{"error": …}`.',
        # Its pages of documentation load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    metrics = Metrics()
    _add_errors(app)
    _add_api(app, _Service(pipe, limits), limits, metrics)
    _add_page(app)
    paths = frozenset(route.path for route in app.routes if hasattr(route, "path"))
    return Guard(app, limits, metrics, paths, hosts)


class _Service:
    """What the requests do, in threads."""

    def __init__(self, pipe: TransferPipeline, limits: Limits) -> None:
        self.pipe, self._limits = pipe, limits
        self._blobs = Blobs(pipe)
        self._threads = ThreadPoolExecutor(limits.workers, "traitswap")

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The work's result; if the request is given up first, work that has not begun never does."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *args, **kwargs))

    def encode(self, data: bytes, name: str) -> EncodedFaces:
        photo = self._open(data, name)
        found = faces_in(photo.seen, photo.name)
        troubles = [trouble(face, photo.seen) for face in found]
        usable: dict[int, dict[str, Any]] = {}
        if not all(troubles):
            seen = self.pipe.encode_photo(photo, "all")
            for i, (number, crop) in enumerate(seen.faces):
                codes = seen.codes[i : i + 1]
                usable[number] = {
                    "square": Square(turn=_pair(crop.turn), shift=_pair(crop.shift)),
                    "codes": self._blobs.pack(codes),
                    "units": self._blobs.pack_units(codes),
                }
        nothing = dict.fromkeys(("square", "codes", "units"))
        faces = [
            Face(
                number=number,
                box=face.box,
                trouble=reason and f"{photo.name}: face {number} {reason}",
                **usable.get(number, nothing),
            )
            for number, (face, reason) in enumerate(zip(found, troubles, strict=True), 1)
        ]
        height, width = photo.pixels.shape[:2]
        return EncodedFaces(width=width, height=height, preview=_preview(photo), faces=faces)

    def decode(self, request: Decode) -> bytes:
        self.pipe.check(request.take, request.strength)
        codes = self._blobs.unpack(request.codes, "codes")
        references = self.pipe.encode_references(
            {
                name: reference
                if reference.startswith(MARK)
                else self._blobs.unpack_unit(reference, name, f"take '{name}'")
                for name, reference in request.take.items()
            }
        )
        with np.errstate(all="ignore"):  # what follows from numbers that no face has is asked for below
            change = self.pipe.change(codes, references, request.strength)[0]
            offset, slope = guided(change, as_pixels(codes.photo)[0])
        sent = np.concatenate([OFFSET_STEPS * offset, SLOPE_STEPS * slope], 2)
        if not np.isfinite(sent).all():
            raise TraitswapError("codes: no face has such; send what /v1/encode gave as it is")
        steps: NDArray[np.int16] = np.clip(np.rint(sent), -0x8000, 0x7FFF).astype("<i2")
        return steps.tobytes()

    def transfer(
        self,
        photo: tuple[bytes, str],
        references: Sequence[tuple[bytes, str]],
        edits: Sequence[FaceEdit],
        file_format: str,
        mark: bool,
    ) -> bytes:
        for edit in edits:
            self.pipe.check(edit.take, edit.strength)
        opened = self._open(*photo)
        taken = dict.fromkeys(reference for edit in edits for reference in edit.take.values())
        known: dict[int | str, Reference] = {}
        for reference in taken:
            if isinstance(reference, int):
                if reference > len(references):
                    raise TraitswapError(f"edits: reference {reference} is to be taken, {len(references)} were sent")
                known[reference] = self.pipe.encode([self._open(*references[reference - 1])])
            elif reference.startswith(MARK):
                known[reference] = reference
            else:
                raise TraitswapError(
                    f"edits: '{reference}' is neither a reference's number nor a style's name such as {MARK}blond"
                )
        result = self.pipe.edit_faces(
            opened,
            [Edit(edit.face, {name: known[r] for name, r in edit.take.items()}, edit.strength) for edit in edits],
        )
        return result.encoded(file_format, mark)

    def _open(self, data: bytes, name: str) -> Photo:
        return open_photo(data, name, self._limits.pixels)


def _add_api(app: FastAPI, service: _Service, limits: Limits, metrics: Metrics) -> None:
    @app.get("/healthz", summary="Whether the server answers")
    async def healthz() -> dict[Literal["status"], Literal["ok"]]:
        return {"status": "ok"}

    @app.get(
        "/metrics",
        summary="Counts and times for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def show_metrics() -> Response:
        return Response(generate_latest(metrics.registry), headers={"content-type": CONTENT_TYPE_LATEST})

    @app.get("/v1/model", summary="What the model can take, and the server's limits")
    async def model() -> Model:
        styles = {name: list(names) for name, names in service.pipe.styles.items()}
        return Model(
            attributes=list(service.pipe.attributes),
            styles=styles,
            size=service.pipe.size,
            strongest=STRONGEST,
            max_upload=limits.upload,
            max_pixels=limits.pixels,
        )

    @app.post("/v1/encode", summary="The faces of a photo, and their codes to keep", responses=PROBLEMS)
    async def encode(photo: Annotated[UploadFile, File(description="Any image file.")]) -> EncodedFaces:
        return await service.run(service.encode, *await _sent(photo, "the photo"))

    @app.post(
        "/v1/decode",
        summary="How a face changes",
        response_class=Response,
        responses={200: {"description": _CHANGE, "content": {"application/octet-stream": {}}}, **PROBLEMS},
    )
    async def decode(request: Decode) -> Response:
        return Response(await service.run(service.decode, request), media_type="application/octet-stream")

    @app.post(
        "/v1/transfer",
        summary="The whole photo, edited",
        response_class=Response,
        responses={
            200: {"description": "The picture.", "content": {f"image/{name}": {} for name in FORMATS}},
            **PROBLEMS,
        },
    )
    async def transfer(
        photo: Annotated[UploadFile, File(description="Any image file.")],
        edits: Annotated[
            Json[Annotated[list[FaceEdit], Field(min_length=1)]],
            Form(description='For each face, what it takes: [{"face": 1, "take": {"hair_color": 1}}]'),
        ],
        references: Annotated[list[UploadFile] | None, File(description="Photos of faces; the largest counts.")] = None,
        format: Annotated[Literal["png", "jpeg", "webp"], Form()] = "png",
        mark: Annotated[bool, Form(description="Say in its XMP that a trained model made part of it.")] = True,
    ) -> Response:
        sent = [await _sent(file, f"reference {i}") for i, file in enumerate(references or [], 1)]
        data = await service.run(service.transfer, await _sent(photo, "the photo"), sent, edits, FORMATS[format], mark)
        return Response(data, media_type=f"image/{format}")


def _add_page(app: FastAPI) -> None:
    def add(path: str, data: bytes, media_type: str) -> None:
        @app.get(path, include_in_schema=False)
        async def file() -> Response:
            return Response(data, headers={"content-type": media_type})

    for path, (name, media_type) in FILES.items():
        add(path, (PAGE / name).read_bytes(), media_type)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(TraitswapError)
    async def wrong(request: Request, error: TraitswapError) -> JSONResponse:
        return JSONResponse({"error": error.message}, 422)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        # Where JSON breaks off is a position, no name.
        names = [part for part in first["loc"][1:] if first["type"] != "json_invalid" or isinstance(part, str)]
        where = ".".join(str(part) for part in names) or "the body"
        return JSONResponse({"error": f"{where}: {first['msg']}"}, 422)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": "the server failed at this; its own output says why"}, 500)


async def _sent(file: UploadFile, otherwise: str) -> tuple[bytes, str]:
    return await file.read(), file.filename or otherwise


def _preview(photo: Photo) -> Preview:
    image = photo.with_pixels(photo.pixels)
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    # What has transparency must keep it, or the page would show an edit of white.
    file_format = "JPEG" if photo.alpha is None else "WEBP"
    data = base64.b64encode(encoded(image, file_format)).decode()
    return Preview(data=data, type=f"image/{file_format.lower()}", width=image.width, height=image.height)


def _pair(number: complex) -> tuple[float, float]:
    return number.real, number.imag
