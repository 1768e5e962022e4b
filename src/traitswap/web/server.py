"""The app behind a socket."""

import contextlib
import ipaddress
import socket
from collections.abc import Callable

import uvicorn

from traitswap.errors import TraitswapError
from traitswap.pipeline import TransferPipeline
from traitswap.web.app import create_app
from traitswap.web.guard import Limits


def run(pipe: TransferPipeline, host: str, port: int, limits: Limits, say: Callable[[str], None]) -> None:
    """Serves until Ctrl-C. `say` gets the page's address once it can be opened, and a warning where others can too.

    Raises `TraitswapError` if the address cannot be had.
    """
    local = _is_local(host)
    hosts = frozenset({"localhost", "127.0.0.1", "::1", host.lower()}) if local else None
    with _listening(host, port) as listener:
        config = uvicorn.Config(
            create_app(pipe, limits, hosts),
            # Neither addresses nor names of what is asked are written down.
            access_log=False,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=3,
        )
        shown = f"[{host}]" if ":" in host else host
        say(f"traitswap is at http://{shown}:{listener.getsockname()[1]} (Ctrl-C ends it)")
        if not local:
            say("whoever can reach this address can use it, and photos travel to it unencrypted")
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise TraitswapError(
            f"cannot listen on {host}, port {port} ({error.strerror or error}): give another --port or --host"
        ) from None


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
