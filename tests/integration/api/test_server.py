"""The real process over TCP: slow and huge bodies, clients that leave, a graceful end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from tests.support.redis_server import free_port

from eventstream.inbox import Inbox

TEXT = "The parcel came two days late, but the support was lovely."


@dataclass
class Process:
    """An `eventstream api` process and where it listens."""

    child: asyncio.subprocess.Process
    port: int
    lines: list[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        self.child.send_signal(with_signal)
        return await self.child.wait()


async def until_ready(client: httpx.AsyncClient) -> None:
    while True:
        # It says where it listens a moment before it does.
        with suppress(httpx.ConnectError):
            if (await client.get("/readyz")).status_code == 200:
                return
        await asyncio.sleep(0.02)


@pytest.fixture
def environment(cache_url: str, broker_url: str, state_url: str, prefix: str) -> dict[str, str]:
    return {
        **os.environ,
        "REDIS_URL": cache_url,
        "CELERY_BROKER_URL": broker_url,
        "CELERY_RESULT_BACKEND": state_url,
        "EVENTSTREAM_PREFIX": prefix,
        "LOG_FORMAT": "json",
        "API_PORT": "0",
    }


@asynccontextmanager
async def running(environment: dict[str, str], **settings: str) -> AsyncIterator[Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "eventstream",
        "api",
        env={**environment, **settings},
        stderr=asyncio.subprocess.PIPE,
    )
    assert child.stderr is not None
    process = Process(child, 0, [])
    async for line in child.stderr:
        process.lines.append(line.decode())
        if found := re.search(r"http://127\.0\.0\.1:(\d+)", process.lines[-1]):
            process.port = int(found[1])
            break
    reading = asyncio.create_task(_keep(child.stderr, process.lines))
    try:
        async with httpx.AsyncClient(base_url=process.url) as client:
            await until_ready(client)
        yield process
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
        await reading


async def _keep(stream: asyncio.StreamReader, lines: list[str]) -> None:
    async for line in stream:
        lines.append(line.decode())


@pytest.fixture
async def process(environment: dict[str, str]) -> AsyncIterator[Process]:
    """A server with small bounds for bodies."""
    bounds = {"API_MAX_BODY_BYTES": "20000", "API_BODY_TIMEOUT_SECONDS": "0.3"}
    async with running(environment, **bounds) as process:
        yield process


def head(length: int | str, extra: str = "") -> bytes:
    return (
        "POST /process HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"{extra}Content-Length: {length}\r\n\r\n"
    ).encode()


async def answer_to(process: Process, *pieces: bytes) -> tuple[int, dict[str, Any]]:
    """Status and problem for a request that is sent in pieces; the connection then closes."""
    reader, writer = await process.connect()
    with contextlib.suppress(ConnectionError):  # A refusal may come before all is sent.
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
    answer = await reader.read()
    writer.close()
    lines, _, body = answer.partition(b"\r\n\r\n")
    return int(lines.split()[1]), json.loads(body)


async def test_an_event_goes_in_and_the_log_says_so_without_its_text(process: Process) -> None:
    async with httpx.AsyncClient(base_url=process.url) as client:
        answer = await client.post(
            "/process", json={"text": TEXT}, headers={"X-Request-ID": "from-the-client"}
        )
    assert answer.status_code == 202
    assert "server" not in answer.headers
    assert await process.stop() == 0
    (line,) = [json.loads(line) for line in process.lines if "from-the-client" in line]
    assert (line["event"], line["route"], line["status"]) == ("request", "/process", 202)
    assert line["event_id"] == answer.json()["task_id"]
    assert "parcel" not in "".join(process.lines)


async def test_blanks_around_a_header_s_value_are_no_part_of_it(process: Process) -> None:
    answers = []
    for key in (b"order-7", b" \t order-7 \t "):
        reader, writer = await process.connect()
        body = b'{"text": "a"}'
        writer.write(
            b"POST /process HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Idempotency-Key:%s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
            % (key, len(body), body)
        )
        answers.append((await reader.read()).partition(b"\r\n\r\n")[2])
        writer.close()
    assert json.loads(answers[0])["task_id"] == json.loads(answers[1])["task_id"]


async def test_head_has_the_length_of_what_get_would_send(process: Process) -> None:
    async with httpx.AsyncClient(base_url=process.url) as client:
        get, head = await client.get("/livez"), await client.head("/livez")
        again = await client.get("/livez")  # The connection is in order.
    assert head.headers["content-length"] == get.headers["content-length"]
    assert (head.content, again.content) == (b"", get.content)


async def test_a_slow_body_is_408(process: Process) -> None:
    status, problem = await answer_to(process, head(100), b'{"text": ')
    assert (status, problem["reason"]) == (408, "body_timeout")


@pytest.mark.parametrize(
    "pieces",
    [
        (head(1_000_000), b"x" * 1_000_000),
        (head("9" * 18), b"x" * 100_000),
        (head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"),
         *([b"4000\r\n" + b"x" * 0x4000 + b"\r\n"] * 4), b"0\r\n\r\n"),
    ],
    ids=["declared", "absurd", "chunked"],
)  # fmt: skip
async def test_a_huge_body_is_413_and_the_client_can_read_it(
    process: Process, pieces: tuple[bytes, ...]
) -> None:
    status, problem = await answer_to(process, *pieces)
    assert (status, problem["reason"]) == (413, "too_large")


async def test_who_asks_before_sending_is_told_before_sending(process: Process) -> None:
    status, problem = await answer_to(process, head(1_000_000, "Expect: 100-continue\r\n"))
    assert (status, problem["reason"]) == (413, "too_large")


async def test_clients_that_leave_leave_nothing_behind(process: Process) -> None:
    async with httpx.AsyncClient(base_url=process.url, timeout=30) as client:
        task_id = (await client.post("/process", json={"text": TEXT})).json()["task_id"]
        for begun in (
            head(100) + b'{"te',
            f"GET /task/{task_id}?wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
        ):
            _, writer = await process.connect()
            writer.write(begun)
            await writer.drain()
            writer.close()
        while True:
            metrics = (await client.get("/metrics", headers={"Accept": "text/plain"})).text
            left = re.findall(r'http_requests_total\{.*status="499"\} (\d+)', metrics)
            if sum(map(int, left)) == 2:
                break
            await asyncio.sleep(0.02)
        assert "eventstream_http_waiting 0.0" in metrics
    assert not [line for line in process.lines if "Traceback" in line or '"error"' in line]


async def test_who_closes_its_sending_half_is_answered(process: Process) -> None:
    """As `nc -N` does, and whatever sends its request as a stream with an end."""
    body = json.dumps({"text": TEXT}).encode()
    reader, writer = await process.connect()
    writer.write(head(len(body)) + body)
    writer.write_eof()
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 202")
    assert b'"task_id"' in answer


async def test_what_is_not_http_is_refused_and_the_service_goes_on(process: Process) -> None:
    for nonsense in (b"\x16\x03\x01 not HTTP at all\r\n\r\n", head("9" * 30), head("two")):
        status, problem = await answer_to(process, nonsense)
        assert (status, problem["reason"]) == (400, "invalid_http")
    async with httpx.AsyncClient(base_url=process.url) as client:
        assert (await client.get("/livez")).status_code == 200


async def test_a_head_without_an_end_is_refused(process: Process) -> None:
    piece = b"X-Filler: " + b"x" * 8_000 + b"\r\n"
    status, problem = await answer_to(process, b"GET /livez HTTP/1.1\r\n", *[piece] * 8)
    assert (status, problem["reason"]) == (400, "invalid_http")
    assert "head is too long" in problem["detail"]


async def test_a_long_body_is_no_long_head(environment: dict[str, str]) -> None:
    body = {"text": "word " * 20_000}
    async with (
        running(environment) as process,
        httpx.AsyncClient(base_url=process.url, timeout=30) as client,
    ):
        for _ in range(2):  # on one connection
            assert (await client.post("/process", json=body)).status_code == 202


async def test_who_would_rather_speak_http_2_is_answered_in_http_1(
    process: Process, inbox: Inbox
) -> None:
    # As Java's client and `curl --http2` begin every connection.
    wish = "Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEA\r\n"
    body = json.dumps({"text": TEXT}).encode()
    status, task = await answer_to(process, head(len(body), wish) + body)
    assert (status, task["status"]) == (202, "pending")
    assert (await inbox.depth(["ai_processing"]))["ai_processing"].queued == 1


async def test_a_body_with_two_lengths_is_refused_and_what_follows_is_not_read(
    process: Process, inbox: Inbox
) -> None:
    body = json.dumps({"text": TEXT}).encode()
    two = head(len(body), "Transfer-Encoding: chunked\r\n") + b"%x\r\n%s\r\n0\r\n\r\n"
    status, problem = await answer_to(process, two % (len(body), body) + head(len(body)) + body)
    assert (status, problem["reason"]) == (400, "invalid_http")
    assert "Content-Length can't be present with Transfer-Encoding" in problem["detail"] or (
        "Transfer-Encoding can't be present with Content-Length" in problem["detail"]
    )
    assert (await inbox.depth(["ai_processing"]))["ai_processing"].queued == 0


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGINT])
async def test_a_graceful_end_answers_what_is_under_way(
    environment: dict[str, str], inbox: Inbox, with_signal: signal.Signals
) -> None:
    async with running(environment) as process:
        async with httpx.AsyncClient(base_url=process.url, timeout=30) as client:
            poll = asyncio.create_task(client.post("/process?wait=60", json={"text": TEXT}))
            reader, writer = await process.connect()
            body = json.dumps({"text": TEXT}).encode()
            writer.write(head(len(body)) + body[:10])
            await writer.drain()
            while not (await inbox.depth(["ai_processing"]))["ai_processing"].queued:
                await asyncio.sleep(0.02)
            process.child.send_signal(with_signal)
            # A long poll is answered at once with what is known; its event is safe.
            assert (await poll).status_code == 202
            # A body under way may come to its end.
            writer.write(body[10:])
            assert (await reader.read()).startswith(b"HTTP/1.1 202")
            writer.close()
        assert await process.child.wait() == 0
    assert (await inbox.depth(["ai_processing"]))["ai_processing"].queued == 2
    assert not [line for line in process.lines if "Traceback" in line]


async def test_a_stopping_process_takes_no_new_connections(
    environment: dict[str, str],
) -> None:
    async with running(environment) as process:
        assert await process.stop() == 0
        with pytest.raises(OSError):
            await process.connect()


async def test_metrics_have_a_port_of_their_own_without_keys(
    environment: dict[str, str],
) -> None:
    port = free_port()
    settings = {"METRICS_PORT": str(port), "API_KEYS": "one"}
    async with running(environment, **settings) as process, httpx.AsyncClient() as client:
        assert (await client.get(f"{process.url}/metrics")).status_code == 401
        exposed = await client.get(f"http://127.0.0.1:{port}/metrics")
        assert 'eventstream_http_requests_total{method="GET",route="/readyz"' in exposed.text


async def test_a_port_in_use_is_one_sentence(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "eventstream", "api", "--port", str(port),
            env=environment, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, stderr = await child.communicate()
    assert child.returncode == 2
    assert stderr.decode().strip() == (
        f"eventstream: API_PORT: 127.0.0.1:{port} is in use. Choose another port with API_PORT"
    )


async def test_an_address_that_is_not_ours_is_one_sentence(environment: dict[str, str]) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "eventstream", "api", "--host", "203.0.113.7",
        env=environment, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, stderr = await child.communicate()
    assert child.returncode == 2
    assert "API_HOST" in stderr.decode()
    assert "Traceback" not in stderr.decode()
