"""What the length of a queue knows nothing of: provider limits, budgets, additions in vain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eventstream.spec import Budget, Limits, StreamSpec
from eventstream_operator.decide import Condition, Decision, Memory, Outcome, decide
from eventstream_operator.decide.memory import Ineffective, Level, Sample, Want
from eventstream_operator.observe.observation import (
    Allowance,
    BudgetUse,
    Measured,
    Observation,
    ProviderUse,
)
from tests.unit.operator.situations import LONG_AGO, NOW, remembering, seen, spec

STILL_THREE = (Want(NOW - 2, 3),)


def condition(decision: Decision, type_: str) -> Condition:
    """The one of that type."""
    (found,) = [condition for condition in decision.conditions if condition.type == type_]
    return found


def with_provider(observation: Observation, use: ProviderUse) -> Observation:
    """The same, with what the provider allows."""
    return replace(observation, provider=Measured(use))


@pytest.mark.parametrize(
    ("use", "named"),
    [
        (ProviderUse(throttled=12), "12 calls were held back or answered 429"),
        (ProviderUse(frozen_seconds=20), "left alone for 20 s"),
        (
            ProviderUse(requests_per_minute=Allowance(500, 480)),
            "480 of 500 requests a minute are used",
        ),
        (
            ProviderUse(tokens_per_minute=Allowance(200_000, 199_000)),
            "199000 of 200000 tokens a minute are used",
        ),
    ],
    ids=["429s", "frozen", "requests used up", "tokens used up"],
)
def test_at_the_providers_limit_more_workers_bring_nothing(use: ProviderUse, named: str) -> None:
    memory = remembering(arrivals=41, wants=STILL_THREE)

    decision = decide(spec(), with_provider(seen(queued=5000), use), memory, NOW)

    assert decision.workers.target is None
    assert decision.workers.outcome is Outcome.RATE_LIMITED
    limited = condition(decision, "RateLimited")
    assert limited.status == "True"
    assert named in limited.message
    assert decision.phase == "Limited"


def test_workers_that_would_use_all_of_a_limit_are_not_exceeded() -> None:
    # 10 events/s use 600 requests a minute: a worker of 8/s uses 480 of the 1,200 allowed.
    memory = finishing(remembering(arrivals=100), per_second=10)
    use = ProviderUse(requests_per_minute=Allowance(limit=1200, used=600))
    observation = with_provider(seen(queued=5000, workers=2, finished=9_000), use)

    decision = decide(spec(), observation, memory, NOW)

    assert decision.workers.target == 3
    assert "3 workers use all of 1200 requests a minute" in decision.sentence


def finishing(memory: Memory, *, per_second: float) -> Memory:
    """The same, with events finished until the 9,000 of `seen()`."""
    return replace(
        memory,
        samples=tuple(
            replace(sample, finished=round(9_000 - per_second * (NOW - sample.at)))
            for sample in memory.samples
        ),
    )


def test_workers_that_only_wait_for_the_provider_leave_after_the_window() -> None:
    memory = finishing(remembering(arrivals=60, wants=(Want(NOW - 59, 3),)), per_second=20)
    observation = with_provider(seen(queued=5000, workers=8), ProviderUse(throttled=500))

    verdict = decide(spec(), observation, memory, NOW).workers

    # 20/s at 8/s a worker, with a tenth to spare: 3.
    assert (verdict.target, verdict.outcome) == (3, Outcome.RATE_LIMITED)


def with_budget(on_exhausted: str = "Hold") -> StreamSpec:
    """A stream that may spend 20 dollars a day."""
    budget = Budget.model_validate({"usd": 20, "onExhausted": on_exhausted})
    return spec(min=0).model_copy(update={"limits": Limits(budget=budget)})


SPENT = Measured(BudgetUse(20_010_000, 20_000_000, exhausted=True))


def test_a_spent_budget_adds_nobody_and_says_until_when() -> None:
    observation = replace(seen(queued=5000), budget=SPENT)

    decision = decide(with_budget(), observation, remembering(arrivals=41), NOW)

    assert (decision.workers.target, decision.workers.outcome) == (
        None,
        Outcome.BUDGET_EXHAUSTED,
    )
    assert condition(decision, "BudgetExhausted").message == (
        "$20.01 of $20.00 spent today (UTC). Events that the cache cannot answer wait for the next"
        " UTC day, unless limits.budget.usd is raised."
    )
    assert decision.phase == "Held"


def test_events_that_wait_for_tomorrows_budget_keep_nobody_awake() -> None:
    observation = replace(seen(deferred=300, workers=1, idle=1), budget=SPENT)

    verdict = decide(with_budget(), observation, remembering(wants=(Want(NOW - 59, 0),)), NOW)

    assert verdict.workers.target == 0


def test_and_do_not_wake_anybody_before_the_day_is_over() -> None:
    asleep = seen(deferred=300, workers=0)

    spent = decide(with_budget(), replace(asleep, budget=SPENT), remembering(), NOW)
    next_day = decide(
        with_budget(),
        replace(asleep, budget=Measured(BudgetUse(0, 20_000_000, exhausted=False))),
        remembering(),
        NOW,
    )

    assert spent.workers.target is None
    assert next_day.workers.target == 1


def test_a_budget_that_fails_events_does_not_hold_workers_back() -> None:
    observation = replace(seen(queued=5000), budget=SPENT)

    decision = decide(with_budget("Fail"), observation, remembering(arrivals=41), NOW)

    assert decision.workers.target == 6
    assert "fail until the next UTC day" in condition(decision, "BudgetExhausted").message


def full_workers(*, ready: int, per_second: float, seconds: int = 40) -> tuple[Sample, ...]:
    """Samples of workers that were all full until just now."""
    return tuple(
        Sample(
            at=NOW - ago,
            accepted=10_000,
            finished=round(9_000 - per_second * ago),
            busy_worker_seconds=5_000.0 - ready * ago,
            lag=0,
            ready=ready,
            waiting=True,
            limited=False,
        )
        for ago in range(seconds, 0, -2)
    )


def after_addition(*, before: Level | None, per_second: float) -> Memory:
    """Six workers have been full for a while; `before` says what fewer brought."""
    return Memory(
        started_at=LONG_AGO,
        samples=full_workers(ready=6, per_second=per_second),
        level=before,
        worker_wants=(Want(NOW - 2, 6),),
    )


TWO_BROUGHT_SIXTEEN = Level(NOW - 60, ready=2, per_second=16.0)


def test_an_addition_that_brought_nothing_is_taken_back_and_the_cause_is_named() -> None:
    memory = after_addition(before=TWO_BROUGHT_SIXTEEN, per_second=16.2)

    decision = decide(spec(), seen(queued=5000, in_flight=20, workers=6), memory, NOW)

    assert (decision.workers.target, decision.workers.outcome) == (3, Outcome.INEFFECTIVE)
    degraded = condition(decision, "Degraded")
    assert degraded.reason == "ScaleUpIneffective"
    assert degraded.message.startswith(
        "6 workers finished 16.2 events/s where 2 finished 16.0: each worker became slower"
    )
    assert decision.memory.ineffective is not None
    assert decision.memory.ineffective.until == NOW + 300


def test_it_is_not_tried_again_before_its_time() -> None:
    failed = Ineffective(workers=3, until=NOW + 100, times=1, cause="nothing gained")
    memory = replace(remembering(arrivals=41), ineffective=failed)

    verdict = decide(spec(), seen(queued=5000), memory, NOW).workers

    assert (verdict.target, verdict.outcome) == (None, Outcome.INEFFECTIVE)


def test_and_then_it_is_tried_again() -> None:
    failed = Ineffective(workers=3, until=NOW - 1, times=1, cause="nothing gained")
    memory = replace(remembering(arrivals=41), ineffective=failed)

    assert decide(spec(), seen(queued=5000), memory, NOW).workers.target == 6


def test_the_second_failure_waits_twice_as_long() -> None:
    failed = Ineffective(workers=2, until=NOW - 1, times=1, cause="nothing gained")
    memory = replace(
        after_addition(before=TWO_BROUGHT_SIXTEEN, per_second=16.2), ineffective=failed
    )

    decision = decide(spec(), seen(queued=5000, workers=6), memory, NOW)

    assert decision.memory.ineffective is not None
    assert decision.memory.ineffective.until == NOW + 600


@pytest.mark.parametrize(
    ("before", "per_second"),
    [
        (TWO_BROUGHT_SIXTEEN, 48.0),
        (TWO_BROUGHT_SIXTEEN, 26.0),
        (None, 16.0),
        (Level(NOW - 60, ready=6, per_second=16.0), 16.0),
    ],
    ids=["three times as much", "a third of what was hoped", "nothing known before", "no addition"],
)
def test_an_addition_that_helped_or_cannot_be_judged_stays(
    before: Level | None, per_second: float
) -> None:
    memory = after_addition(before=before, per_second=per_second)

    decision = decide(spec(), seen(queued=5000, workers=6), memory, NOW)

    assert decision.memory.ineffective is None
    assert (decision.workers.target or 6) >= 6


def test_idle_workers_beside_a_queue_are_the_suspects() -> None:
    memory = after_addition(before=TWO_BROUGHT_SIXTEEN, per_second=16.2)

    decision = decide(spec(), seen(queued=5000, workers=6, idle=4), memory, NOW)

    assert "4 workers are idle while events wait" in condition(decision, "Degraded").message
