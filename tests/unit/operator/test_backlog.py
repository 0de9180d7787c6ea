"""A lag that was measured before the inbox was read: no event counts twice, and none is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstream_operator.decide import Memory, Outcome, decide
from eventstream_operator.decide.backlog import lag_of
from eventstream_operator.decide.memory import Sample
from eventstream_operator.observe.observation import Observation
from tests.unit.operator.situations import NOW, aged, remembering, seen, spec, without


def accepting(*steps: tuple[float, int], lag: int = 0) -> tuple[Sample, ...]:
    """Samples of a counter: (seconds ago, accepted)."""
    return tuple(
        Sample(NOW - ago, accepted, 9_000, 5_000.0, lag, 3, False, False) for ago, accepted in steps
    )


QUIET_THEN_MOVED = accepting((60, 9_000), (6, 9_000), (2, 9_000), lag=1_000)
"""Nothing came for a minute; then 1,000 were moved within the last two seconds."""
STEADY = accepting(*((ago, 10_000 - 100 * ago) for ago in range(60, 0, -2)), lag=50)
"""A hundred a second came and were moved."""


@pytest.mark.parametrize(
    ("story", "observation", "samples", "beside"),
    [
        (
            "measured two seconds ago, and all of it moved since",
            aged(seen(queued=1_000, lag=1_000), "kafka", 2),
            QUIET_THEN_MOVED,
            0,
        ),
        (
            "measured just now: what was moved is not in it any more",
            seen(queued=1_000, lag=1_000),
            QUIET_THEN_MOVED,
            1_000,
        ),
        (
            "half of it had been moved when it was measured",
            aged(seen(queued=1_000, lag=1_000), "kafka", 1),
            QUIET_THEN_MOVED,
            500,
        ),
        (
            "steady, five seconds old: as much came as was moved",
            aged(seen(lag=50), "kafka", 5),
            STEADY,
            50,
        ),
        (
            "steady, a broker's figure of fourteen seconds ago",
            aged(seen(lag=700), "kafka", 14),
            STEADY,
            700,
        ),
        (
            "the counter began anew: nothing is known of what was moved",
            aged(seen(lag=800, accepted=40), "kafka", 5),
            STEADY,
            800,
        ),
        (
            "an operator that has just started takes it as it is",
            aged(seen(lag=800), "kafka", 5),
            (),
            800,
        ),
        (
            "without counters it stands as it was measured",
            without(aged(seen(lag=800), "kafka", 5), "counts"),
            QUIET_THEN_MOVED,
            800,
        ),
    ],
)
def test_lag_beside_the_inbox(
    story: str, observation: Observation, samples: tuple[Sample, ...], beside: int
) -> None:
    lag = lag_of(observation, samples, NOW)

    assert lag is not None
    assert lag.beside_inbox == pytest.approx(beside, abs=abs(beside) * 0.05 + 35), story


def test_a_figure_that_is_too_old_is_none() -> None:
    assert lag_of(aged(seen(lag=800), "kafka", 16), STEADY, NOW) is None


@given(
    st.integers(0, 10_000),
    st.floats(0, 15),
    st.floats(0, 15),
    st.integers(0, 20_000),
    st.lists(st.integers(0, 20_000), max_size=30),
)
def test_it_is_never_more_than_measured_and_never_below_nothing(
    lag: int, age: float, counts_age: float, accepted: int, counted: list[int]
) -> None:
    samples = accepting(*((2 * (len(counted) - at), count) for at, count in enumerate(counted)))
    observation = aged(seen(lag=lag, accepted=accepted), "kafka", age)

    found = lag_of(aged(observation, "counts", counts_age), samples, NOW)

    assert found is not None
    assert 0 <= found.beside_inbox <= found.measured == lag


def after_the_move(*, queued: int, workers: int) -> tuple[Observation, Memory]:
    """A burst of 1,000 that consumers have just moved; the figure of the lag still has it."""
    observation = aged(seen(queued=queued, lag=1_000, workers=workers), "kafka", 2)
    return observation, replace(remembering(), samples=QUIET_THEN_MOVED)


def test_a_burst_that_was_just_moved_is_asked_for_once() -> None:
    observation, memory = after_the_move(queued=1_000, workers=3)

    decision = decide(spec(kafka=True), observation, memory, NOW)

    # 1,000 in 60 s at 8/s are 3, and the trigger asks for one more; twice 1,000 would be 5.
    assert decision.workers.target == 4
    assert decision.figures.backlog == pytest.approx(1_000, abs=40)
    assert decision.sentence.startswith(f"backlog {decision.figures.backlog} (queued 1000,")


def test_scale_in_counts_what_may_still_be_in_kafka() -> None:
    observation, memory = after_the_move(queued=90, workers=9)

    verdict = decide(spec(kafka=True), observation, memory, NOW).workers

    # 1,090 in 60 s at 8/s, with a tenth to spare: 3. The 90 alone would leave one worker.
    assert (verdict.target, verdict.outcome) == (3, Outcome.SCALED_IN)
