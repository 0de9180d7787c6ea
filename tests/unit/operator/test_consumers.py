"""How many consumers: lag that grows while the inbox is short."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eventstream_operator.decide import Memory, Outcome, decide
from eventstream_operator.decide.memory import Rate, Sample, Want
from eventstream_operator.observe.observation import Observation
from tests.unit.operator.situations import LONG_AGO, NOW, seen, spec, without


def lagging(*, lag_per_second: float, taken_per_second: float = 100.0, lag: int = 2_000) -> Memory:
    """Twenty seconds in which the lag changed to `lag`."""
    return Memory(
        started_at=LONG_AGO,
        samples=tuple(
            Sample(
                at=NOW - ago,
                accepted=round(10_000 - taken_per_second * ago),
                finished=9_000,
                busy_worker_seconds=5_000.0,
                lag=max(0, round(lag - lag_per_second * ago)),
                ready=3,
                waiting=False,
                limited=False,
            )
            for ago in range(20, 0, -2)
        ),
        consumer_wants=(Want(NOW - 2, 1),),
    )


ONE_TAKES_A_HUNDRED = Rate(NOW - 600, 100.0)

SITUATIONS: dict[str, tuple[Observation, Memory, int | None, Outcome]] = {
    "lag grows and the inbox is short: one more": (
        seen(lag=2000),
        lagging(lag_per_second=80),
        2,
        Outcome.SCALED_OUT,
    ),
    "lag grows, but the inbox is full: workers are what is missing": (
        seen(lag=2000, queued=500),
        lagging(lag_per_second=80),
        None,
        Outcome.AT_MIN,
    ),
    "lag shrinks": (seen(lag=2000), lagging(lag_per_second=-80), None, Outcome.AT_MIN),
    "lag grows, but is nothing yet": (
        seen(lag=90),
        lagging(lag_per_second=80),
        None,
        Outcome.AT_MIN,
    ),
    "a consumer a partition is there": (
        seen(lag=2000, consumers=3),
        lagging(lag_per_second=80),
        None,
        Outcome.AT_MAX,
    ),
    "more consumers than partitions": (
        seen(lag=2000, consumers=5),
        lagging(lag_per_second=80),
        3,
        Outcome.SCALED_IN,
    ),
    "more consumers than partitions, but not for the whole window": (
        seen(lag=2000, consumers=5),
        replace(lagging(lag_per_second=80), consumer_wants=(Want(NOW - 100, 5),)),
        None,
        Outcome.STABILISING,
    ),
    "more consumers than partitions, as far as was seen since the start": (
        seen(lag=0, consumers=5),
        replace(lagging(lag_per_second=0, lag=0), started_at=NOW - 20),
        None,
        Outcome.JUST_STARTED,
    ),
    "nobody reads": (seen(lag=0, consumers=0), lagging(lag_per_second=0), 1, Outcome.SCALED_OUT),
    "the last step was a moment ago": (
        seen(lag=2000, consumers=2),
        replace(lagging(lag_per_second=80), consumers_scaled_at=NOW - 4),
        None,
        Outcome.STEADY,
    ),
    "two for what one can take, for the whole window": (
        seen(lag=0, consumers=2),
        replace(
            lagging(lag_per_second=0, taken_per_second=50, lag=0),
            consumer_capacity=ONE_TAKES_A_HUNDRED,
            consumer_wants=(Want(NOW - 179, 1),),
        ),
        1,
        Outcome.SCALED_IN,
    ),
    "two for what one could barely take": (
        seen(lag=0, consumers=2),
        replace(
            lagging(lag_per_second=0, taken_per_second=95, lag=0),
            consumer_capacity=ONE_TAKES_A_HUNDRED,
            consumer_wants=(Want(NOW - 179, 1),),
        ),
        None,
        Outcome.STEADY,
    ),
    "the lag cannot be read": (
        without(seen(lag=0, consumers=2), "kafka"),
        lagging(lag_per_second=0),
        None,
        Outcome.SIGNAL_MISSING,
    ),
}


@pytest.mark.parametrize("story", SITUATIONS)
def test_situation(story: str) -> None:
    observation, memory, target, outcome = SITUATIONS[story]

    verdict = decide(spec(kafka=True), observation, memory, NOW).consumers

    assert (verdict.target, verdict.outcome) == (target, outcome)


def test_a_stream_without_a_source_has_no_consumers() -> None:
    verdict = decide(spec(), seen(), Memory(started_at=LONG_AGO), NOW).consumers

    assert verdict.outcome is Outcome.NOT_SCALED
