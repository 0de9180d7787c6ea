"""What the length of a queue knows nothing of: provider limits, budgets, additions in vain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eventstream.llm.patience import PATIENCE_SECONDS
from eventstream.spec import Budget, Limits, StreamSpec
from eventstream_operator.decide import Condition, Decision, Memory, Outcome, decide
from eventstream_operator.decide.memory import Ineffective, Level, Sample, Want
from eventstream_operator.observe.observation import (
    Allowance,
    BudgetUse,
    FreezeCause,
    Frozen,
    Measured,
    Observation,
    ProviderUse,
    Replicas,
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
        (ProviderUse(calls=200, throttled=12), "12 calls were held back or answered 429"),
        (ProviderUse(frozen=Frozen("openai (m)", "rate_limited", 20)), "left alone for 20 s"),
        (ProviderUse(put_back=30), "30 events were put back, and no worker has said yet"),
        (
            ProviderUse(requests_per_minute=Allowance(500, 480)),
            "480 of 500 requests a minute are used",
        ),
        (
            ProviderUse(tokens_per_minute=Allowance(200_000, 199_000)),
            "199000 of 200000 tokens a minute are used",
        ),
        (
            ProviderUse(requests_per_minute=Allowance(60, 58, said_by_provider=True)),
            "58 of the 60 requests that the provider allows are used",
        ),
    ],
    ids=["429s", "frozen", "not known why", "requests used up", "tokens used up", "by headers"],
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


@pytest.mark.parametrize("own", [2.3e-308, 5e-324], ids=["all but infinite", "all but nothing"])
def test_a_limit_that_no_number_of_workers_reaches_is_none(own: float) -> None:
    memory = finishing(remembering(arrivals=100), per_second=10)
    use = ProviderUse(requests_per_minute=Allowance(limit=1200, used=600, own=own))
    observation = with_provider(seen(queued=5000, workers=2, finished=9_000), use)

    assert decide(spec(), observation, memory, NOW).workers.target == 4


@pytest.mark.parametrize(
    "use",
    [
        ProviderUse(calls=200, throttled=8),
        ProviderUse(calls=200, frozen=Frozen("openai (m)", "rate_limited", 0.4)),
        ProviderUse(calls=200, frozen=Frozen("openai (rare)", "rate_limited", 20, False)),
        ProviderUse(calls=200, frozen=Frozen("openai (rare)", "key_refused", 9, False)),
    ],
    ids=["a few 429s", "a moment's wait", "another model frozen", "another model refused"],
)
def test_what_holds_back_only_a_few_events_stops_no_workers(use: ProviderUse) -> None:
    observation = with_provider(seen(queued=5000), use)

    assert decide(spec(), observation, remembering(arrivals=41), NOW).workers.target == 6


def test_a_freeze_of_one_model_among_several_says_whose_events_wait() -> None:
    frozen = Frozen("openai (rare)", "rate_limited", 20, everything=False)
    observation = with_provider(seen(queued=5000), ProviderUse(calls=200, frozen=frozen))

    limited = condition(decide(spec(), observation, remembering(), NOW), "RateLimited")

    assert (limited.status, limited.reason) == ("True", "RetryAfter")
    assert limited.message.startswith(
        "openai (rare) answered 429 and is left alone for 20 s (its Retry-After, or our"
        " own back-off). Only its own events wait"
    )


@pytest.mark.parametrize(
    ("cause", "seconds", "reason", "message", "sentence"),
    [
        (
            "key_refused",
            11.0,
            "KeyRefused",
            "openai (m) refuses the key. Events that need the model wait, and fail after 15"
            " minutes; hits are answered. Put a valid key where the stream takes it from",
            "openai (m) refuses the key -> stays at 3",
        ),
        (
            "account_spent",
            0.0,
            "AccountSpent",
            "The account at openai (m) is spent. Events that need the model wait, and fail after 15"
            " minutes; hits are answered. Top it up",
            "the account at openai (m) is spent -> stays at 3",
        ),
    ],
)
def test_a_refused_key_and_a_spent_account_are_no_rate_limit(
    cause: FreezeCause, seconds: float, reason: str, message: str, sentence: str
) -> None:
    use = ProviderUse(frozen=Frozen("openai (m)", cause, seconds))
    memory = remembering(arrivals=41, wants=STILL_THREE)

    decision = decide(spec(), with_provider(seen(queued=5000), use), memory, NOW)

    assert (decision.workers.target, decision.workers.outcome) == (None, Outcome.PROVIDER_REFUSES)
    degraded = condition(decision, "Degraded")
    assert (degraded.status, degraded.reason) == ("True", reason)
    assert degraded.message.startswith(message)
    assert PATIENCE_SECONDS == 15 * 60
    assert condition(decision, "RateLimited").status == "False"
    assert decision.sentence.endswith(sentence)
    assert decision.phase == "Degraded"


def test_what_others_use_of_a_shared_account_is_not_there_for_this_stream() -> None:
    # As below, but others take 480 of the 1,200: one worker less.
    memory = finishing(remembering(arrivals=100), per_second=10)
    shared = Allowance(limit=1200, used=900, own=420)
    observation = with_provider(
        seen(queued=5000, workers=1, finished=9_000), ProviderUse(requests_per_minute=shared)
    )

    decision = decide(spec(), observation, memory, NOW)

    # 420 calls for 600 events, a worker does 8/s: 336 calls a minute of the 720 that are left.
    assert decision.workers.target == 2
    observation = replace(observation, workers=Measured(Replicas(2, 2)))
    decision = decide(spec(), observation, memory, NOW)
    assert decision.workers.target == 3
    assert "3 workers use all of 1200 requests a minute, of which others use 480" in (
        decision.sentence
    )


def test_a_limit_that_only_the_provider_states_stops_additions_ahead_too() -> None:
    # Ten a second come back; a worker of 8 events/s, a call each, takes eight of them.
    memory = finishing(remembering(arrivals=100), per_second=10)
    said = Allowance(limit=600, used=30, own=600, per_second=10, said_by_provider=True)
    observation = with_provider(seen(queued=5000, workers=2), ProviderUse(requests_per_minute=said))

    verdict = decide(spec(), observation, memory, NOW).workers

    assert (verdict.target, verdict.outcome) == (None, Outcome.RATE_LIMITED)


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


def test_thousands_of_additions_that_brought_nothing_are_no_overflow() -> None:
    tried = Ineffective(workers=3, until=NOW - 1, times=5000, cause="the model's server")
    memory = replace(after_addition(before=TWO_BROUGHT_SIXTEEN, per_second=16.2), ineffective=tried)

    decision = decide(spec(), seen(queued=5000, in_flight=20, workers=6), memory, NOW)

    assert decision.workers.outcome == Outcome.INEFFECTIVE
