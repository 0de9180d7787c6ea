"""The parts that handlers use, constructed once in the application's lifespan.

Everything here connects on first use: the API starts, and says 503, while Redis is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from redis.asyncio import RedisCluster
from starlette.requests import Request

from eventstream.api.access import Doorkeeper
from eventstream.api.backlog import REFRESH_SECONDS, BacklogWatch
from eventstream.api.body import BodyReader
from eventstream.batching import Batcher
from eventstream.cache.store import SemanticCache
from eventstream.claims import Acceptance, Arrival
from eventstream.errors import StoreUnavailable
from eventstream.heartbeat import Heartbeats
from eventstream.inbox import Inbox
from eventstream.keys import Keys
from eventstream.logs import get_logger
from eventstream.redis_client import AsyncRedis, connect, connect_cache
from eventstream.registry import Registry
from eventstream.results import FinishedListener, Results
from eventstream.settings import Settings
from eventstream.tasks import end
from eventstream.wakeup import WakeUps

log = get_logger(__name__)

ACCEPTED_AT_ONCE: Final = 256
CONNECTIONS: Final = 64


class CacheClear(Protocol):
    """What `DELETE /cache/clear` needs of the semantic cache."""

    async def clear(self, task_type: str | None = None, stream: str | None = None) -> int:
        """Remove the entries of a task type and stream (None: all); returns how many went."""


@dataclass(slots=True)
class Lifecycle:
    """Where the process stands. `stopping` ends long polls; `ready` once Redis has answered."""

    ready: bool = False
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    started_at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that a handler may need."""

    settings: Settings
    keys: Keys
    redis: AsyncRedis
    cache_redis: AsyncRedis | RedisCluster
    inbox: Inbox
    results: Results
    registry: Registry
    heartbeats: Heartbeats
    finished: FinishedListener
    wake_ups: WakeUps
    cache: CacheClear
    body: BodyReader
    watch: BacklogWatch
    lifecycle: Lifecycle
    acceptor: Batcher[Arrival, Acceptance]
    accept: Callable[[list[Arrival]], Awaitable[list[Acceptance | StoreUnavailable]]]
    """Makes events durable and wakes their workers. Raises StoreUnavailable, or answers with it
    for the one event whose stream has no inbox to put it in."""


def parts_of(request: Request) -> Parts:
    """The parts of the application that a request came to."""
    parts: Parts = request.app.state.parts
    return parts


@contextlib.asynccontextmanager
async def open_parts(
    settings: Settings, door: Doorkeeper, lifecycle: Lifecycle, cache: CacheClear | None
) -> AsyncIterator[Parts]:
    """The parts, with their background work running; closed in the order that loses nothing."""
    keys = Keys(settings.eventstream_prefix)
    seconds = settings.redis_timeout_seconds
    redis = connect(settings.state_url, timeout_seconds=seconds, max_connections=CONNECTIONS)
    # Accepting has a connection of its own: it never waits for a reader's.
    accepting = connect(settings.state_url, timeout_seconds=seconds, max_connections=4)
    cache_redis = connect_cache(
        settings.cache_url, timeout_seconds=settings.cache_timeout_seconds, max_connections=4
    )
    inbox = Inbox(
        accepting,
        keys,
        result_ttl_seconds=settings.result_ttl_seconds,
        lease_seconds=settings.worker_lease_seconds,
    )
    results = Results(redis, keys)
    registry = Registry(redis, keys, max_age_seconds=REFRESH_SECONDS / 2)
    watch = BacklogWatch(inbox, results, registry, max_backlog=settings.api_max_backlog)
    wake_ups = WakeUps(settings)

    async def accept(arrivals: list[Arrival]) -> list[Acceptance | StoreUnavailable]:
        answers = await inbox.accept_each(arrivals)
        acceptances = [each for each in answers if isinstance(each, Acceptance)]
        watch.note_accepted(len(acceptances))
        queues = {acceptance.queue for acceptance in acceptances if acceptance.wake}
        if queues:
            wake_ups.send(queues)
        return answers

    parts = Parts(
        settings=settings,
        keys=keys,
        redis=redis,
        cache_redis=cache_redis,
        inbox=inbox,
        results=results,
        registry=registry,
        heartbeats=Heartbeats(redis, keys),
        finished=FinishedListener(redis, keys),
        wake_ups=wake_ups,
        cache=cache
        or SemanticCache(
            cache_redis,
            prefix=settings.eventstream_prefix,
            timeout_seconds=settings.cache_timeout_seconds,
        ),
        body=BodyReader(settings.api_max_body_bytes, settings.api_body_timeout_seconds),
        watch=watch,
        lifecycle=lifecycle,
        # Who was told to come back later does so: what they left behind would pile up behind a
        # Redis that hangs, and be accepted beyond every bound once it answers.
        acceptor=Batcher(accept, max_items=ACCEPTED_AT_ONCE, wanted_only=True),
        accept=accept,
    )
    background = asyncio.create_task(_background(parts, door))
    background.add_done_callback(_say_why_it_ended)
    try:
        yield parts
    finally:
        lifecycle.stopping.set()
        await end(background)
        await parts.acceptor.aclose()
        # Waits for a broker time-out at most, in a thread: the loop is needed for what follows.
        await asyncio.to_thread(wake_ups.close)
        await parts.finished.aclose()
        for client in (redis, accepting, cache_redis):
            await client.aclose()


async def _background(parts: Parts, door: Doorkeeper) -> None:
    """Bring the process to readiness, however long Redis stays away; then watch the backlog."""
    said = False
    while not parts.lifecycle.ready:
        try:
            await door.make_or_read_key(parts.redis, parts.keys, print_made_key)
            await parts.registry.ensure_default(parts.settings)
            await parts.watch.refresh()
        except StoreUnavailable as error:
            if not said:
                log.warning("waiting_for_redis", problem=str(error))
            said = True
            await asyncio.sleep(REFRESH_SECONDS)
        else:
            parts.lifecycle.ready = True
            log.info("ready", streams=sorted(parts.watch.streams))
    await parts.watch.run()


def _say_why_it_ended(background: asyncio.Task[None]) -> None:
    if not background.cancelled() and (error := background.exception()) is not None:
        log.error("background_work_failed", exc_info=error)


def print_made_key(key: str) -> None:
    """Show the key that was made, once, to whoever started the API."""
    print(
        f"\nNo API_KEYS are set, so a key was made. It is shown this once:\n\n    {key}\n\n"
        "Send it as `Authorization: Bearer KEY`. To choose your own keys set API_KEYS;"
        " to serve without any set API_AUTH=none.\n",
        file=sys.stderr,
        flush=True,
    )
