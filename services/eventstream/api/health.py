"""`/health` for people and monitors, `/livez` and `/readyz` for probes. All are open.

livez: the event loop turns. readyz: Redis has answered at least once since the start, and the
process is not stopping; a Redis that goes away later does not make the pod unready, because then
nobody would get the 503 that says when to come back. health: whether requests can be served now.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, Final, Literal

from redis.exceptions import RedisError, ResponseError
from starlette.requests import Request

from eventstream import kafka_gap
from eventstream.api.parts import Parts, parts_of
from eventstream.api.replies import Reply, json_reply
from eventstream.api.schemas import Alive, Health, KafkaGap
from eventstream.cache.server import search_node
from eventstream.errors import StoreUnavailable

CHECK_SECONDS: Final = 2.0

SemanticCache = Literal["available", "exact_only", "unavailable"]


async def livez(request: Request) -> Reply:
    """200 as long as the process answers at all."""
    return json_reply(Alive(status="ok"))


async def readyz(request: Request) -> Reply:
    """200 when requests should be sent here."""
    lifecycle = parts_of(request).lifecycle
    if lifecycle.stopping.is_set():
        return json_reply(Alive(status="stopping"), status=503)
    if not lifecycle.ready:
        return json_reply(Alive(status="starting"), status=503)
    return json_reply(Alive(status="ok"))


async def health(request: Request) -> Reply:
    """What works right now; answers within a few seconds whatever Redis does."""
    parts = parts_of(request)
    workers, semantic_cache, gaps = await asyncio.gather(
        _workers(parts), _semantic_cache(parts), _kafka_gaps(parts)
    )
    serving = workers is not None
    document = Health(
        status="healthy" if serving else "unhealthy",
        redis="connected" if serving else "unavailable",
        celery_workers=workers or 0,
        timestamp=datetime.now(UTC).isoformat(),
        semantic_cache=semantic_cache,
        kafka_gaps=gaps,
    )
    if serving:
        return json_reply(document)
    return json_reply(document, status=503, headers=((b"retry-after", b"2"),))


async def _workers(parts: Parts) -> int | None:
    """How many workers are alive; None where the results Redis does not answer."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return sum(not beat.stopping for beat in await parts.heartbeats.alive())
    except (StoreUnavailable, TimeoutError):
        return None


async def _kafka_gaps(parts: Parts) -> list[KafkaGap]:
    """The gaps that are stated; none while the results Redis, which holds them, does not answer."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            gaps = await kafka_gap.read(parts.redis, parts.keys, sorted(parts.watch.streams))
    except (StoreUnavailable, TimeoutError):
        return []
    return [
        KafkaGap(
            stream=gap.stream,
            topic=gap.topic,
            partition=gap.partition,
            first_offset=gap.first,
            last_offset=gap.end - 1,
            way_out=gap.way_out,
        )
        for gap in gaps
    ]


async def _semantic_cache(parts: Parts) -> SemanticCache:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            client: Any = parts.cache_redis
            await client.execute_command("FT._LIST", **await search_node(client))
    except ResponseError:
        return "exact_only"  # The server does not know the command.
    except (RedisError, OSError, TimeoutError):
        return "unavailable"
    return "available"
