"""The process: one socket, one event loop, and an end that finishes what was begun.

Told to stop, it takes no new connections, ends long polls with what is known, finishes the
requests under way, flushes what they accepted, and exits with 0.
"""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import uvicorn
from prometheus_client import start_http_server

from eventstream import garbage
from eventstream.api.access_log import AccessLines
from eventstream.api.app import create_app
from eventstream.api.parts import Lifecycle
from eventstream.api.protocol import Protocol
from eventstream.errors import ConfigurationError
from eventstream.logs import get_logger
from eventstream.settings import Settings

log = get_logger(__name__)

LISTEN_BACKLOG: Final = 2048
KEEP_ALIVE_SECONDS: Final = 65
"""Longer than the usual load balancer's 60, so that it is not us who closes under a request."""
STOP_SECONDS: Final = 25
"""Within Kubernetes' 30: time for the slowest request that is worth waiting for."""


class _Server(uvicorn.Server):
    """uvicorn's server, telling the application at once that it stops, and exiting with 0."""

    def __init__(self, config: uvicorn.Config, tell: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell = tell

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First signal: stop softly. A second Ctrl-C: at once."""
        self._tell()
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True


def listen(settings: Settings) -> socket.socket:
    """The API's socket, bound to API_HOST and API_PORT (0: a free port).

    Raises ConfigurationError that names what is wrong.
    """
    host, port = settings.api_host, settings.api_port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        raise ConfigurationError(
            "API_HOST", f"{host!r} is not an address of this machine", "Try 127.0.0.1 or 0.0.0.0"
        ) from None
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _cannot_listen("API", host, port, error) from None
    return listener


async def serve(settings: Settings, *, listener: socket.socket | None = None) -> None:
    """Serve until SIGTERM or SIGINT. `listener`: a bound socket instead of `listen(settings)`.

    Raises ConfigurationError when an address can't be used.
    """
    listener = listener or listen(settings)
    lifecycle = Lifecycle()
    loop = asyncio.get_running_loop()
    access_log = AccessLines(sys.stderr) if _writes_json(settings) else None
    config = uvicorn.Config(
        create_app(settings, lifecycle=lifecycle, access_log=access_log),
        http=Protocol,
        lifespan="on",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=LISTEN_BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )

    def tell() -> None:
        loop.call_soon_threadsafe(lifecycle.stopping.set)

    server = _Server(config, tell)
    host, port = listener.getsockname()[:2]
    garbage.settle()
    with _metrics_port(settings):
        log.info("api_listening", url=f"http://{f'[{host}]' if ':' in host else host}:{port}")
        try:
            await server.serve(sockets=[listener])
        finally:
            if access_log is not None:
                access_log.flush()


def _writes_json(settings: Settings) -> bool:
    return settings.log_format == "json" or (
        settings.log_format == "auto" and not sys.stderr.isatty()
    )


@contextmanager
def _metrics_port(settings: Settings) -> Iterator[None]:
    """This process's metrics on a port of their own, without keys, while it runs."""
    if not settings.metrics_port:
        yield
        return
    try:
        httpd, thread = start_http_server(settings.metrics_port, addr=settings.metrics_host)
    except OSError as error:
        raise _cannot_listen(
            "METRICS", settings.metrics_host, settings.metrics_port, error
        ) from None
    try:
        yield
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def _cannot_listen(what: str, host: str, port: int, error: OSError) -> ConfigurationError:
    if error.errno == errno.EADDRINUSE:
        return ConfigurationError(
            f"{what}_PORT", f"{host}:{port} is in use", f"Choose another port with {what}_PORT"
        )
    return ConfigurationError(
        f"{what}_HOST",
        f"can't listen on {host}:{port}: {error.strerror}",
        f"Choose another address with {what}_HOST or {what}_PORT",
    )
