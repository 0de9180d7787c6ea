"""`status.decision` is one line that a person can check with a pencil."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eventstream.spec import StreamSpec
from eventstream_operator.decide import Memory, decide
from eventstream_operator.decide.memory import Want
from eventstream_operator.observe.observation import Conflicts, Measured, Observation, ProviderUse
from tests.unit.operator.situations import NOW, remembering, seen, spec, without


def test_backlog_rates_formula_and_step_limit() -> None:
    decision = decide(
        spec(kafka=True),
        seen(queued=610, in_flight=32, lag=198),
        remembering(arrivals=41, lag=198),
        NOW,
    )

    assert decision.sentence == (
        "backlog 840 (queued 610, in flight 32, Kafka lag 198), 41 events/s in,"
        " 3 workers do 8/s each -> 7 to drain in 60 s; step limit 2x -> 6"
    )


def test_without_a_rate() -> None:
    decision = decide(spec(), seen(queued=480, in_flight=0), remembering(capacity=None), NOW)

    assert decision.sentence == (
        "backlog 480 (queued 480, in flight 0), 0 events/s in, no rate yet"
        " -> 5 at 100 events a worker"
    )


def test_what_holds_it_back_is_named() -> None:
    observation = replace(
        seen(queued=840, deferred=12, workers=3),
        provider=Measured(ProviderUse(throttled=37)),
    )

    memory = remembering(arrivals=41, wants=(Want(NOW - 2, 3),))

    assert decide(spec(), observation, memory, NOW).sentence == (
        "backlog 840 (queued 840, in flight 0), 12 deferred, 41 events/s in, 3 workers do 8/s each"
        " -> 7 to drain in 60 s; 37 calls were held back or answered 429 in the last minute"
        " -> stays at 3"
    )


def test_the_window_that_scale_in_waits_for() -> None:
    memory = remembering(arrivals=20, wants=(Want(NOW - 30, 8),))

    assert decide(spec(), seen(workers=8), memory, NOW).sentence == (
        "backlog 0 (queued 0, in flight 0), 20 events/s in, 8 workers do 8/s each"
        " -> 3 to drain in 60 s; 3 would do, but not for 60 s yet -> stays at 8"
    )


def test_blind() -> None:
    decision = decide(spec(), without(seen(workers=4), "inbox"), remembering(), NOW)

    assert decision.sentence == "the inbox's length is not known, 4 workers stay"


CROSSED = seen(queued=80, in_flight=32)
CALM = remembering(arrivals=10)


@pytest.mark.parametrize(
    ("stream", "observation", "memory", "ending"),
    [
        (spec(), CROSSED, CALM, "; a queue of 112 is above 100: one more -> 4"),
        (
            spec(),
            CROSSED,
            replace(CALM, trigger_answered_at=NOW - 20),
            "; one was added 20 s ago for a queue above 100, the next after 60 s -> stays at 3",
        ),
        (
            spec(),
            seen(queued=60, in_flight=40),
            remembering(arrivals=23),
            "-> 4 to drain in 60 s; a queue of 100 is not above 100, and nothing is older than 60 s"
            " -> stays at 3",
        ),
        (
            spec(max=1000),
            seen(queued=40, in_flight=5, oldest=100, workers=30),
            remembering(arrivals=500, capacity=1.0),
            "-> 501 to drain in 60 s; no more than 45 events -> 45",
        ),
        (
            spec(min=0),
            seen(deferred=4, workers=0),
            remembering(capacity=None),
            "; a deferred event needs a worker when it is due -> 1",
        ),
        (
            spec(),
            seen(workers=4),
            remembering(arrivals=23),
            "; fewer would have less than 10% of their time to spare -> stays at 4",
        ),
        (
            spec(),
            seen(workers=8),
            remembering(started_at=NOW - 20),
            "; watched for 20 of 60 s so far -> stays at 8",
        ),
        (
            spec(),
            seen(workers=3),
            remembering(wants=(Want(NOW - 59, 1),)),
            "-> 0 to drain in 60 s; 1 was enough for 60 s -> 1",
        ),
        (
            spec(kafka=True),
            without(without(seen(workers=8, lag=0), "kafka"), "worker_time"),
            remembering(),
            "; not known: the workers' heartbeats, the Kafka lag -> stays at 8",
        ),
        (
            spec(min=2),
            without(seen(workers=1), "inbox"),
            remembering(),
            "the inbox's length is not known; min 2 -> 2",
        ),
        (spec(mode="Paused"), CROSSED, CALM, "one more -> 4; the mode is Paused, so 3 stay"),
        (spec(mode="Recommend"), CROSSED, CALM, "one more -> 4; the mode is Recommend, so 3 stay"),
        (
            spec(),
            replace(CROSSED, conflicts=Conflicts(workers_scaled_by="ScaledObject/reviews")),
            CALM,
            "one more -> 4; ScaledObject/reviews decides, so 3 stay",
        ),
        (
            spec(mode="Paused"),
            seen(in_flight=40),
            remembering(arrivals=20),
            "-> 3 to drain in 60 s",
        ),
    ],
)
def test_whatever_stands_between_the_formula_and_the_pods_is_said(
    stream: StreamSpec, observation: Observation, memory: Memory, ending: str
) -> None:
    assert decide(stream, observation, memory, NOW).sentence.endswith(ending)
