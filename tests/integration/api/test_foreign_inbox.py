"""One stream's inbox is another program's key: that is told of its events, and of no others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from eventstream.keys import Keys
from eventstream.redis_client import AsyncRedis
from eventstream.registry import Registry
from eventstream.spec import StreamSpec

Client = httpx.AsyncClient


@pytest.fixture
async def blocked(
    open_client: Callable[..., Any], registry: Registry, redis_client: AsyncRedis, keys: Keys
) -> AsyncIterator[Client]:
    """An API that serves `reviews`, whose inbox is somebody else's, and `tickets`."""
    await registry.write({"reviews": StreamSpec(), "tickets": StreamSpec()})
    async with open_client() as client:
        await redis_client.set(keys.inbox("reviews"), "of another program")
        yield client


async def post(client: Client, number: int) -> httpx.Response:
    stream = "reviews" if number % 8 == 1 else "tickets"
    return await client.post("/process", json={"text": f"text {number}", "stream": stream})


async def test_requests_that_meet_in_one_batch_share_no_refusal(
    blocked: Client, keys: Keys
) -> None:
    answers = await asyncio.gather(*(post(blocked, number) for number in range(32)))

    refused = answers[1::8]
    assert {answer.status_code for answer in refused} == {503}
    assert {answer.json()["reason"] for answer in refused} == {"store_unavailable"}
    assert f" under {keys.inbox('reviews')}:" in refused[0].json()["detail"]
    assert [answer.status_code for answer in answers].count(202) == 28


async def test_a_batch_tells_which_of_its_events_to_send_again(blocked: Client, keys: Keys) -> None:
    events = [{"text": "a", "stream": stream} for stream in ("tickets", "reviews", "default")]

    answer = await blocked.post("/process/batch", json={"events": events})

    assert answer.status_code == 202
    assert (answer.json()["accepted"], answer.json()["refused"]) == (2, 1)
    outcomes = answer.json()["outcomes"]
    assert [each["status"] for each in outcomes] == ["pending", "refused", "pending"]
    [error] = outcomes[1]["errors"]
    assert (error["field"], error["reason"]) == ("events.1", "store_unavailable")
    assert f" under {keys.inbox('reviews')}:" in error["message"]


async def test_a_batch_that_may_be_sent_again_whole_is_503(blocked: Client) -> None:
    events = [{"text": ""}, {"text": "a", "stream": "reviews"}]

    answer = await blocked.post("/process/batch", json={"events": events})

    assert (answer.status_code, answer.json()["reason"]) == (503, "store_unavailable")
