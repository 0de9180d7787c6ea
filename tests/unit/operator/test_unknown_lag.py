"""While the Kafka lag is not known: rates are those of the last minute, and no lag is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eventstream_operator.decide import Decision, Memory, Outcome, decide
from eventstream_operator.observe.observation import EventCounts, Measured, Observation, WorkerTime
from tests.unit.operator.situations import NOW, aged, remembering, seen, spec, without

KAFKA = spec(kafka=True)


def after(seconds: int, *, per_second: float, lag: int | None) -> Decision:
    """The decision so long after a minute of 100 events a second, a lag of 10 and 10/s a worker."""
    memory, decision = remembering(arrivals=100, capacity=10, lag=10), None
    for passed in range(0, seconds + 1, 2):
        observation = seen(
            workers=10,
            lag=lag,
            accepted=10_000 + round(per_second * passed),
            finished=9_000 + round(per_second * passed),
            busy=5_000 + per_second * passed / 10,
        )
        decision = decide(KAFKA, observation, memory, NOW + passed)
        memory = decision.memory
    assert decision is not None
    return decision


def test_rates_of_before_an_outage_of_kafka_are_not_those_of_now() -> None:
    figures = after(180, per_second=0.5, lag=None).figures
    assert figures.arrivals_per_second == pytest.approx(0.5)


def test_a_lag_that_comes_back_is_no_arrival() -> None:
    memory = after(180, per_second=2, lag=None).memory
    observation = seen(workers=10, lag=6_000, accepted=10_364, finished=9_364, busy=5_036.4)
    known = decide(KAFKA, observation, memory, NOW + 182)
    assert known.figures.arrivals_per_second == pytest.approx(2)
    assert (known.figures.lag, known.figures.backlog) == (6_000, 6_000)


def test_rates_end_with_the_window_where_no_counter_can_be_read() -> None:
    memory = remembering(arrivals=100, capacity=10)
    for passed in range(0, 90, 2):
        decision = decide(spec(), without(seen(queued=50), "counts"), memory, NOW + passed)
        memory = decision.memory
    assert memory.samples == ()
    assert decision.figures.arrivals_per_second is None


@pytest.mark.parametrize(
    "observation",
    [seen(queued=610, in_flight=30), aged(seen(queued=610, in_flight=30, lag=7), "kafka", 60)],
    ids=["never there", "too old"],
)
def test_an_unknown_lag_is_none_and_said(observation: Observation) -> None:
    decision = decide(KAFKA, observation, remembering(arrivals=10), NOW)
    assert (decision.figures.lag, decision.figures.backlog) == (None, 640)
    assert decision.sentence.startswith(
        "backlog 640 (queued 610, in flight 30, Kafka lag not known), 10 events/s in, "
    )


def test_without_a_source_there_is_no_lag() -> None:
    decision = decide(spec(), seen(queued=3), remembering(), NOW)
    assert decision.figures.lag == 0
    assert "Kafka" not in decision.sentence


def test_growth_over_a_time_without_kafka_brings_no_consumer() -> None:
    """Nobody could read meanwhile: it says nothing of what the consumers can do."""
    memory = Memory(started_at=NOW - 3_000)
    steps: list[int] = []
    for passed in range(0, 60, 2):
        lag = {0: 500, 1: None}.get(passed // 20, 5_000 + 10 * passed)
        observation = replace(
            seen(lag=lag),
            counts=Measured(EventCounts(10_000 + passed, 9_000)),
            worker_time=Measured(WorkerTime(5_000.0 + passed, 0, 16)),
            consumers=seen(lag=0).consumers,
        )
        decision = decide(KAFKA, observation, memory, NOW + passed)
        memory = decision.memory
        if decision.consumers.outcome is Outcome.SCALED_OUT:
            steps.append(passed)
    # What grew for ten seconds since then does.
    assert steps == [50]
