"""`eventstream top`: what every stream and worker does now, read from the results Redis.

Reads only, and needs neither the API nor a worker. What is measured elsewhere is shown as measured:
a Kafka lag that its consumers have not refreshed is left out instead of guessed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from eventstream import kafka_gap
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
from eventstream.cli.top_rows import Snapshot, gap_row, stream_row, with_rates, worker_row
from eventstream.errors import StoreUnavailable
from eventstream.kafka_lag import total_lag
from eventstream.keys import queues_of
from eventstream.redis_client import own_reply, reading_or_writing
from eventstream.settings import Settings, load_settings


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
    it. P50 and P95 are from acceptance to answer, as upper bounds of a histogram. TODAY is all that
    models took since midnight UTC, for events that failed and for checks of hits, too; a budget is
    held to it. AGAIN came in a second time. COST is what answers cost, SAVED what those from the
    cache would have cost.

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
    spent = await _spent_today(state, names, now)
    return Snapshot(
        at=now,
        streams=tuple(
            stream_row(
                name,
                counters[name],
                [depths[queue] for queue in queues_of(name)],
                lags.get(name),
                spent[name],
            )
            for name in names
        ),
        workers=tuple(worker_row(beat, now) for beat in await state.heartbeats.alive()),
        kafka_gaps=tuple(
            gap_row(gap) for gap in await kafka_gap.read(state.redis, state.keys, names)
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


async def _spent_today(state: State, names: Sequence[str], now: float) -> dict[str, int]:
    """Micro-dollars of the UTC day so far, of each stream."""
    day = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
    async with reading_or_writing("reading what streams have spent"):
        pipe = state.redis.pipeline(transaction=False)
        for name in names:
            pipe.hget(state.keys.usage(name, day), "cost_microdollars")
        replies = [own_reply(reply) for reply in await pipe.execute(raise_on_error=False)]
    return {name: int(spent or 0) for name, spent in zip(names, replies, strict=True)}


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
    numbers = ("QUEUED", "HELD", "LATER", "OLDEST", "LAG", "A SECOND", "P50", "P95", "TODAY")
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
            dollars(row.spent_today_microdollars),
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
