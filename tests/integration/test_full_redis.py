"""A full results Redis takes no more, and what it took can be finished, whatever its size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventstream.claims import Arrival
from eventstream.errors import StoreUnavailable
from eventstream.inbox import Inbox
from eventstream.keys import QUEUE_HTTP, Keys
from eventstream.redis_client import connect
from tests.support.events import an_answer, an_event
from tests.support.redis_server import RedisServer

ROOM_BYTES = 5_000_000
AT_ONCE = 10


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that a test may fill."""
    with RedisServer(tmp_path, search=False) as server:
        yield server


async def fill(inbox: Inbox, text: str) -> tuple[int, str]:
    """Accept events until the server is full; how many it took, and what it then said."""
    accepted = 0
    while True:
        events = [an_event(f"e{accepted + n}", text) for n in range(AT_ONCE)]
        try:
            accepted += len(await inbox.accept([Arrival(event) for event in events]))
        except StoreUnavailable as error:
            return accepted, str(error)


@pytest.mark.parametrize("chars", [1, 20_000])
async def test_what_was_accepted_can_be_finished(own_redis: RedisServer, chars: int) -> None:
    client = connect(own_redis.url(2), timeout_seconds=30)
    inbox = Inbox(client, Keys(), result_ttl_seconds=3600, lease_seconds=30)
    used = int((await client.info("memory"))["used_memory"])
    await client.config_set("maxmemory", used + ROOM_BYTES)
    await client.config_set("maxmemory-policy", "noeviction")
    accepted, said = await fill(inbox, "x" * chars)
    assert "Redis is full" in said

    finished = 0
    while held := (await inbox.claim(QUEUE_HTTP, "a-worker", AT_ONCE)).fresh:
        finished += sum(await inbox.finish([an_answer(each, "positive") for each in held]))

    assert finished == accepted > 0
    await client.aclose()
