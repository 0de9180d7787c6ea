"""What is a request, and where it ends: held so strictly that nobody in front reads it otherwise.

The real protocol on a transport in memory; each request that reaches the application is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from eventstream.api.protocol import HEAD_BYTES, REQUESTS_WAITING, Protocol

NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
BODY = b'{"a":1}'


class Memory(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closing = True

    def write_eof(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return self.closing

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


@dataclass
class Line:
    """One connection to an application that keeps requests and answers each with its path."""

    protocol: Protocol
    transport: Memory
    seen: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    left: list[str] = field(default_factory=list)

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            if not self.transport.closing:
                self.protocol.data_received(piece)
            await self.settle()

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    @property
    def paths(self) -> list[str]:
        return [path for path, _, _ in self.seen]

    @property
    def statuses(self) -> list[int]:
        parts = self.transport.written.split(b"HTTP/1.1 ")[1:]
        return [int(part[:3]) for part in parts if part[3:4] == b" "]


MakeLine = Callable[..., Line]


@pytest.fixture
async def make_line() -> AsyncIterator[MakeLine]:
    made: list[Line] = []

    def make(kind: type[Protocol] = Protocol, idle_seconds: float = 60) -> Line:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            body = b""
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    line.left.append(scope["path"])
                    return
                body += message["body"]
                if not message["more_body"]:
                    break
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            line.seen.append((scope["path"], headers, body))
            waits = asyncio.ensure_future(line.may_answer.wait())
            gone = asyncio.ensure_future(receive())
            await asyncio.wait((waits, gone), return_when=asyncio.FIRST_COMPLETED)
            waits.cancel()
            if gone.done():
                line.left.append(scope["path"])
                return
            gone.cancel()
            answer = scope["path"].encode()
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [(b"content-length", b"%d" % len(answer))],
                }
            )
            await send({"type": "http.response.body", "body": answer})

        config = uvicorn.Config(app, log_config=None, access_log=False, ws="none")
        config.load()
        config.timeout_keep_alive = idle_seconds  # type: ignore[assignment]
        loop = asyncio.get_running_loop()
        line = Line(kind(config, ServerState(), {}, _loop=loop), Memory())
        line.may_answer.set()
        line.protocol.connection_made(line.transport)
        made.append(line)
        return line

    yield make
    for line in made:
        line.protocol.connection_lost(None)
        await line.settle()


def post(*headers: str, body: bytes = b"") -> bytes:
    lines = "".join(f"{header}\r\n" for header in ("Host: a", *headers))
    return f"POST /first HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body


CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("story", "request_bytes"),
    [
        ("two lengths that differ",
         post("Content-Length: 7", "Content-Length: 0", body=BODY + NEXT)),
        ("two lengths that agree", post("Content-Length: 7", "Content-Length: 7", body=BODY)),
        ("a list of lengths", post("Content-Length: 7, 7", body=BODY)),
        ("a length and chunks", post("Content-Length: 7", CHUNKED, body=b"0\r\n\r\n" + NEXT)),
        ("chunks and a length", post(CHUNKED, "Content-Length: 7", body=b"0\r\n\r\n" + NEXT)),
        ("a signed length", post("Content-Length: +7", body=BODY)),
        ("a length in hexadecimal", post("Content-Length: 0x7", body=BODY)),
        ("an endless length", post("Content-Length: " + "9" * 30, body=BODY)),
        ("no length", post("Content-Length: ", body=NEXT)),
        ("a space before the colon", post("Content-Length : 7", body=BODY)),
        ("compressed, then chunks", post("Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n")),
        ("another encoding", post("Transfer-Encoding: gzip", body=NEXT)),
        ("chunks, then another", post("Transfer-Encoding: chunked, identity",
                                      body=b"0\r\n\r\n" + NEXT)),
        ("chunks and another", post(CHUNKED, "Transfer-Encoding: identity",
                                    body=b"0\r\n\r\n" + NEXT)),
        ("something like chunks", post("Transfer-Encoding: xchunked", body=b"0\r\n\r\n" + NEXT)),
        ("a hidden character", post("Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n" + NEXT)),
        ("a folded header", post("X-A: b\r\n c", "Content-Length: 7", body=BODY)),
        ("line feeds alone", b"POST /first HTTP/1.1\nHost: a\nContent-Length: 7\n\n" + BODY),
        ("a return alone", b"POST /first HTTP/1.1\r\nHost: a\rContent-Length: 7\r\n\r\n" + BODY),
        ("NUL in a value", post("X-A: b\0c")),
        ("a chunk that is no number", post(CHUNKED, body=b"zz\r\n" + NEXT)),
        ("a chunk with a sign", post(CHUNKED, body=b"-1\r\n" + NEXT)),
        ("a chunk beyond all numbers", post(CHUNKED, body=b"F" * 17 + b"\r\n" + NEXT)),
        ("a chunk longer than it says", post(CHUNKED, body=b"3\r\n" + BODY + b"\r\n0\r\n\r\n")),
        ("a chunk without an end", post(CHUNKED, body=b"7\r\n" + BODY + b"0\r\n\r\n" + NEXT)),
        ("chunks with line feeds", post(CHUNKED, body=b"7\n" + BODY + b"\n0\n\n" + NEXT)),
        ("no Host", b"GET /first HTTP/1.1\r\n\r\n"),
        ("two Hosts", b"GET /first HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n"),
        ("another version", b"GET /first HTTP/2.0\r\nHost: a\r\n\r\n"),
        ("no version", b"GET /first\r\n\r\n"),
        ("HTTP/2 itself", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("a tunnel", b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n" + NEXT),
        ("a tunnel to a path", b"CONNECT /first HTTP/1.1\r\nHost: a\r\n\r\n" + NEXT),
        ("another server's address", b"GET http://evil/first HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("a path that is not ASCII", b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    ],
)  # fmt: skip
async def test_what_is_not_one_request_for_everybody_is_none(
    make_line: MakeLine, story: str, request_bytes: bytes
) -> None:
    line = make_line()
    await line.send(request_bytes)
    assert (line.statuses, line.seen, line.transport.closing) == ([400], [], True)
    assert b"The request is not valid HTTP/1.1: " in line.transport.written


@pytest.mark.parametrize(
    ("target", "what"),
    [
        (b"CONNECT /first HTTP/1.1\r\nHost: a", b"its target is not a path"),
        (b"OPTIONS * HTTP/1.1\r\nHost: a", b"its target is not a path"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b", b"it has 2 Host headers"),
        (b"GET / HTTP/0.9\r\nHost: a", b"its version is 0.9"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked",
         b"its Transfer-Encoding is not chunked"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
         b"Transfer-Encoding can't be present with Content-Length"),
    ],
)  # fmt: skip
async def test_the_refusal_says_what_is_wrong(
    make_line: MakeLine, target: bytes, what: bytes
) -> None:
    line = make_line()
    await line.send(target + b"\r\n\r\n" + NEXT)
    assert what in line.transport.written


async def test_a_request_may_come_byte_by_byte(make_line: MakeLine) -> None:
    line = make_line()
    whole = post("X-Empty:", "X-B: c d", "Content-Length: 7", body=BODY).replace(
        b"/first", b"/a%20b?x=1"
    )
    await line.send(*(bytes([byte]) for byte in whole + NEXT))
    headers = {"host": "a", "x-empty": "", "x-b": "c d", "content-length": "7"}
    assert line.seen == [("/a b", headers, BODY), ("/next", {"host": "a"}, b"")]


@pytest.mark.parametrize("together", [True, False])
async def test_what_stands_after_a_chunked_body_is_no_header(
    make_line: MakeLine, together: bool
) -> None:
    line = make_line()
    body = b"7\r\n" + BODY + b"\r\n0\r\nX-API-Key: stolen\r\nHost: evil\r\n\r\n"
    pieces = [post(CHUNKED), body, NEXT]
    await line.send(*([b"".join(pieces)] if together else pieces))
    assert line.seen == [
        ("/first", {"host": "a", "transfer-encoding": "chunked"}, BODY),
        ("/next", {"host": "a"}, b""),
    ]


@pytest.mark.parametrize("body", [NEXT, BODY])
@pytest.mark.parametrize("chunked", [True, False])
async def test_a_body_stays_a_body_where_another_protocol_is_wished_for(
    make_line: MakeLine, body: bytes, chunked: bool
) -> None:
    line = make_line()
    length = CHUNKED if chunked else f"Content-Length: {len(body)}"
    framed = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else body
    wish = post("Connection: Upgrade", "Upgrade: h2c", length)
    for pieces in ([wish + framed + NEXT], [wish, framed, NEXT], [wish[:30], wish[30:], framed]):
        line.seen.clear()
        await line.send(*pieces)
        assert [seen[2] for seen in line.seen if seen[0] == "/first"] == [body]
        assert line.paths in (["/first"], ["/first", "/next"])
    assert set(line.statuses) == {200}


@pytest.mark.parametrize(
    ("story", "begins", "goes_on", "what"),
    [
        ("headers", b"GET / HTTP/1.1\r\n", b"X: " + b"x" * 5000 + b"\r\n", "head"),
        ("one header", b"GET / HTTP/1.1\r\nX: ", b"x" * 5000, "head"),
        ("a path", b"GET /", b"x" * 5000, "head"),
        ("nothing at all", b"", b"\r\n" * 2500, "head"),
        ("a chunk's extension", post(CHUNKED, body=b"7;"), b"x" * 5000, "framing"),
        ("trailers", post(CHUNKED, body=b"0\r\n"), b"X: " + b"x" * 5000 + b"\r\n", "framing"),
    ],
)
async def test_nothing_but_a_body_may_go_on_and_on(
    make_line: MakeLine, story: str, begins: bytes, goes_on: bytes, what: str
) -> None:
    line = make_line()
    await line.send(begins)
    for _ in range(HEAD_BYTES // 5000):
        await line.send(goes_on)
        assert not line.transport.closing
    await line.send(goes_on)
    assert (line.statuses, line.transport.closing) == ([400], True)
    assert b"its %s is too long" % what.encode() in line.transport.written


async def test_a_long_head_is_refused_however_it_comes(make_line: MakeLine) -> None:
    line = make_line()
    await line.send(NEXT + b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 60_000 + b"\r\n\r\n")
    assert (line.paths, line.statuses) == (["/next"], [200, 400])
    assert b"its head is too long" in line.transport.written


async def test_a_body_may_come_in_small_chunks(make_line: MakeLine) -> None:
    line = make_line()
    await line.send(post(CHUNKED), *[b"1\r\nx\r\n" * 1000] * 20, b"0\r\n\r\n")
    assert [len(body) for _, _, body in line.seen] == [20_000]


async def test_a_head_has_its_time(make_line: MakeLine) -> None:
    class Hasty(Protocol):
        head_seconds = 0.01

    for begun in ([b"GET / HTTP/1.1\r\n"], [NEXT, b"GET / HTTP/1.1\r\nHo"]):
        line = make_line(Hasty)
        await line.send(*begun)
        while not line.transport.closing:
            await asyncio.sleep(0.005)
        assert b"its head was not whole after 0.01 seconds" in line.transport.written
        assert line.statuses[-1] == 400


async def test_stray_lines_between_requests_are_no_head(make_line: MakeLine) -> None:
    class Hasty(Protocol):
        head_seconds = 0.01

    line = make_line(Hasty)
    await line.send(NEXT, b"\r\n")
    while not line.transport.closing:
        await asyncio.sleep(0.005)
    assert line.statuses == [200]


async def test_who_says_nothing_is_let_go_without_a_word(make_line: MakeLine) -> None:
    line = make_line(idle_seconds=0.01)
    while not line.transport.closing:
        await asyncio.sleep(0.005)
    assert line.transport.written == b""


async def test_who_waits_for_an_answer_may_take_time_for_the_next_head(
    make_line: MakeLine,
) -> None:
    class Hasty(Protocol):
        head_seconds = 0.01

        def _await_head(self) -> None:
            super()._await_head()
            waits.append(self)

    waits: list[Protocol] = []
    line = make_line(Hasty)
    line.may_answer.clear()
    await line.send(NEXT + b"GET /second HTTP/1.1\r\n")
    while len(waits) < 5:  # its time has passed, again and again
        await asyncio.sleep(0.005)
    assert not line.transport.closing
    await line.send(b"Host: a\r\n\r\n")
    line.may_answer.set()
    await line.settle()
    assert (line.paths, line.statuses) == (["/next", "/second"], [200, 200])


async def test_nonsense_after_requests_is_answered_after_them(make_line: MakeLine) -> None:
    line = make_line()
    line.may_answer.clear()
    await line.send(NEXT + NEXT + b"\x16\x03 nonsense\r\n\r\n", NEXT)
    assert (line.statuses, line.transport.closing) == ([], False)
    line.may_answer.set()
    await line.settle()
    assert (line.paths, line.statuses) == (["/next"] * 2, [200, 200, 400])
    assert line.transport.closing


async def test_a_request_with_a_broken_body_is_refused_in_its_turn(make_line: MakeLine) -> None:
    line = make_line()
    line.may_answer.clear()
    await line.send(NEXT + post(CHUNKED, body=b"zz\r\n"))
    line.may_answer.set()
    await line.settle()
    assert (line.paths, line.statuses) == (["/next"], [200, 400])


async def test_nothing_is_read_after_a_request_that_ends_the_connection(
    make_line: MakeLine,
) -> None:
    line = make_line()
    await line.send(NEXT.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + NEXT)
    assert (line.paths, line.statuses, line.transport.closing) == (["/next"], [200], True)


async def test_only_so_many_requests_wait_on_one_connection(make_line: MakeLine) -> None:
    line = make_line()
    line.may_answer.clear()
    await line.send(NEXT * (REQUESTS_WAITING + 3))
    line.may_answer.set()
    while not line.transport.closing:
        await line.settle()
    assert line.statuses == [200] * (REQUESTS_WAITING + 1) + [400]


async def test_every_request_of_a_lost_connection_hears_of_it(make_line: MakeLine) -> None:
    line = make_line()
    line.may_answer.clear()
    await line.send(NEXT + post())
    line.protocol.connection_lost(None)
    await line.settle()
    assert line.left == ["/next"]


async def test_who_sends_no_more_gets_every_answer_that_it_asked_for(make_line: MakeLine) -> None:
    line = make_line()
    line.may_answer.clear()
    await line.send(NEXT + NEXT)
    assert line.protocol.eof_received()
    line.may_answer.set()
    await line.settle()
    assert (line.statuses, line.transport.closing, line.left) == ([200, 200], True, [])


async def test_who_sends_no_more_is_not_kept_for_a_long_poll(make_line: MakeLine) -> None:
    class Hasty(Protocol):
        last_answer_seconds = 0.01

    line = make_line(Hasty)
    line.may_answer.clear()
    await line.send(NEXT)
    assert line.protocol.eof_received()
    while not line.transport.closing:
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("begun", [b"", NEXT, NEXT[:9], post("Content-Length: 7", body=BODY[:3])])
async def test_who_sends_no_more_and_waits_for_nothing_is_let_go(
    make_line: MakeLine, begun: bytes
) -> None:
    line = make_line()
    await line.send(begun)
    assert not line.protocol.eof_received()
    assert line.transport.closing
