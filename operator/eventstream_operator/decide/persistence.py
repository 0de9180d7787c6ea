"""A memory in an EventStream's status, and back: so that a restart loses no window or cooldown.

A monotonic clock means nothing in the next process, so times leave as Unix seconds. What the wall
clock then claims is not trusted: nothing is from the future, what lies too far back falls out of
its window by itself, and every start begins a new quiet time for scale-in.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from eventstream_operator.decide.memory import (
    Ineffective,
    Level,
    Memory,
    Rate,
    Sample,
    Want,
)
from eventstream_operator.decide.tuning import INEFFECTIVE_MOST_SECONDS

log = logging.getLogger(__name__)

ROUNDING_SECONDS: Final = 0.001
"""Times are stored in milliseconds, so the present may come back as a moment from now."""

_UNKNOWN_LAG: Final = -1
"""In a row: a merge patch may drop a null, and the rest of the row would move up."""

_SampleRow = tuple[float, int, int, float, int, int, bool, bool]


class _Stored(BaseModel):
    """`status.memory`. Rows instead of objects: it is written often, and read by nobody."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    samples: tuple[_SampleRow, ...] = ()
    worker_wants: tuple[tuple[float, int], ...] = ()
    consumer_wants: tuple[tuple[float, int], ...] = ()
    api_wants: tuple[tuple[float, int], ...] = ()
    capacity: tuple[float, float] | None = None
    consumer_capacity: tuple[float, float] | None = None
    level: tuple[float, int, float] | None = None
    ineffective: tuple[int, float, int, str] | None = None
    scaled_out_at: float | None = None
    consumers_scaled_at: float | None = None
    trigger_answered_at: float | None = None
    starting_since: float | None = None
    asleep_at: float | None = None


def to_status(memory: Memory, *, now: float, unix_now: float) -> dict[str, Any]:
    """The memory as JSON values; `now` and `unix_now` are the same moment on both clocks."""
    shift = unix_now - now

    def out(at: float) -> float:
        return round(at + shift, 3)

    def rows(wants: tuple[Want, ...]) -> tuple[tuple[float, int], ...]:
        return tuple((out(want.at), want.pods) for want in wants)

    stored = _Stored(
        samples=tuple(
            (
                out(sample.at),
                sample.accepted,
                sample.finished,
                sample.busy_worker_seconds,
                _UNKNOWN_LAG if sample.lag is None else sample.lag,
                sample.ready,
                sample.waiting,
                sample.limited,
            )
            for sample in memory.samples
        ),
        worker_wants=rows(memory.worker_wants),
        consumer_wants=rows(memory.consumer_wants),
        api_wants=rows(memory.api_wants),
        capacity=memory.capacity and (out(memory.capacity.at), memory.capacity.per_second),
        consumer_capacity=memory.consumer_capacity
        and (out(memory.consumer_capacity.at), memory.consumer_capacity.per_second),
        level=memory.level and (out(memory.level.at), memory.level.ready, memory.level.per_second),
        ineffective=memory.ineffective
        and (
            memory.ineffective.workers,
            out(memory.ineffective.until),
            memory.ineffective.times,
            memory.ineffective.cause,
        ),
        scaled_out_at=_maybe(out, memory.scaled_out_at),
        consumers_scaled_at=_maybe(out, memory.consumers_scaled_at),
        trigger_answered_at=_maybe(out, memory.trigger_answered_at),
        starting_since=_maybe(out, memory.starting_since),
        asleep_at=_maybe(out, memory.asleep_at),
    )
    return stored.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def from_status(status: Mapping[str, Any] | None, *, now: float, unix_now: float) -> Memory:
    """The memory that `to_status` wrote, watching from `now` on.

    What cannot be read (written by another version, or edited) is left out as a whole: a memory
    that only has its start scales nothing in for one window, which is safe.
    """
    try:
        stored = _Stored.model_validate(status or {})
    except ValidationError as error:
        log.warning("status.memory is unreadable, starting without it: %s", error)
        stored = _Stored()
    shift = now - unix_now

    def past(at: float) -> float:
        return min(at + shift, now)

    def wants(rows: tuple[tuple[float, int], ...]) -> tuple[Want, ...]:
        return tuple(Want(past(at), pods) for at, pods in rows)

    return Memory(
        started_at=now,
        # Two counters at one moment give no rate: a sample from the future is left out.
        samples=tuple(
            Sample(past(row[0]), *row[1:4], None if row[4] < 0 else row[4], *row[5:])
            for row in stored.samples
            if row[0] <= unix_now + ROUNDING_SECONDS
        ),
        worker_wants=wants(stored.worker_wants),
        consumer_wants=wants(stored.consumer_wants),
        api_wants=wants(stored.api_wants),
        capacity=stored.capacity and Rate(past(stored.capacity[0]), stored.capacity[1]),
        consumer_capacity=stored.consumer_capacity
        and Rate(past(stored.consumer_capacity[0]), stored.consumer_capacity[1]),
        level=stored.level and Level(past(stored.level[0]), *stored.level[1:]),
        ineffective=stored.ineffective
        and Ineffective(
            stored.ineffective[0],
            min(stored.ineffective[1] + shift, now + INEFFECTIVE_MOST_SECONDS),
            stored.ineffective[2],
            stored.ineffective[3],
        ),
        scaled_out_at=_maybe(past, stored.scaled_out_at),
        consumers_scaled_at=_maybe(past, stored.consumers_scaled_at),
        trigger_answered_at=_maybe(past, stored.trigger_answered_at),
        # Nothing was ever remembered of it: it is new.
        starting_since=_maybe(past, stored.starting_since) if status else now,
        asleep_at=_maybe(past, stored.asleep_at),
    )


def _maybe(convert: Any, at: float | None) -> float | None:
    return None if at is None else float(convert(at))
