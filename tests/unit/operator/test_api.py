"""How many API pods: ceil(ready x CPU / target)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eventstream.spec import ApiScaling
from eventstream_operator.decide import Outcome, decide
from eventstream_operator.decide.memory import Want
from eventstream_operator.observe.observation import (
    Conflicts,
    CpuUse,
    Measured,
    Observation,
    Replicas,
)
from tests.unit.operator.situations import LONG_AGO, NOW, remembering, seen, spec

OWNER = Conflicts(api_owner="reviews")


def api(
    percent: float | None,
    *,
    desired: int = 4,
    ready: int | None = None,
    age: float = 20.0,
    pods: int | None = None,
    conflicts: Conflicts = OWNER,
) -> Observation:
    """An owner's view of the API."""
    return replace(
        seen(conflicts=conflicts),
        api=Measured(Replicas(desired, desired if ready is None else ready)),
        api_cpu=Measured(CpuUse(percent, pods), age),
    )


TWO_WERE_ENOUGH = (Want(NOW - 59, 2),)

SITUATIONS: dict[str, tuple[Observation, tuple[Want, ...], int | None, Outcome]] = {
    "just above the trigger: one more": (api(81), (), 5, Outcome.SCALED_OUT),
    "at the trigger": (api(80), (), None, Outcome.STEADY),
    "far above: as many as it takes": (api(150), (), 8, Outcome.SCALED_OUT),
    "twice as many at most": (api(300), (), 8, Outcome.SCALED_OUT),
    "up to max": (api(150, desired=8), (), 10, Outcome.SCALED_OUT),
    "at max": (api(150, desired=10), (), None, Outcome.AT_MAX),
    "one is starting already": (api(90, desired=4, ready=3), (), None, Outcome.STEADY),
    "the new ones have no figure yet, and the old ones' is from before": (
        api(160, desired=4, pods=2),
        (),
        None,
        Outcome.STEADY,
    ),
    "what is measured is too much even so": (
        api(190, desired=4, pods=2),
        (),
        5,
        Outcome.SCALED_OUT,
    ),
    "the new ones may turn out to be busy": (
        api(30, desired=4, pods=1),
        TWO_WERE_ENOUGH,
        None,
        Outcome.STEADY,
    ),
    "fewer would be full": (api(59), (), None, Outcome.WITHIN_TOLERANCE),
    "fewer would do for the whole window": (api(30), TWO_WERE_ENOUGH, 2, Outcome.SCALED_IN),
    "fewer would do, not for long enough": (
        api(30),
        (Want(NOW - 20, 4),),
        None,
        Outcome.STABILISING,
    ),
    "no CPU request": (api(None), TWO_WERE_ENOUGH, None, Outcome.NO_CPU_REQUEST),
    "metrics too old": (api(10, age=91), TWO_WERE_ENOUGH, None, Outcome.SIGNAL_STALE),
    "no pod ready to measure": (
        api(0, ready=0),
        TWO_WERE_ENOUGH,
        None,
        Outcome.PODS_STARTING,
    ),
    "another stream owns the API": (
        api(150, conflicts=Conflicts(api_owner="default")),
        (),
        None,
        Outcome.CONFLICT,
    ),
    "an HPA has the API": (
        api(150, conflicts=replace(OWNER, api_scaled_by="HorizontalPodAutoscaler/api")),
        (),
        None,
        Outcome.CONFLICT,
    ),
    "below min": (api(10, desired=1), (), 2, Outcome.SCALED_OUT),
}


@pytest.mark.parametrize("story", SITUATIONS)
def test_situation(story: str) -> None:
    observation, wants, target, outcome = SITUATIONS[story]
    memory = replace(remembering(), api_wants=wants, started_at=LONG_AGO)

    verdict = decide(spec(api=ApiScaling(min=2, max=10)), observation, memory, NOW).api

    assert (verdict.target, verdict.outcome) == (target, outcome)


def test_after_a_start_nothing_scales_in_for_one_window() -> None:
    memory = replace(remembering(started_at=NOW - 10), api_wants=TWO_WERE_ENOUGH)

    verdict = decide(spec(api=ApiScaling(min=2, max=10)), api(30), memory, NOW).api

    assert verdict.outcome is Outcome.JUST_STARTED


def test_a_stream_that_does_not_ask_for_it_leaves_the_api_alone() -> None:
    assert decide(spec(), api(150), remembering(), NOW).api.outcome is Outcome.NOT_SCALED
