"""How many workers: a row a situation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eventstream.spec import StreamSpec
from eventstream_operator.decide import Memory, Outcome, decide
from eventstream_operator.decide.memory import Want
from eventstream_operator.observe.observation import Conflicts, Observation
from tests.unit.operator.situations import NOW, aged, remembering, seen, spec, without

FIVE_WERE_ENOUGH = (Want(NOW - 58, 5), Want(NOW - 30, 4))

SITUATIONS: dict[str, tuple[StreamSpec, Observation, Memory, int | None, Outcome]] = {
    "backlog and arrivals ask for seven, the step allows twice three": (
        spec(kafka=True),
        seen(queued=610, in_flight=32, lag=198),
        remembering(arrivals=41, lag=198),
        6,
        Outcome.SCALED_OUT,
    ),
    "two of three are ready and the formula is satisfied, the trigger still adds one": (
        spec(),
        seen(queued=80, in_flight=32),
        remembering(arrivals=10),
        4,
        Outcome.SCALED_OUT,
    ),
    "the trigger was answered a moment ago: the added one gets its time": (
        spec(),
        seen(queued=80, in_flight=32),
        replace(remembering(arrivals=10), trigger_answered_at=NOW - 20),
        None,
        Outcome.TRIGGER_ANSWERED,
    ),
    "the queue is still too long a drain time later: one more": (
        spec(),
        seen(queued=80, in_flight=32),
        replace(remembering(arrivals=10), trigger_answered_at=NOW - 60),
        4,
        Outcome.SCALED_OUT,
    ),
    "exactly the trigger's length does not cross it": (
        spec(),
        seen(queued=60, in_flight=40, workers=3),
        remembering(arrivals=23),
        None,
        Outcome.STEADY,
    ),
    "a short queue with an event older than the drain time may add": (
        spec(),
        seen(queued=50, in_flight=48, oldest=61),
        remembering(arrivals=40),
        6,
        Outcome.SCALED_OUT,
    ),
    "a long queue that is all in workers' hands: nothing waits": (
        spec(),
        seen(queued=0, in_flight=300, workers=3),
        remembering(arrivals=40),
        None,
        Outcome.NOTHING_WAITS,
    ),
    "backlog but no rate yet: one worker for each queueLength": (
        spec(),
        seen(queued=480, in_flight=0, workers=3),
        remembering(capacity=None),
        5,
        Outcome.SCALED_OUT,
    ),
    "never more than there is work for": (
        spec(max=1000),
        seen(queued=40, in_flight=5, oldest=100, workers=30, ready=30),
        remembering(arrivals=500, capacity=1.0),
        45,
        Outcome.SCALED_OUT,
    ),
    "all of max are there": (
        spec(max=3),
        seen(queued=5000),
        remembering(arrivals=41),
        None,
        Outcome.AT_MAX,
    ),
    "max stops the step": (
        spec(max=5),
        seen(queued=5000),
        remembering(arrivals=41),
        5,
        Outcome.SCALED_OUT,
    ),
    "two steps within a moment are one": (
        spec(),
        seen(queued=5000),
        replace(remembering(arrivals=41), scaled_out_at=NOW - 1),
        None,
        Outcome.PODS_STARTING,
    ),
    "below min: min, whatever the load": (
        spec(min=2),
        seen(workers=1),
        remembering(),
        2,
        Outcome.SCALED_OUT,
    ),
    "above max after the spec changed: max at once": (
        spec(max=2),
        seen(workers=6),
        remembering(),
        2,
        Outcome.SCALED_IN,
    ),
    "asleep, and the first event comes": (
        spec(min=0),
        seen(queued=1, workers=0),
        remembering(capacity=None),
        1,
        Outcome.SCALED_OUT,
    ),
    "asleep, and the first event is still in Kafka": (
        spec(min=0, kafka=True),
        seen(lag=1, workers=0),
        remembering(capacity=None),
        1,
        Outcome.SCALED_OUT,
    ),
    "asleep, and a deferred event needs a worker that puts it back": (
        spec(min=0),
        seen(deferred=4, workers=0),
        remembering(capacity=None),
        1,
        Outcome.SCALED_OUT,
    ),
    "asleep, and nothing comes": (
        spec(min=0),
        seen(workers=0),
        remembering(capacity=None),
        None,
        Outcome.AT_MIN,
    ),
    "idle for the whole window: to sleep": (
        spec(min=0),
        seen(workers=1, idle=1),
        remembering(wants=(Want(NOW - 61, 1), Want(NOW - 59, 0))),
        0,
        Outcome.SCALED_IN,
    ),
    "idle, but an event is deferred: one stays": (
        spec(min=0),
        seen(workers=2, idle=2, deferred=1),
        remembering(wants=(Want(NOW - 59, 1),)),
        1,
        Outcome.SCALED_IN,
    ),
    "fewer would do, for the whole window: the highest of it": (
        spec(),
        seen(workers=8),
        remembering(arrivals=20, wants=FIVE_WERE_ENOUGH),
        5,
        Outcome.SCALED_IN,
    ),
    "fewer would do, but not for long enough": (
        spec(),
        seen(workers=8),
        remembering(arrivals=20, wants=(Want(NOW - 30, 8),)),
        None,
        Outcome.STABILISING,
    ),
    "fewer would do, but the operator has just started": (
        spec(),
        seen(workers=8),
        remembering(arrivals=20, wants=FIVE_WERE_ENOUGH, started_at=NOW - 20),
        None,
        Outcome.JUST_STARTED,
    ),
    "fewer would do, but they would be full": (
        spec(),
        seen(workers=4),
        remembering(arrivals=23),
        None,
        Outcome.WITHIN_TOLERANCE,
    ),
    "little comes, but what is in flight needs its slots": (
        spec(),
        seen(in_flight=65, workers=8),
        remembering(arrivals=1, wants=(Want(NOW - 50, 5),)),
        5,
        Outcome.SCALED_IN,
    ),
    "deferred events are no work for workers now": (
        spec(),
        seen(deferred=5000, workers=3),
        remembering(wants=(Want(NOW - 50, 1),)),
        1,
        Outcome.SCALED_IN,
    ),
    "steady": (
        spec(),
        seen(in_flight=40, workers=3),
        remembering(arrivals=20),
        None,
        Outcome.STEADY,
    ),
    "another autoscaler has the workers": (
        spec(),
        seen(queued=5000, conflicts=Conflicts(workers_scaled_by="ScaledObject/reviews")),
        remembering(arrivals=41),
        None,
        Outcome.CONFLICT,
    ),
    "paused": (
        spec(mode="Paused"),
        seen(queued=5000),
        remembering(arrivals=41),
        None,
        Outcome.PAUSED,
    ),
    "recommending only": (
        spec(mode="Recommend"),
        seen(queued=5000),
        remembering(arrivals=41),
        None,
        Outcome.RECOMMENDED,
    ),
    "the inbox cannot be read: hold": (
        spec(),
        without(seen(workers=8), "inbox"),
        remembering(wants=FIVE_WERE_ENOUGH),
        None,
        Outcome.SIGNAL_MISSING,
    ),
    "the inbox was read too long ago: hold": (
        spec(),
        aged(seen(workers=8), "inbox", 16),
        remembering(wants=FIVE_WERE_ENOUGH),
        None,
        Outcome.SIGNAL_STALE,
    ),
    "the inbox cannot be read, and too few are there for the spec": (
        spec(min=2),
        without(seen(workers=1), "inbox"),
        remembering(),
        2,
        Outcome.SCALED_OUT,
    ),
    "the lag is missing: nobody leaves": (
        spec(kafka=True),
        without(seen(workers=8, lag=0), "kafka"),
        remembering(wants=FIVE_WERE_ENOUGH),
        None,
        Outcome.SIGNAL_MISSING,
    ),
    "the lag is missing, and the inbox alone asks for more": (
        spec(kafka=True),
        without(seen(workers=3, queued=5000, lag=0), "kafka"),
        remembering(arrivals=41),
        6,
        Outcome.SCALED_OUT,
    ),
    "heartbeats are missing: nobody leaves": (
        spec(),
        without(seen(workers=8), "worker_time"),
        remembering(wants=FIVE_WERE_ENOUGH),
        None,
        Outcome.SIGNAL_MISSING,
    ),
    "the Deployment cannot be read": (
        spec(),
        without(seen(queued=5000), "workers"),
        remembering(arrivals=41),
        None,
        Outcome.SIGNAL_MISSING,
    ),
}


@pytest.mark.parametrize("story", SITUATIONS)
def test_situation(story: str) -> None:
    stream, observation, memory, target, outcome = SITUATIONS[story]

    verdict = decide(stream, observation, memory, NOW).workers

    assert (verdict.target, verdict.outcome) == (target, outcome)


def test_recommend_says_what_auto_would_do_and_asks_for_nothing() -> None:
    verdict = decide(
        spec(mode="Recommend"), seen(queued=5000), remembering(arrivals=41), NOW
    ).workers

    assert verdict.target is None
    assert verdict.recommended == 6


def test_a_signal_that_returns_starts_the_window_anew() -> None:
    blind = decide(
        spec(), without(seen(workers=8), "inbox"), remembering(wants=FIVE_WERE_ENOUGH), NOW
    )

    seen_again = decide(spec(), seen(workers=8), blind.memory, NOW + 2)

    assert seen_again.workers.outcome is Outcome.STABILISING


@pytest.mark.parametrize(("silent", "leaves"), [(2, True), (15, True), (16, False), (600, False)])
def test_nobody_leaves_upon_one_look_after_a_time_that_nobody_saw(
    silent: float, leaves: bool
) -> None:
    # Five were enough for a whole window; then no pass for a while (the API server was away).
    memory = replace(remembering(arrivals=20, wants=(Want(NOW + silent - 58, 5),)), looked_at=NOW)

    decision = decide(spec(), seen(workers=8), memory, NOW + silent)

    assert decision.workers.outcome is (Outcome.SCALED_IN if leaves else Outcome.JUST_STARTED)
    # And then it is watched for one full window.
    if not leaves:
        soon = decide(spec(), seen(workers=8), decision.memory, NOW + silent + 10)
        assert soon.workers.outcome is Outcome.JUST_STARTED


def test_a_burst_is_met_with_twice_the_workers_in_every_pass() -> None:
    memory, workers, path = remembering(arrivals=5), 1, [1]
    for turn in range(6):
        decision = decide(
            spec(), seen(queued=6000, workers=workers, ready=1), memory, NOW + turn * 2
        )
        memory = decision.memory
        workers = decision.workers.target or workers
        path.append(workers)

    assert path == [1, 2, 4, 8, 14, 14, 14]
