"""What `eventstream top` shows, as rows: a stream, a worker, a gap, and all of one look."""

from __future__ import annotations

from dataclasses import dataclass, replace

from eventstream.claims import Depth
from eventstream.heartbeat import WorkerHeartbeat
from eventstream.kafka_gap import Gap
from eventstream.results import StreamCounters


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
    """What answers cost. What failed events and checks of hits took is in `spent_today` only."""
    saved_microdollars: int
    spent_today_microdollars: int
    """All that models took since midnight UTC, whatever came of it: what a budget is held to."""
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


def stream_row(
    name: str,
    counters: StreamCounters,
    depths: list[Depth],
    kafka_lag: int | None,
    spent_today_microdollars: int,
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
        spent_today_microdollars=spent_today_microdollars,
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
