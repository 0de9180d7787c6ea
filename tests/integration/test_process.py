"""A pool process of a worker: what it leaves behind when it has nothing to do any more."""

from __future__ import annotations

import asyncio
from collections import Counter

from eventstream.cache.store import SemanticCache
from eventstream.claims import Arrival
from eventstream.events import State
from eventstream.inbox import Inbox
from eventstream.keys import Keys
from eventstream.llm.local import LocalModel
from eventstream.redis_client import connect
from eventstream.registry import Registry
from eventstream.results import Results
from eventstream.settings import Settings
from eventstream.spec import Model, StreamSpec
from eventstream.worker.board import Board
from eventstream.worker.process import WorkerProcess
from tests.support.events import an_event


async def test_an_idle_process_has_written_what_its_look_ups_met(
    registry: Registry,
    inbox: Inbox,
    results: Results,
    keys: Keys,
    cache_url: str,
    broker_url: str,
    state_url: str,
) -> None:
    await registry.write({"default": StreamSpec(model=Model(provider="local"))})
    await inbox.accept([Arrival(an_event(name)) for name in "abc"])
    settings = Settings(
        redis_url=cache_url,
        celery_broker_url=broker_url,
        celery_result_backend=state_url,
        eventstream_prefix=keys.prefix,
    )
    process = WorkerProcess(
        settings,
        worker_name="worker-1",
        slot=0,
        board=Board(1),
        local_model=LocalModel.load(None),
        environment={},
    )
    reader = connect(cache_url, timeout_seconds=5)
    try:
        await asyncio.to_thread(process.drain)
        idle = await SemanticCache(reader, prefix=keys.prefix).histogram("default")
    finally:
        await asyncio.to_thread(process.close)
        await reader.aclose()

    ended = [await results.status(name) for name in "abc"]
    assert [status.status for status in ended if status is not None] == [State.SUCCESS] * 3
    counted: Counter[str] = Counter()
    for window in idle:
        counted.update(window.outcomes)
    assert counted.total() == 3
