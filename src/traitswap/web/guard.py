"""What stands before every request: who may ask, how much, how many at a time, and for how long."""

import asyncio
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True)
class Limits:
    upload: int = 30_000_000
    """Bytes of a request."""
    pixels: int = 50_000_000
    """Of a photo. Each takes about 30 bytes of memory while it is edited."""
    workers: int = 2
    """Requests that are worked on at a time."""
    queue: int = 8
    """Requests that wait beyond these."""
    seconds: float = 120.0
    """For a request, from its first byte to its answer. A thread that has begun works on to its end all the same."""


class Metrics:
    """Numbers for /metrics; they say nothing of photos."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("traitswap_requests", "Requests answered", ["path", "status"], registry=self.registry)
        self.seconds = Histogram(
            "traitswap_request_seconds",
            "Time from a request's head to the end of its answer",
            ["path"],
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
            registry=self.registry,
        )
        self.busy = Gauge("traitswap_requests_busy", "POST requests worked on or waiting", registry=self.registry)


class Guard:
    """Refuses what comes from elsewhere, is too large or too much; bounds the time; sets the headers of every answer.

    `hosts`: names that the Host header may give, None for any. A page of another site could otherwise give its own name
    this machine's address and read the answers.
    """

    def __init__(
        self, app: ASGIApp, limits: Limits, metrics: Metrics, paths: frozenset[str], hosts: frozenset[str] | None
    ) -> None:
        self._app, self._limits, self._metrics, self._paths, self._hosts = app, limits, metrics, paths, hosts
        self._busy = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        # Only known paths, or anyone could make the metrics grow.
        path = scope["path"] if scope["path"] in self._paths else "other"
        try:
            await self._answer(scope, receive, send_marked)
        finally:
            self._metrics.requests.labels(path, str(status)).inc()
            self._metrics.seconds.labels(path).observe(time.perf_counter() - began)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if self._hosts is not None and _host(headers.get("host", "")) not in self._hosts:
            await _refused(421, "this server answers only to the name of the machine that it runs on")(
                scope, receive, send
            )
        elif scope["method"] != "POST":
            await self._app(scope, receive, send)
        elif "origin" in headers and headers["origin"].partition("://")[2] != headers.get("host", ""):
            await _refused(403, "a page of another site may not use this server")(scope, receive, send)
        elif int(headers.get("content-length", 0)) > self._limits.upload:
            # Before any of it is read.
            await _refused(413, self._too_large())(scope, receive, send)
        elif self._busy >= self._limits.workers + self._limits.queue:
            await self._drain(receive)
            await _refused(503, "the server is busy: try again in a moment")(scope, receive, send)
        else:
            await self._work(scope, receive, send)

    async def _work(self, scope: Scope, receive: Receive, send: Send) -> None:
        read, started, whole = 0, False, False

        async def receive_limited() -> Message:
            nonlocal read, whole
            message = await receive()
            if message["type"] == "http.request":
                read += len(message.get("body", b""))
                whole = not message.get("more_body", False)
                if read > self._limits.upload:  # a request need not say how long it is
                    raise HTTPException(413, self._too_large())
            return message

        async def send_noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        self._busy += 1
        self._metrics.busy.set(self._busy)
        try:
            async with asyncio.timeout(self._limits.seconds) as limit:
                await self._app(scope, receive_limited, send_noted)
        except TimeoutError:
            if started or not limit.expired():
                raise
            late = "the work on this photo took" if whole else "the photo took"
            what = f"{late} longer than {self._limits.seconds:g} seconds: try a smaller photo"
            await _refused(503 if whole else 408, what)(scope, receive, send)
        finally:
            self._busy -= 1
            self._metrics.busy.set(self._busy)

    async def _drain(self, receive: Receive) -> None:
        """Reads what a refused client is still sending, which many browsers do to its end before they read."""
        try:
            async with asyncio.timeout(self._limits.seconds):
                while (message := await receive())["type"] == "http.request" and message.get("more_body"):
                    pass
        except TimeoutError:
            pass

    def _too_large(self) -> str:
        return f"more than {self._limits.upload / 1e6:g} MB were sent: make the photos smaller"


def _refused(status: int, error: str) -> JSONResponse:
    return JSONResponse({"error": error}, status, {"retry-after": "1"} if status == 503 else None)


def _host(header: str) -> str:
    """The name in a Host header, without its port; empty if it is none."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""
