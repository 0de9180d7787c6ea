"""What a worker's parent says of itself, beside Celery: its heartbeat in a real Redis."""

from __future__ import annotations

import asyncio
import math
import time
from pathlib import Path
from typing import Any

import redis
from structlog.testing import capture_logs

from eventstream.claims import Arrival
from eventstream.heartbeat import Heartbeats
from eventstream.inbox import Inbox
from eventstream.keys import Keys
from eventstream.redis_client import AsyncRedis
from eventstream.registry import Registry
from eventstream.settings import Settings
from eventstream.spec import StreamSpec
from eventstream.worker.board import Board
from eventstream.worker.housekeeping import Housekeeping
from tests.support.events import an_event
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer

KEY = "sk-a-real-looking-secret"


def housekeeping_for(settings: Settings, **changes: Any) -> Housekeeping:
    values: dict[str, Any] = {
        "name": "eventstream-1@pod",
        "board": Board(1),
        "environment": {},
        "registered_tasks": [],
        "served": lambda: ("reviews",),
        "serve_queue": lambda queue: None,
    }
    return Housekeeping(settings, **(values | changes))


async def test_a_heartbeat_names_the_models_of_the_streams_that_are_served(
    redis_client: AsyncRedis, keys: Keys, registry: Registry, cache_url: str
) -> None:
    limited = {"model": {"name": "gpt-4o", "allow": ["o3"]}, "limits": {"requestsPerMinute": 50}}
    streams = {"reviews": limited, "tickets": {}}
    await registry.write({name: StreamSpec.model_validate(spec) for name, spec in streams.items()})
    settings = Settings.model_validate(
        {
            "redis_url": cache_url,
            "eventstream_prefix": keys.prefix,
            "worker_streams": "reviews",
            "openai_api_key": KEY,
        }
    )
    housekeeping = housekeeping_for(settings)
    heartbeats = Heartbeats(redis_client, keys)

    housekeeping.start()
    async with asyncio.timeout(30):
        while not (alive := await heartbeats.alive()):
            await asyncio.sleep(0.05)
    await asyncio.to_thread(housekeeping.stop)

    [beat] = alive
    assert beat.models.keys() == {"reviews"}
    assert [(model.name, model.requests) for model in beat.models["reviews"]] == [
        ("openai (gpt-4o)", 50),
        ("openai (o3)", 50),
    ]
    assert KEY not in beat.model_dump_json()
    assert await heartbeats.alive() == []


async def test_the_queue_of_a_settled_stream_is_served_again_when_an_event_came_late(
    redis_client: AsyncRedis, keys: Keys, registry: Registry, inbox: Inbox, cache_url: str
) -> None:
    await registry.write({"letters": StreamSpec()})
    await registry.delete("letters")
    await registry.settle("letters", (await registry.tombstones())["letters"])
    await inbox.accept([Arrival(an_event("late", stream="letters"))])
    settings = Settings.model_validate(
        {"redis_url": cache_url, "eventstream_prefix": keys.prefix, "worker_streams": "reviews"}
    )
    served = asyncio.Event()
    loop = asyncio.get_running_loop()
    housekeeping = housekeeping_for(
        settings,
        serve_queue=lambda queue: loop.call_soon_threadsafe(
            served.set if queue == "letters" else lambda: None
        ),
    )

    housekeeping.start()
    async with asyncio.timeout(30):
        await served.wait()
    await asyncio.to_thread(housekeeping.stop)


async def test_after_an_outage_nothing_is_taken_over_before_its_holder_could_renew_it(
    tmp_path: Path,
) -> None:
    """The parent looks every few seconds, and knows of an outage that no idle process saw."""
    with RedisServer(tmp_path) as server, Proxy(server.port) as proxy:
        settings = Settings.model_validate(
            {"redis_url": proxy.redis_url(0), "worker_lease_seconds": 30}
        )
        board = Board(1)
        housekeeping = Housekeeping(
            settings,
            name="eventstream-1@pod",
            board=board,
            environment={},
            registered_tasks=[],
            served=lambda: (),
            serve_queue=lambda queue: None,
        )
        housekeeping.start()
        async with asyncio.timeout(30):
            while not proxy.connections:
                await asyncio.sleep(0.05)
            proxy.refuse()
            while board.takes_over_from != math.inf:
                await asyncio.sleep(0.05)
            back = time.monotonic()
            proxy.mend()
            while board.takes_over_from == math.inf:
                await asyncio.sleep(0.05)
        await asyncio.to_thread(housekeeping.stop)

    assert back + 10 <= board.takes_over_from <= time.monotonic() + 10


async def test_a_full_redis_is_no_outage(tmp_path: Path) -> None:
    """There leases are renewed: what a dead worker held has to be taken over, or it stays full."""
    with RedisServer(tmp_path) as server:
        settings = Settings.model_validate({"redis_url": server.url(0)})
        board = Board(1)
        housekeeping = housekeeping_for(settings, board=board)
        with redis.Redis(port=server.port) as control, capture_logs() as lines:
            control.config_set("maxmemory", 1)
            housekeeping.start()
            async with asyncio.timeout(30):
                while not any(line["event"] == "redis_away" for line in lines):
                    await asyncio.sleep(0.05)
            await asyncio.to_thread(housekeeping.stop)

    assert board.takes_over_from <= time.monotonic()
