"""What a worker's parent does beside Celery: heartbeats, and looking for events without a wake-up.

Leases go on ending while Redis is away. A process that has work notices that; the parent does for
those that are idle, and they take nothing over before its holder could renew it.

A thread with an event loop of its own. It touches no prometheus metric: their lock is not made for
a process that forks while another thread holds it.
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from redis import exceptions as refusals

from eventstream import kafka_gap
from eventstream.errors import StoreUnavailable
from eventstream.heartbeat import Heartbeats, ModelInUse, WorkerHeartbeat
from eventstream.inbox import Inbox
from eventstream.keys import Keys, queues_of
from eventstream.llm.in_use import models_in_use
from eventstream.logs import get_logger
from eventstream.redis_client import AsyncRedis, connect
from eventstream.registry import Registry
from eventstream.settings import Settings
from eventstream.wakeup import WakeUps
from eventstream.worker.board import Board
from eventstream.worker.leavings import is_due, take_up_again
from eventstream.worker.suspects import renewed_within

log = get_logger(__name__)

LOOK_SECONDS: Final = 2.0
HEARTBEAT_TTL_SECONDS: Final = 15
TIDY_EVERY_LOOKS: Final = 300
TAKE_UP_EVERY_LOOKS: Final = 30
IDLE_CONSUMER_SECONDS: Final = 3600.0


class Housekeeping:
    """Runs from the worker's start to its end.

    `served` says which queues Celery consumes from; `serve_queue` asks it for one more, in its own
    time: until it does it is asked again.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        name: str,
        board: Board,
        environment: Mapping[str, str],
        registered_tasks: Sequence[str],
        served: Callable[[], Collection[str]],
        serve_queue: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._name = name
        self._board = board
        self._environment = environment
        self._registered_tasks = list(registered_tasks)
        self._served = served
        self._serve_queue = serve_queue
        self._started_at = time.time()
        self._wake_ups = WakeUps(settings, counted=False)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and remove the heartbeat."""
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(self._settings.redis_timeout_seconds * 2)
        self._wake_ups.close()

    def _tell_of_outage(self, *, before: bool, now: bool) -> bool:
        """Let processes take nothing over while nobody can renew a lease, and for a while after."""
        if now and not before:
            self._board.take_over_from(math.inf)
        elif before and not now:
            within = renewed_within(self._settings.worker_lease_seconds)
            self._board.take_over_from(time.monotonic() + within)
        return now

    def _run(self) -> None:
        asyncio.run(self._keep_house())

    async def _keep_house(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        keys = Keys(self._settings.eventstream_prefix)
        redis = connect(
            self._settings.state_url,
            timeout_seconds=self._settings.redis_timeout_seconds,
            max_connections=4,
        )
        inbox = Inbox(
            redis,
            keys,
            result_ttl_seconds=self._settings.result_ttl_seconds,
            lease_seconds=self._settings.worker_lease_seconds,
        )
        registry = Registry(redis, keys)
        heartbeats = Heartbeats(redis, keys)
        looks = 0
        away = cut_off = False
        mark: str | None = None
        while not self._stop.is_set():
            try:
                models = await self._models(registry)
                await heartbeats.beat(self._heartbeat(models), HEARTBEAT_TTL_SECONDS)
                if looks % TAKE_UP_EVERY_LOOKS == 0:
                    await take_up_again(registry, inbox)
                await self._look(inbox, registry, tidy=looks % TIDY_EVERY_LOOKS == 0)
                mark = await self._compare(mark, redis, keys)
                away = False
                cut_off = self._tell_of_outage(before=cut_off, now=False)
            except StoreUnavailable as error:
                if not away:
                    log.warning("redis_away", error=str(error))
                away = True
                cut_off = self._tell_of_outage(before=cut_off, now=_unreachable(error))
            except Exception:
                # Without this thread nobody makes a lost wake-up good, and the worker looks dead:
                # whatever it was, the next look is due.
                log.exception("look_failed")
            looks += 1
            try:
                await asyncio.wait_for(self._stop.wait(), LOOK_SECONDS)
            except TimeoutError:
                continue
        try:
            await heartbeats.forget(self._name)
        except StoreUnavailable as error:
            log.warning("heartbeat_not_removed", error=str(error))
        await redis.aclose()

    async def _compare(self, mark: str | None, redis: AsyncRedis, keys: Keys) -> str:
        """The mark of the results Redis; says so when it is another one than before."""
        now = await kafka_gap.mark_of(redis, keys)
        if mark not in (None, now):
            log.error(
                "results_lost",
                why="the results Redis lost its data",
                way_out="consumers say what was lost of Kafka; what came over HTTP and is not known"
                " any more has to be sent again",
            )
        return now

    async def _look(self, inbox: Inbox, registry: Registry, *, tidy: bool) -> None:
        for queue in await registry.queues(self._settings.worker_streams):
            if queue not in self._served():
                self._serve_queue(queue)
            if self._idle_processes() and await inbox.needs_a_worker(queue):
                self._wake_ups.send([queue])
            if tidy:
                await inbox.tidy(queue, IDLE_CONSUMER_SECONDS)
        tombstones = await registry.tombstones()
        now = await registry.store_seconds() if tombstones else 0.0
        for name, tombstone in tombstones.items():
            if self._idle_processes() and is_due(tombstone, now):
                self._wake_ups.send(queues_of(name)[:1])

    async def _models(self, registry: Registry) -> dict[str, list[ModelInUse]]:
        served = self._settings.worker_streams
        return {
            stream: models_in_use(spec, self._settings, self._environment)
            for stream, spec in (await registry.all()).items()
            if not served or stream in served
        }

    def _idle_processes(self) -> bool:
        # A process that drains looks at every queue itself; only an idle one needs to be told.
        rows = self._board.rows()
        return len(rows) < self._settings.worker_concurrency or any(
            row.busy_since == 0 for row in rows
        )

    def _heartbeat(self, models: dict[str, list[ModelInUse]]) -> WorkerHeartbeat:
        rows = self._board.rows()
        now = time.time()
        return WorkerHeartbeat(
            name=self._name,
            pid=os.getpid(),
            started_at=self._started_at,
            beat_at=now,
            concurrency=self._settings.worker_concurrency,
            queues=sorted(self._served()),
            registered_tasks=self._registered_tasks,
            active_tasks=[
                {
                    "id": f"{self._name}/{row.slot}",
                    "name": "eventstream.drain",
                    "pid": row.pid,
                    "held": row.held,
                    "since": row.busy_since,
                }
                for row in rows
                if row.busy_since
            ],
            stats={
                "total": sum(row.finished for row in rows),
                "held": sum(row.held for row in rows),
                "busy_seconds": round(
                    sum(
                        row.busy_seconds + (now - row.busy_since if row.busy_since else 0)
                        for row in rows
                    ),
                    3,
                ),
                "processes": [row.pid for row in rows],
                "slots": self._settings.worker_slots,
            },
            stopping=self._board.stopping,
            models=models,
        )


def _unreachable(error: StoreUnavailable) -> bool:
    """Whether Redis heard nothing: one that is full renews leases, and its dead workers' events
    have to be taken over like any other's."""
    return isinstance(error.__cause__, OSError | refusals.ConnectionError | refusals.TimeoutError)
