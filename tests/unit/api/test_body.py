"""Bodies are read within bounds of type, size and time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from eventstream.api.body import BodyReader
from eventstream.api.problems import Problem


def request(
    chunks: Iterable[bytes], headers: dict[str, str] | None = None, *, ends: bool = True
) -> Request:
    """A request whose body comes in `chunks`; one that does not end stays silent after them."""
    parts = list(chunks)
    messages: list[Message] = [
        {"type": "http.request", "body": part, "more_body": not ends or place < len(parts)}
        for place, part in enumerate(parts, start=1)
    ]

    async def receive() -> Message:
        if messages:
            return messages.pop(0)
        await asyncio.Event().wait()
        raise AssertionError("never set")

    given = {"content-type": "application/json", **(headers or {})}
    raw = [(name.encode(), value.encode()) for name, value in given.items()]
    return Request({"type": "http", "headers": raw, "path": "/process"}, receive)


async def reason(body: Awaitable[Any]) -> str:
    with pytest.raises(Problem) as problem:
        await body
    return problem.value.reason


async def test_a_body_in_one_piece_and_in_many() -> None:
    reader = BodyReader(100, 1)
    assert await reader.read_json(request([b'{"text": "one"}'])) == {"text": "one"}
    assert await reader.read_json(request([b'{"te', b'xt": ', b'"two"}'])) == {"text": "two"}


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON; charset=UTF-8", "application/cloudevents+json"],
)
async def test_json_is_taken_under_its_names(content_type: str) -> None:
    body = request([b"{}"], {"content-type": content_type})
    assert await BodyReader(100, 1).read_json(body) == {}


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": ""},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json; charset=latin-1"},
        {"content-encoding": "gzip"},
    ],
)
async def test_anything_else_is_415(headers: dict[str, str]) -> None:
    body = request([b"{}"], headers)
    assert await reason(BodyReader(100, 1).read_json(body)) == "unsupported_media_type"


@pytest.mark.parametrize(
    "too_large",
    [
        lambda: request([b"x" * 101]),
        lambda: request([b"x" * 60, b"x" * 60]),
        lambda: request([b"x" * 60, b"x" * 60, b"x" * 60]),
        lambda: request([b"x"], {"content-length": "101"}),
        lambda: request([], {"content-length": "101", "expect": "100-continue"}, ends=False),
        lambda: request([], {"content-length": "9" * 500, "expect": "100-continue"}),
    ],
)
async def test_a_body_over_the_limit_is_413(too_large: Callable[[], Request]) -> None:
    assert await reason(BodyReader(100, 1).read_json(too_large())) == "too_large"


async def test_a_body_at_the_limit_is_taken() -> None:
    assert await BodyReader(100, 1).read_json(request([b'"' + b"x" * 98 + b'"'])) == "x" * 98


async def test_a_body_that_does_not_end_is_408() -> None:
    slow = request([b'{"text": "'], ends=False)
    assert await reason(BodyReader(100, 0.01).read_json(slow)) == "body_timeout"


async def test_a_body_too_large_that_does_not_end_is_413_too() -> None:
    slow = request([b"x" * 101], ends=False)
    assert await reason(BodyReader(100, 0.01).read_json(slow)) == "too_large"


async def test_bodies_under_way_share_a_bound_of_memory() -> None:
    reader = BodyReader(100, 1, held_bytes=120)
    other = asyncio.create_task(reader.read_json(request([b"x" * 80], ends=False)))
    await asyncio.sleep(0)
    assert await reason(reader.read_json(request([b"x" * 80], ends=False))) == "busy"
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)
    assert await reader.read_json(request([b'"', b"x" * 80, b'"'])) == "x" * 80


async def test_a_client_that_leaves_is_no_problem_of_ours() -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    left = request([])
    left._receive = receive
    with pytest.raises(ClientDisconnect):
        await BodyReader(100, 1).read_json(left)
