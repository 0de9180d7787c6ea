"""`eventstream top`: what every stream and worker does now, read from the results Redis.

Reads only, and needs neither the API nor a worker. What is measured elsewhere is shown as measured:
a Kafka lag that its consumers have not refreshed is left out instead of guessed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from eventstream import kafka_gap
from eventstream.claims import Depth
from eventstream.cli.common import (
    Seconds,
    State,
    a_table,
    dollars,
    json_option,
    open_state,
    print_json,
    run,
    say,
    stdout_console,
)
from eventstream.errors import StoreUnavailable
from eventstream.heartbeat import WorkerHeartbeat
from eventstream.kafka_gap import Gap
from eventstream.kafka_lag import total_lag
from eventstream.keys import queues_of
from eventstream.redis_client import own_reply, reading_or_writing
from eventstream.results import StreamCounters
from eventstream.settings import Settings, load_settings


@dataclass(frozen=True, slots=True)
class StreamRow:
    """One stream at one moment; counts are since the stream exists."""

    stream: str
    queued: int
    in_flight: int
    deferred: int
    oldest_seconds: float
    kafka_lag: int | None
    accepted: int
    answered: int
    failed: int
    duplicates: int
    hit_rate: float
    p50_ms: int | None
    p95_ms: int | None
    tokens: int
    cost_microdollars: int
    saved_microdollars: int
    answered_per_second: float | None = None
    """Since the look before; None at the first one."""


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One worker that has a heartbeat."""

    name: str
    concurrency: int
    held: int
    finished: int
    queues: tuple[str, ...]
    beat_seconds_ago: float
    stopping: bool


@dataclass(frozen=True, slots=True)
class GapRow:
    """Records whose events went with a results Redis that lost its data, and how to get them."""

    stream: str
    topic: str
    partition: int
    first_offset: int
    last_offset: int
    way_out: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that one refresh shows. `at` is Unix seconds."""

    at: float
    streams: tuple[StreamRow, ...]
    workers: tuple[WorkerRow, ...]
    kafka_gaps: tuple[GapRow, ...] = ()


@click.command()
@click.option(
    "--interval",
    type=Seconds(0.1, 3600),
    default=1.0,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option("--once", is_flag=True, help="Look once and end.")
@json_option
def top(interval: float, once: bool, as_json: bool) -> None:
    """Watch streams live: backlog, hit rate, latency, cost. Ctrl-C ends it.

    QUEUED waits for a worker, HELD is being worked on, LATER was put off and is tried again: it
    waits for a limit, a budget, a provider that is away or refuses the key, a setting, Kafka
    (`eventstream result ID` says which). LAG is still in Kafka; "-" where nobody measures all of
    it. P50 and P95 are from acceptance to answer, as upper bounds of a histogram. AGAIN came in a
    second time. SAVED is what the answers from the cache would have cost.

    \b
    Examples:
      eventstream top
      eventstream top --once --json | jq '.streams[] | {stream, queued}'
      eventstream top --json --interval 10 >> history.jsonl
    """
    try:
        run(_watch(load_settings(), interval, once=once, as_json=as_json))
    except KeyboardInterrupt:
        # The usual way out of a live view is not a failure.
        return


async def _watch(settings: Settings, interval: float, *, once: bool, as_json: bool) -> None:
    async with open_state(settings) as state:
        if once or as_json or not sys.stdout.isatty():
            async for snapshot in looks(
                lambda: collect(state, time.time()), lambda: asyncio.sleep(interval)
            ):
                _print(snapshot, as_json)
                if once:
                    return
        snapshot = await collect(state, time.time())
        with Live(render(snapshot), console=stdout_console(), screen=True) as live:
            while True:
                await asyncio.sleep(interval)
                try:
                    snapshot = with_rates(await collect(state, time.time()), snapshot)
                except StoreUnavailable as error:
                    live.update(render(snapshot, f"{error}; trying again"), refresh=True)
                else:
                    live.update(render(snapshot), refresh=True)


async def looks(
    look: Callable[[], Awaitable[Snapshot]], wait: Callable[[], Awaitable[None]]
) -> AsyncIterator[Snapshot]:
    """One look after the other, without an end. An outage is said once, and waited out.

    Raises StoreUnavailable where there is no first look: the address may be wrong.
    """
    snapshot, away = await look(), False
    while True:
        if not away:
            yield snapshot
        await wait()
        try:
            snapshot, away = with_rates(await look(), snapshot), False
        except StoreUnavailable as error:
            if not away:
                say(f"{error}; trying again")
            away = True


async def collect(state: State, now: float) -> Snapshot:
    """One look at everything; `now` is Unix seconds. Raises StoreUnavailable."""
    streams = await state.registry.all()
    names = sorted(streams)
    counters = await state.results.counters(names)
    depths = await state.inbox.depth([queue for name in names for queue in queues_of(name)])
    topics = {name: spec.source.topic for name, spec in streams.items() if spec.source}
    lags = await _kafka_lags(state, topics, now)
    return Snapshot(
        at=now,
        streams=tuple(
            stream_row(name, counters[name], [depths[q] for q in queues_of(name)], lags.get(name))
            for name in names
        ),
        workers=tuple(worker_row(beat, now) for beat in await state.heartbeats.alive()),
        kafka_gaps=tuple(
            gap_row(gap) for gap in await kafka_gap.read(state.redis, state.keys, names)
        ),
    )


def stream_row(
    name: str, counters: StreamCounters, depths: list[Depth], kafka_lag: int | None
) -> StreamRow:
    """A stream's counts and the depths of its queues as one row."""
    return StreamRow(
        stream=name,
        queued=sum(depth.queued for depth in depths),
        in_flight=sum(depth.in_flight for depth in depths),
        deferred=sum(depth.deferred for depth in depths),
        oldest_seconds=max((depth.oldest_age_seconds for depth in depths), default=0.0),
        kafka_lag=kafka_lag,
        accepted=counters.accepted,
        answered=counters.answered,
        failed=counters.failed,
        duplicates=counters.duplicates,
        hit_rate=counters.hit_rate,
        p50_ms=counters.latency_quantile_ms(0.5),
        p95_ms=counters.latency_quantile_ms(0.95),
        tokens=counters.tokens,
        cost_microdollars=counters.cost_microdollars,
        saved_microdollars=counters.saved_microdollars,
    )


def gap_row(gap: Gap) -> GapRow:
    """A gap as one row."""
    return GapRow(
        stream=gap.stream,
        topic=gap.topic,
        partition=gap.partition,
        first_offset=gap.first,
        last_offset=gap.end - 1,
        way_out=gap.way_out,
    )


def worker_row(beat: WorkerHeartbeat, now: float) -> WorkerRow:
    """A heartbeat as one row."""
    return WorkerRow(
        name=beat.name,
        concurrency=beat.concurrency,
        held=sum(int(task.get("held", 0)) for task in beat.active_tasks),
        finished=int(beat.stats.get("total", 0)),
        queues=tuple(beat.queues),
        beat_seconds_ago=max(0.0, now - beat.beat_at),
        stopping=beat.stopping,
    )


def with_rates(snapshot: Snapshot, before: Snapshot) -> Snapshot:
    """The snapshot with answers a second since the one before; a new stream has none yet."""
    seconds = snapshot.at - before.at
    earlier = {row.stream: row.answered for row in before.streams}
    if seconds <= 0:
        return snapshot
    return replace(
        snapshot,
        streams=tuple(
            replace(
                row,
                # Fewer than before: the counters were lost and begin again.
                answered_per_second=max(0, row.answered - earlier[row.stream]) / seconds,
            )
            if row.stream in earlier
            else row
            for row in snapshot.streams
        ),
    )


async def _kafka_lags(state: State, topics: Mapping[str, str], now: float) -> dict[str, int | None]:
    """The lag of each stream in `topics`, which names the one that it reads."""
    async with reading_or_writing("reading Kafka lags"):
        pipe = state.redis.pipeline(transaction=False)
        for name in topics:
            pipe.hgetall(state.keys.kafka_lag(name))
        replies = [own_reply(reply) for reply in await pipe.execute(raise_on_error=False)]
    return {
        name: total_lag(fields or {}, topic, now)
        for (name, topic), fields in zip(topics.items(), replies, strict=True)
    }


def render(snapshot: Snapshot, trouble: str = "") -> RenderableType:
    """The screen: streams, workers, and what is wrong, if anything is."""
    parts: list[RenderableType] = (
        [_now_table(snapshot), _totals_table(snapshot)]
        if snapshot.streams
        else [Text("No stream yet: `eventstream up`, or `eventstream streams apply`.")]
    )
    parts.append(_workers_table(snapshot))
    parts += [
        Text(
            f"{gap.stream}: the results Redis lost its data, and with it records {gap.first_offset}"
            f" to {gap.last_offset} of {gap.topic} [{gap.partition}]: {gap.way_out}",
            style="bold red",
        )
        for gap in snapshot.kafka_gaps
    ]
    if trouble:
        parts.append(Text(trouble, style="bold red"))
    return Group(*parts)


def _now_table(snapshot: Snapshot) -> Table:
    numbers = ("QUEUED", "HELD", "LATER", "OLDEST", "LAG", "A SECOND", "P50", "P95")
    table = a_table("STREAM", *numbers, numbers=numbers)
    for row in snapshot.streams:
        table.add_row(
            Text(row.stream, style="bold cyan"),
            f"{row.queued:,}",
            f"{row.in_flight:,}",
            f"{row.deferred:,}",
            _seconds(row.oldest_seconds),
            "-" if row.kafka_lag is None else f"{row.kafka_lag:,}",
            "-" if row.answered_per_second is None else f"{row.answered_per_second:,.1f}",
            _milliseconds(row.p50_ms),
            _milliseconds(row.p95_ms),
        )
    return table


def _totals_table(snapshot: Snapshot) -> Table:
    numbers = ("ACCEPTED", "ANSWERED", "FAILED", "AGAIN", "HITS", "TOKENS", "COST", "SAVED")
    table = a_table("STREAM", *numbers, numbers=numbers)
    for row in snapshot.streams:
        table.add_row(
            Text(row.stream, style="bold cyan"),
            f"{row.accepted:,}",
            f"{row.answered:,}",
            Text(f"{row.failed:,}", style="red" if row.failed else ""),
            f"{row.duplicates:,}",
            f"{row.hit_rate:.0%}" if row.answered else "-",
            f"{row.tokens:,}",
            dollars(row.cost_microdollars),
            Text(dollars(row.saved_microdollars), style="green"),
        )
    return table


def _workers_table(snapshot: Snapshot) -> Table:
    numbers = ("PROCESSES", "HOLDS", "FINISHED", "SEEN")
    table = a_table("WORKER", *numbers, "STATE", "QUEUES", numbers=numbers, long="QUEUES")
    for row in snapshot.workers:
        table.add_row(
            row.name,
            str(row.concurrency),
            f"{row.held:,}",
            f"{row.finished:,}",
            f"{_seconds(row.beat_seconds_ago)} ago",
            "stopping" if row.stopping else "running",
            ", ".join(row.queues),
        )
    if not snapshot.workers:
        table.add_row(Text("none is alive: events wait", style="yellow"), *("",) * 6)
    return table


def _seconds(seconds: float) -> str:
    if seconds < 1:
        return "0 s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _milliseconds(bound: int | None) -> str:
    if bound is None:
        return "-"
    return f"{bound} ms" if bound < 1000 else f"{bound / 1000:.1f} s"


def _print(snapshot: Snapshot, as_json: bool) -> None:
    if as_json:
        print_json(asdict(snapshot))
    else:
        stdout_console().print(render(snapshot))
