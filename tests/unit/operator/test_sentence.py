"""`status.decision` is one line that a person can check with a pencil."""

from __future__ import annotations

from dataclasses import replace

from eventstream_operator.decide import decide
from eventstream_operator.decide.memory import Want
from eventstream_operator.observe.observation import Measured, ProviderUse
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
        " -> 3 to drain in 60 s; 3 must do for 60 s -> stays at 8"
    )


def test_blind() -> None:
    decision = decide(spec(), without(seen(workers=4), "inbox"), remembering(), NOW)

    assert decision.sentence == "the inbox's length is not known, 4 workers stay"
