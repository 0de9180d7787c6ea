"""What a test asks of the machine that it runs containers on: ports, answers, patience."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from tests.images.container import Container
from tests.support.redis_server import free_port

_POLL_SECONDS = 0.1


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens on now."""
    with contextlib.ExitStack() as held:
        ports: list[int] = []
        for _ in range(count):
            ports.append(free_port())
            taken = held.enter_context(contextlib.closing(socket.socket()))
            taken.bind(("127.0.0.1", ports[-1]))
        return ports


def status_of(url: str) -> int | None:
    """The status of a GET; None while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def wait_for(one: Container, condition: Callable[[], bool], seconds: float) -> None:
    """Return when the condition holds; fail with the container's log when it ends or is late."""
    pause = threading.Event()
    deadline = time.monotonic() + seconds
    while not condition():
        assert one.running, f"{one.image} has ended:\n{one.log}"
        assert time.monotonic() < deadline, f"not within {seconds:g} s:\n{one.log}"
        pause.wait(_POLL_SECONDS)


def wait_for_200(one: Container, url: str, seconds: float = 60) -> None:
    """Return when the container answers a GET with 200."""
    wait_for(one, lambda: status_of(url) == 200, seconds)
