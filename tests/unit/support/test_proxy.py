"""The proxy of the fault tests: it spoils links as it is told, and only then."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from tests.support.proxy import Proxy


class Echo(socketserver.StreamRequestHandler):
    """Answers each line with itself."""

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that was broken on purpose is no news."""


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Server(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        with Proxy(server.server_address[1]) as proxy:
            yield proxy
        server.shutdown()
        thread.join()


def dial(proxy: Proxy, seconds: float = 10) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=seconds)


def answer(client: socket.socket, line: bytes) -> bytes:
    client.sendall(line)
    return client.makefile("rb").readline()


def all_of(client: socket.socket) -> bytes:
    """What comes until the connection is reset."""
    received = b""
    try:
        while piece := client.recv(100):
            received += piece
    except ConnectionResetError:
        return received
    raise AssertionError("the connection ended in good order")


def test_bytes_come_through_unchanged(proxy: Proxy) -> None:
    line = b"x" * 300_000 + b"\n"
    with dial(proxy) as client:
        assert answer(client, line) == line
        proxy.delay(0.01)
        assert answer(client, b"later\n") == b"later\n"
    assert proxy.connections == 1


def test_an_answer_is_cut_in_its_middle_as_often_as_asked(proxy: Proxy) -> None:
    proxy.cut_answers(4, times=1)
    with dial(proxy) as client:
        client.sendall(b"0123456789\n")
        assert all_of(client) in (b"", b"0123")  # a reset may overtake what is under way
    assert proxy.cuts == 1
    with dial(proxy) as client:
        assert answer(client, b"0123456789\n") == b"0123456789\n"


def test_refused_and_mended(proxy: Proxy) -> None:
    with dial(proxy) as client:
        assert answer(client, b"one\n") == b"one\n"
        proxy.refuse()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        dial(proxy)
    proxy.mend()
    with dial(proxy) as client:
        assert answer(client, b"two\n") == b"two\n"


def test_what_hangs_comes_through_once_it_is_mended(proxy: Proxy) -> None:
    with dial(proxy, 0.2) as client:
        assert answer(client, b"one\n") == b"one\n"
        proxy.hang()
        client.sendall(b"two\n")
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(10)
        proxy.mend()
        assert client.makefile("rb").readline() == b"two\n"


def test_a_reset_breaks_what_is_there_and_welcomes_what_comes(proxy: Proxy) -> None:
    with dial(proxy) as client:
        assert answer(client, b"one\n") == b"one\n"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with dial(proxy) as client:
        assert answer(client, b"two\n") == b"two\n"
