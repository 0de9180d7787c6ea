"""What is written: status, conditions, and which pods are to leave first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eventstream.heartbeat import WorkerHeartbeat
from eventstream_operator.act.gauges import show
from eventstream_operator.act.scale import LEAVES_FIRST, deletion_costs
from eventstream_operator.act.status import build_conditions, build_status, substance, transitions
from eventstream_operator.decide import Condition, Decision, Memory, decide
from eventstream_operator.metrics import REGISTRY, forget_stream
from eventstream_operator.observe.observation import CacheWindow, Measured, Observation
from eventstream_operator.resources.names import DELETION_COST
from tests.unit.operator.situations import NOW, aged, seen, spec

DEPLOYMENT = {"spec": {"selector": {"matchLabels": {"app": "worker"}}}}


def a_pod(name: str, cost: str | None = None) -> dict[str, Any]:
    annotations = {DELETION_COST: cost} if cost else {}
    return {"metadata": {"name": name, "labels": {"app": "worker"}, "annotations": annotations}}


def a_heartbeat(pod: str, *, held: int = 0, stopping: bool = False) -> WorkerHeartbeat:
    return WorkerHeartbeat(
        name=f"eventstream-1@{pod}",
        pid=1,
        started_at=0,
        beat_at=0,
        concurrency=4,
        queues=[],
        registered_tasks=[],
        stats={"held": held},
        stopping=stopping,
    )


IDLE_A, IDLE_B = a_heartbeat("a"), a_heartbeat("b")
BUSY_B = a_heartbeat("b", held=3)


@pytest.mark.parametrize(
    ("story", "pods", "beats", "leaving", "changes"),
    [
        ("one idle of two", [a_pod("a"), a_pod("b")], [IDLE_A, BUSY_B], 1, {"a": LEAVES_FIRST}),
        ("no more than leave", [a_pod("a"), a_pod("b")], [IDLE_A, IDLE_B], 1, {"a": LEAVES_FIRST}),
        ("all are busy", [a_pod("b")], [BUSY_B], 1, {}),
        ("marked already", [a_pod("a"), a_pod("b", LEAVES_FIRST)], [IDLE_A, IDLE_B], 1, {}),
        (
            "marked, and at work since",
            [a_pod("a"), a_pod("b", LEAVES_FIRST)],
            [IDLE_A, BUSY_B],
            1,
            {"a": LEAVES_FIRST, "b": None},
        ),
        ("on its way out", [a_pod("a")], [a_heartbeat("a", stopping=True)], 1, {}),
        ("one that is starting", [a_pod("a"), a_pod("b")], [BUSY_B], 1, {"a": LEAVES_FIRST}),
        (
            "idle before starting",
            [a_pod("a"), a_pod("b"), a_pod("c", LEAVES_FIRST)],
            [IDLE_B],
            1,
            {"b": LEAVES_FIRST, "c": None},
        ),
        ("a pod of another Deployment", [], [IDLE_A], 1, {}),
    ],
)
def test_idle_pods_leave_first(
    story: str,
    pods: list[dict[str, Any]],
    beats: list[WorkerHeartbeat],
    leaving: int,
    changes: dict[str, str | None],
) -> None:
    assert deletion_costs(DEPLOYMENT, pods, beats, leaving) == changes, story


def decided(observation: Observation, mode: str = "Auto") -> Decision:
    return decide(spec(mode=mode), observation, Memory(started_at=NOW), NOW)


def a_status(
    decision: Decision,
    observation: Observation,
    before: dict[str, Any] | None = None,
    *,
    changed: bool = False,
    unix_now: float = 1_800_000_000,
) -> dict[str, Any]:
    return build_status(
        decision,
        observation,
        before=before or {},
        generation=4,
        memory={},
        changed=changed,
        unix_now=unix_now,
    )


def test_status_says_what_is_and_what_was_decided() -> None:
    observation = seen(queued=900, workers=3)
    status = a_status(decided(observation), observation, changed=True)
    assert status["observedGeneration"] == 4
    assert status["backlog"] == 900
    assert status["workers"]["summary"] == f"3/{status['workers']['desired']}"
    assert status["workers"]["desired"] > 3
    assert status["reason"] == "ScaledOut"
    assert status["history"] == [{"at": "2027-01-15T08:00:00Z", "decision": status["decision"]}]
    assert len(status["conditions"]) == 7


@pytest.mark.parametrize(
    ("age", "oldest", "hit_rate"), [(5, 33.0, 97.0), (60, None, 97.0), (7_200, None, None)]
)
def test_figures_that_are_too_old_are_not_told_as_present(
    age: float, oldest: float | None, hit_rate: float | None
) -> None:
    window = Measured(CacheWindow(300, 1_000, 970, 0), age)
    observation = replace(aged(seen(queued=900, oldest=33), "inbox", age), cache=window)
    status = a_status(decided(observation), observation)
    assert status["oldestEventSeconds"] == oldest
    assert status["hitRatePercent"] == hit_rate
    assert status["hitRate"] == (None if hit_rate is None else "97%")


def shown_backlog() -> float | None:
    labels = {"stream": "reviews"}
    return REGISTRY.get_sample_value("eventstream_operator_backlog_events", labels)


def test_a_backlog_that_is_not_known_any_more_is_not_shown() -> None:
    known = seen(queued=900)
    show("reviews", known, decided(known))
    assert shown_backlog() == 900
    for _ in range(2):
        unknown = aged(known, "inbox", 7_200)
        show("reviews", unknown, decided(unknown))
        assert shown_backlog() is None
    forget_stream("reviews")


def test_the_sentence_stays_that_of_the_last_change() -> None:
    observation = seen(queued=900, workers=3)
    first = a_status(decided(observation), observation, changed=True)
    calm = seen(queued=0, workers=6)
    later = a_status(decided(calm), calm, first)
    assert later["decision"] == first["decision"]
    assert later["history"] == first["history"]
    assert later["backlog"] == 0


def test_until_there_was_a_change_the_sentence_is_the_newest() -> None:
    first = a_status(decided(seen(queued=0)), seen(queued=0))
    later = a_status(decided(seen(queued=7)), seen(queued=7), first)
    assert (first["history"], later["history"]) == ([], [])
    assert "backlog 7" in later["decision"]
    # Its numbers move all the time: that alone is written with the other figures.
    assert substance(first) == substance(later)


def test_history_is_short() -> None:
    observation = seen(queued=900)
    status: dict[str, Any] = {}
    for _ in range(15):
        status = a_status(decided(observation), observation, status, changed=True)
    assert len(status["history"]) == 10


def test_a_recommendation_is_told_once() -> None:
    observation = seen(queued=900)
    first = a_status(decided(observation, "Recommend"), observation)
    again = a_status(decided(observation, "Recommend"), observation, first)
    assert first["reason"] == "Recommended"
    assert first["workers"]["wanted"] > first["workers"]["desired"]
    assert len(again["history"]) == 1


def test_a_conditions_time_is_that_of_its_last_change() -> None:
    observation = seen()
    first = a_status(decided(observation), observation)
    again = a_status(decided(observation), observation, first, unix_now=1_800_000_600)
    assert [one["lastTransitionTime"] for one in again["conditions"]] == [
        one["lastTransitionTime"] for one in first["conditions"]
    ]


def test_figures_that_move_all_the_time_wait_and_changes_do_not() -> None:
    few, more = seen(queued=3), seen(queued=4)
    first = a_status(decided(few), few)
    assert substance(first) == substance(a_status(decided(more), more, first))
    many = seen(queued=900)
    assert substance(first) != substance(a_status(decided(many), many, first))


READY = Condition("Ready", "True", "PodsReady", "")
STARTS = Condition("Ready", "False", "Starting", "")
NOT_READY = Condition("Ready", "False", "NoPodReady", "")
ALONE = Condition("Conflict", "False", "SoleOwner", "")
COMPLETE = Condition("Degraded", "False", "AllSignals", "")
INCOMPLETE = Condition("Degraded", "True", "SignalsMissing", "")


def as_stored(*conditions: Condition) -> list[dict[str, Any]]:
    return build_conditions(conditions, (), 1, 1_800_000_000)


@pytest.mark.parametrize(
    ("story", "before", "now", "told"),
    [
        ("the first of a stream that is there", [], [READY, ALONE], [READY]),
        ("the first of a new stream", [], [STARTS, ALONE, COMPLETE], [STARTS]),
        ("its start is over", [STARTS], [READY], [READY]),
        ("its start takes too long", [STARTS], [NOT_READY], [NOT_READY]),
        ("it still starts", [STARTS], [STARTS], []),
        ("it has not been ready for long", [NOT_READY], [NOT_READY], []),
        (
            "signals came",
            [Condition("Degraded", "False", "Starting", "")],
            [COMPLETE],
            [],
        ),
        ("a signal went", [COMPLETE], [INCOMPLETE], [INCOMPLETE]),
    ],
)
def test_events_tell_of_changes(
    story: str, before: list[Condition], now: list[Condition], told: list[Condition]
) -> None:
    assert transitions(now, as_stored(*before)) == told, story


@pytest.mark.parametrize(
    ("condition", "good"),
    [
        (READY, True),
        (STARTS, True),
        (NOT_READY, False),
        (COMPLETE, True),
        (INCOMPLETE, False),
        (Condition("ScalingActive", "False", "Paused", ""), True),
        (Condition("ScalingActive", "False", "SignalMissing", ""), False),
        (Condition("BudgetExhausted", "True", "BudgetSpent", ""), False),
    ],
)
def test_only_what_somebody_should_look_at_is_a_warning(condition: Condition, good: bool) -> None:
    assert condition.good is good
