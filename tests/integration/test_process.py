"""A pool process of a worker: what Celery clients get of it, and what it leaves when idle."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from eventstream.cache.store import SemanticCache
from eventstream.claims import Arrival
from eventstream.errors import EventRefused, Reason
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


@pytest.fixture
async def process(
    registry: Registry, keys: Keys, cache_url: str, broker_url: str, state_url: str
) -> AsyncIterator[WorkerProcess]:
    """A pool process of its own, for the default stream with the local model."""
    await registry.write({"default": StreamSpec(model=Model(provider="local"))})
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
    yield process
    await asyncio.to_thread(process.close)


async def test_an_idle_process_has_written_what_its_look_ups_met(
    process: WorkerProcess, inbox: Inbox, results: Results, keys: Keys, cache_url: str
) -> None:
    await inbox.accept([Arrival(an_event(name)) for name in "abc"])
    reader = connect(cache_url, timeout_seconds=5)
    try:
        await asyncio.to_thread(process.drain)
        idle = await SemanticCache(reader, prefix=keys.prefix).histogram("default")
    finally:
        await reader.aclose()

    ended = [await results.status(name) for name in "abc"]
    assert [status.status for status in ended if status is not None] == [State.SUCCESS] * 3
    counted: Counter[str] = Counter()
    for window in idle:
        counted.update(window.outcomes)
    assert counted.total() == 3


@pytest.mark.parametrize("event_id", ["", "\ud800", "a\nb", " a", "x" * 257, 1.5, ["a"], None])
async def test_a_celery_clients_id_is_held_to_the_rules_for_ids(
    process: WorkerProcess, event_id: object
) -> None:
    with pytest.raises(EventRefused, match=r"^event_id: ") as refused:
        await asyncio.to_thread(process.process, {"text": "lovely"}, event_id)

    assert (refused.value.reason, refused.value.field) == (Reason.INVALID_FIELD, "event_id")


@pytest.mark.parametrize(("event_id", "stored"), [(7, "7"), (0, "0"), ("an id/é", "an id/é")])
async def test_an_event_of_a_celery_client_is_found_under_its_id(
    process: WorkerProcess, results: Results, event_id: object, stored: str
) -> None:
    body = {"text": "lovely", "task_type": "sentiment"}
    answer = await asyncio.to_thread(process.process, body, event_id)

    status = await results.status(stored)
    assert status is not None
    assert status.status is State.SUCCESS
    assert answer["response"] == "positive"
