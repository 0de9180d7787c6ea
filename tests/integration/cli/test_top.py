"""`eventstream top`: what the results Redis says about streams and workers."""

from __future__ import annotations

import asyncio
import os
import sys
import time

from eventstream.claims import Arrival
from eventstream.heartbeat import Heartbeats, WorkerHeartbeat
from eventstream.inbox import Inbox
from eventstream.kafka_lag import PartitionLag
from eventstream.keys import Keys
from eventstream.llm.cost import Tokens
from eventstream.llm.spending import Spending
from eventstream.redis_client import AsyncRedis
from eventstream.registry import Registry
from eventstream.spec import Source, StreamSpec
from tests.integration.cli.command_line import run_meanwhile as run
from tests.integration.cli.conftest import Live
from tests.support.events import a_failure, an_answer, an_event
from tests.support.shell import output_that_nobody_reads


async def test_a_look_tells_what_waits_what_is_held_and_what_became_of_the_rest(
    env: dict[str, str], registry: Registry, inbox: Inbox
) -> None:
    await registry.write({"notes": StreamSpec()})
    await inbox.accept([Arrival(an_event(f"e{n}", stream="notes")) for n in range(6)])
    await inbox.accept([Arrival(an_event("e0", stream="notes"))])  # known already
    claim = await inbox.claim("notes", "worker-1", 4)
    answered, failed, deferred, _held = claim.fresh
    await inbox.finish([an_answer(answered), a_failure(failed)])
    await inbox.put_back("worker-1", [deferred.wait(60.0)])

    ended = await run("top", "--once", "--json", env=env)

    (row,) = ended.json["streams"]
    assert ended.code == 0
    assert (row["queued"], row["in_flight"], row["deferred"]) == (2, 1, 1)
    assert (row["accepted"], row["answered"], row["failed"], row["duplicates"]) == (7, 1, 1, 1)
    assert (row["tokens"], row["cost_microdollars"], row["hit_rate"]) == (7, 3, 0.0)
    assert row["p50_ms"] is not None
    assert row["answered_per_second"] is None


async def test_what_a_failed_event_took_is_in_what_was_spent_today(
    env: dict[str, str], registry: Registry, inbox: Inbox, redis_client: AsyncRedis, keys: Keys
) -> None:
    await registry.write({"notes": StreamSpec()})
    await inbox.accept([Arrival(an_event("a", stream="notes"))])
    [held] = (await inbox.claim("notes", "worker-1", 1)).fresh
    spending = Spending(redis_client, keys)
    await spending.record(spending.no_hold("notes"), calls=1, tokens=Tokens(10, 2), cost=2_500)
    await inbox.finish([a_failure(held)])

    ended = await run("top", "--once", "--json", env=env)

    (row,) = ended.json["streams"]
    assert (row["cost_microdollars"], row["spent_today_microdollars"]) == (0, 2_500)


async def test_the_default_stream_adds_up_its_three_queues(
    env: dict[str, str], registry: Registry, inbox: Inbox
) -> None:
    await registry.write({"default": StreamSpec()})
    await inbox.accept([Arrival(an_event(via, via=via)) for via in ("http", "kafka", "celery")])

    ended = await run("top", "--once", "--json", env=env)

    assert ended.json["streams"][0]["queued"] == 3


async def test_another_programs_key_costs_the_lag_of_its_own_stream_only(
    env: dict[str, str], registry: Registry, redis_client: AsyncRedis, keys: Keys
) -> None:
    reads = StreamSpec(source=Source(topic="t"))
    await registry.write({"foreign": reads, "ours": reads})
    await redis_client.set(keys.kafka_lag("foreign"), "of another program")
    figure = PartitionLag(lag=5, end=5, position=0, measured_at=time.time()).model_dump_json()
    await redis_client.hset(keys.kafka_lag("ours"), "t:0", figure)

    ended = await run("top", "--once", "--json", env=env)

    rows = {row["stream"]: row["kafka_lag"] for row in ended.json["streams"]}
    assert rows == {"foreign": None, "ours": 5}


async def test_kafka_lag_is_summed_while_it_is_measured(
    env: dict[str, str], registry: Registry, redis_client: AsyncRedis, keys: Keys
) -> None:
    reads = StreamSpec(source=Source(topic="t"))
    await registry.write({"live": reads, "stale": reads, "partly": reads, "none": StreamSpec()})
    now, old = time.time(), time.time() - 3600
    for stream, measured in (("live", (now, now)), ("stale", (old, old)), ("partly", (now, old))):
        await redis_client.hset(
            keys.kafka_lag(stream),
            mapping={
                f"t:{partition}": PartitionLag(
                    lag=lag, end=lag, position=0, measured_at=measured_at
                ).model_dump_json()
                for partition, (lag, measured_at) in enumerate(zip((5, 7), measured, strict=True))
            },
        )

    ended = await run("top", "--once", "--json", env=env)

    lags = {row["stream"]: row["kafka_lag"] for row in ended.json["streams"]}
    assert lags == {"live": 12, "stale": None, "partly": None, "none": None}


async def test_workers_are_shown_with_what_they_hold(
    env: dict[str, str], redis_client: AsyncRedis, keys: Keys
) -> None:
    beat = WorkerHeartbeat(
        name="worker-1",
        pid=1,
        started_at=time.time() - 60,
        beat_at=time.time(),
        concurrency=4,
        queues=["ai_processing", "notes"],
        registered_tasks=[],
        active_tasks=[{"queue": "notes", "held": 3}, {"queue": "notes", "held": 2}],
        stats={"total": 1234},
    )
    await Heartbeats(redis_client, keys).beat(beat, 60)

    table = await run("top", "--once", env=env)
    document = await run("top", "--once", "--json", env=env)

    assert "worker-1  " in table.out
    assert "1,234" in table.out
    (worker,) = document.json["workers"]
    assert (worker["concurrency"], worker["held"], worker["finished"]) == (4, 5, 1234)


async def test_without_streams_and_workers_the_table_says_so(env: dict[str, str]) -> None:
    ended = await run("top", "--once", env=env)

    assert "No stream yet" in ended.out
    assert "none is alive" in ended.out


async def test_the_live_view_writes_one_document_a_look_until_ctrl_c(
    env: dict[str, str], registry: Registry, inbox: Inbox, live: Live
) -> None:
    await registry.write({"notes": StreamSpec()})
    top = await live("top", "--json", "--interval", "0.2", env=env)
    first = await top.json_line()
    await inbox.accept([Arrival(an_event("a", stream="notes"))])
    await inbox.finish([an_answer(held) for held in (await inbox.claim("notes", "w", 1)).fresh])
    while (seen := await top.json_line())["streams"][0]["answered"] == 0:
        pass

    assert first["streams"][0]["answered_per_second"] is None
    assert seen["streams"][0]["answered_per_second"] > 0
    assert await top.interrupt() == (0, "")


async def test_an_interval_of_nothing_is_refused(env: dict[str, str]) -> None:
    ended = await run("top", "--interval", "0", env=env)

    assert ended.code == 2
    assert "--interval" in ended.err


async def test_a_table_whose_reader_has_gone_is_no_failure(env: dict[str, str]) -> None:
    with output_that_nobody_reads() as unread:
        assert await ended("top --once", env=env, stdout=unread) == (0, "")


async def test_a_table_is_no_trouble_where_stdout_is_closed(env: dict[str, str]) -> None:
    assert await ended("top --once >&-", env=env) == (0, "")


async def ended(
    command: str, *, env: dict[str, str], stdout: int | None = None
) -> tuple[int | None, str]:
    """How a shell's `eventstream COMMAND` ended: its exit code and stderr."""
    process = await asyncio.create_subprocess_shell(
        f"{sys.executable} -m eventstream {command}",
        env={**os.environ, **env},
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    return process.returncode, err.decode()
