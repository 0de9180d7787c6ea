"""Conditions say what is, and what to do about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eventstream.spec import ApiScaling
from eventstream_operator.decide import Decision, Memory, decide
from eventstream_operator.observe.observation import (
    CacheWindow,
    Conflicts,
    CpuUse,
    Measured,
    Observation,
    Replicas,
)
from tests.unit.operator.situations import NOW, aged, remembering, seen, spec, without
from tests.unit.operator.test_ceilings import condition


def decided(observation: Observation, **shape: object) -> Decision:
    """A decision about a quiet stream of that shape."""
    return decide(spec(**shape), observation, remembering(), NOW)  # type: ignore[arg-type]


def test_all_seven_always_stand_in_the_same_order() -> None:
    assert [c.type for c in decided(seen()).conditions] == [
        "Ready",
        "ScalingActive",
        "RateLimited",
        "BudgetExhausted",
        "ReviewThreshold",
        "Conflict",
        "Degraded",
    ]


@pytest.mark.parametrize(
    ("observation", "status", "reason"),
    [
        (seen(workers=3, lag=0), "True", "PodsReady"),
        (seen(workers=0, lag=0), "True", "ScaledToZero"),
        (seen(workers=3, ready=0, lag=0), "False", "NoPodReady"),
        (seen(workers=3, lag=0, consumers=0), "True", "PodsReady"),
        (without(seen(lag=0), "consumers"), "Unknown", "DeploymentUnknown"),
    ],
)
def test_ready(observation: Observation, status: str, reason: str) -> None:
    ready = condition(decided(observation, kafka=True, min=0), "Ready")

    assert (ready.status, ready.reason) == (status, reason)


NEW = replace(remembering(), starting_since=NOW - 20)


@pytest.mark.parametrize(
    ("story", "observation", "memory", "reason"),
    [
        ("its pods are being made", seen(ready=0, lag=0), NEW, "Starting"),
        ("its Deployment is being made", without(seen(lag=0), "workers"), NEW, "Starting"),
        ("its consumers too", without(seen(lag=0), "consumers"), NEW, "Starting"),
        (
            "they were not ready within two minutes",
            seen(ready=0, lag=0),
            replace(remembering(), starting_since=NOW - 120),
            "NoPodReady",
        ),
        (
            "woken from zero",
            seen(workers=1, ready=0, lag=0),
            replace(remembering(), asleep_at=NOW - 8),
            "Starting",
        ),
        (
            "woken two minutes ago",
            seen(workers=1, ready=0, lag=0),
            replace(remembering(), asleep_at=NOW - 121),
            "NoPodReady",
        ),
        (
            "they were ready, and are not any more",
            seen(ready=0, lag=0),
            remembering(),
            "NoPodReady",
        ),
    ],
)
def test_what_is_being_made_is_starting(
    story: str, observation: Observation, memory: Memory, reason: str
) -> None:
    decision = decide(spec(kafka=True), observation, memory, NOW)

    ready = condition(decision, "Ready")
    assert (ready.status, ready.reason) == ("False", reason), story
    assert ready.good == (reason == "Starting")
    assert decision.phase == ("Starting" if reason == "Starting" else "Degraded")


@pytest.mark.parametrize("ready", [0, 1])
def test_a_pod_that_fits_nowhere_is_told_with_its_reason(ready: int) -> None:
    trouble = "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu"
    observation = replace(seen(), workers=Measured(Replicas(2, ready, trouble)))

    message = condition(decided(observation), "Ready").message

    assert trouble in message
    assert message.startswith("1 of 2 workers ready." if ready else "No worker of 2 is ready:")


def test_signals_of_a_new_stream_are_waited_for() -> None:
    observation = without(seen(lag=0), "kafka")

    degraded = condition(decide(spec(kafka=True), observation, NEW, NOW), "Degraded")

    assert (degraded.status, degraded.reason) == ("False", "Starting")
    assert degraded.message == (
        "The stream was made just now. Signals that are still to come: the Kafka lag (missing)."
    )


@pytest.mark.parametrize(
    ("story", "observation", "later"),
    [
        ("one that was there and is too old", aged(seen(lag=0), "kafka", 16), 0),
        ("one that does not come", without(seen(lag=0), "kafka"), 100),
    ],
)
def test_but_not_any_signal_and_not_for_ever(
    story: str, observation: Observation, later: float
) -> None:
    decision = decide(spec(kafka=True), observation, NEW, NOW + later)

    assert condition(decision, "Degraded").status == "True", story
    assert decision.phase == "Degraded"


def test_a_start_ends_when_the_stream_is_whole_and_does_not_begin_again() -> None:
    whole = decide(spec(kafka=True), seen(lag=0), NEW, NOW)
    broken = decide(spec(kafka=True), without(seen(lag=0), "kafka"), whole.memory, NOW + 2)

    assert condition(whole, "Degraded").reason == "AllSignals"
    assert condition(broken, "Degraded").status == "True"


def test_workers_that_were_woken_have_the_grace_of_their_own_start_only() -> None:
    asleep = decide(spec(min=0), seen(workers=0), remembering(), NOW)
    woken = decide(spec(min=0), seen(workers=1, ready=0), asleep.memory, NOW + 10)
    ready = decide(spec(min=0), seen(workers=1), woken.memory, NOW + 20)
    gone = decide(spec(min=0), seen(workers=1, ready=0), ready.memory, NOW + 30)

    reasons = [condition(each, "Ready").reason for each in (asleep, woken, ready, gone)]
    assert reasons == ["ScaledToZero", "Starting", "PodsReady", "NoPodReady"]


@pytest.mark.parametrize(
    ("mode", "status", "reason"),
    [
        ("Auto", "True", "Steady"),
        ("Paused", "False", "Paused"),
        ("Recommend", "False", "Recommended"),
    ],
)
def test_scaling_is_active_where_the_operator_may_act(mode: str, status: str, reason: str) -> None:
    active = condition(decided(seen(in_flight=40), mode=mode), "ScalingActive")

    assert active.status == status
    if mode != "Auto":
        assert active.reason == reason


@pytest.mark.parametrize(
    ("mode", "other", "message"),
    [
        ("Auto", None, "the first event brings one back"),
        ("Paused", None, "scaling.mode is Paused, so no event brings one back"),
        ("Recommend", None, "scaling.mode is Recommend, so no event brings one back"),
        ("Auto", "ScaledObject/w", "ScaledObject/w decides when one comes back"),
    ],
)
def test_only_what_happens_is_promised_of_a_stream_without_workers(
    mode: str, other: str | None, message: str
) -> None:
    asleep = seen(workers=0, conflicts=Conflicts(workers_scaled_by=other))

    assert condition(decided(asleep, min=0, mode=mode), "Ready").message == (
        f"0 of 0 workers ready: {message}."
    )


def with_look_ups(look_ups: int, hits: int, near: dict[float, int] | None = None) -> Observation:
    """A view of a stream with that cache."""
    near = near or {}
    window = CacheWindow(900, look_ups, hits, sum(near.values()), near)
    return replace(seen(), cache=Measured(window))


def test_the_hit_rate_is_not_judged_upon_a_few_look_ups() -> None:
    review = condition(decided(with_look_ups(199, 0)), "ReviewThreshold")

    assert (review.status, review.reason) == ("False", "TooFewLookUps")


def test_a_low_hit_rate_asks_for_a_review_with_what_the_near_misses_say() -> None:
    decision = decided(with_look_ups(400, 120, {0.86: 30, 0.91: 50}))

    review = condition(decision, "ReviewThreshold")
    assert review.status == "True"
    assert review.message == (
        "30 % of 400 look-ups in 15 min were hits, below 50 %. 80 candidates were refused"
        " (by similarity: 30 from 0.86, 50 from 0.91); with all of them the rate would be 50 %. See"
        " `eventstream cache advise` before changing cache.threshold or cache.policy: a refused"
        " candidate is often a wrong answer."
    )
    assert decision.figures.hit_rate_percent == 30


@pytest.mark.parametrize(
    ("look_ups", "hits", "age_seconds", "ending"),
    [
        pytest.param(400, 120, 40, "answer. Advice, 40 s old: c: bounded.", id="rate is low"),
        pytest.param(400, 200, 300, "%). Advice, 5 min old: c: bounded.", id="rate is fine"),
        pytest.param(400, 40, 7300, " Advice, 2 h old: c: bounded.", id="workers are away"),
        pytest.param(199, 0, 40, "judged from 200 on.", id="too few look-ups"),
    ],
)
def test_what_workers_advise_is_told_with_its_age(
    look_ups: int, hits: int, age_seconds: float, ending: str
) -> None:
    observation = replace(
        with_look_ups(look_ups, hits, {0.91: 1}), advice=Measured("c: bounded", age_seconds)
    )

    assert condition(decided(observation), "ReviewThreshold").message.endswith(ending)


def test_a_stream_that_hardly_repeats_itself_is_told_so() -> None:
    review = condition(decided(with_look_ups(400, 40)), "ReviewThreshold")

    assert "this stream repeats itself in 10 % at most" in review.message


def test_a_good_hit_rate_is_fine() -> None:
    review = condition(decided(with_look_ups(400, 200)), "ReviewThreshold")

    assert (review.status, review.reason) == ("False", "HitRateFine")


@pytest.mark.parametrize(
    ("conflicts", "part"),
    [
        (
            Conflicts(workers_scaled_by="HorizontalPodAutoscaler/w", api_owner="reviews"),
            "HorizontalPodAutoscaler/w also scales the workers: delete it",
        ),
        (Conflicts(api_owner="default"), "the API belongs to the stream 'default'"),
        (Conflicts(), "the API names no stream as its owner"),
    ],
)
def test_conflict_names_the_other_one(conflicts: Conflicts, part: str) -> None:
    decision = decided(seen(conflicts=conflicts), api=ApiScaling())

    conflict = condition(decision, "Conflict")
    assert conflict.status == "True"
    assert part in conflict.message
    assert decision.phase == "Conflict"


def test_streams_that_take_each_others_records_are_told_so() -> None:
    decision = decided(seen(lag=0, conflicts=Conflicts(group_shared_with=("copy",))), kafka=True)

    conflict = condition(decision, "Conflict")
    assert (conflict.status, conflict.reason) == ("True", "ConsumerGroupShared")
    assert "is also read by 'copy' in the same consumer group" in conflict.message
    assert decision.phase == "Conflict"
    # It is no reason to stop scaling: what arrives is to be answered.
    assert condition(decision, "ScalingActive").status == "True"


def test_missing_and_old_signals_are_named_one_by_one() -> None:
    decision = decided(aged(without(seen(lag=0), "worker_time"), "kafka", 40), kafka=True)

    degraded = condition(decision, "Degraded")
    assert degraded.message.startswith(
        "Signals that cannot be relied on: the workers' heartbeats (missing), the Kafka lag"
        " (40 s old). What depends on them holds."
    )
    assert decision.phase == "Degraded"


def test_an_api_without_a_cpu_request_is_told_what_to_set() -> None:
    observation = replace(
        seen(conflicts=Conflicts(api_owner="reviews")),
        api=Measured(Replicas(2, 2)),
        api_cpu=Measured(CpuUse(None)),
    )

    degraded = condition(decided(observation, api=ApiScaling()), "Degraded")

    assert degraded.reason == "NoCpuRequest"
    assert "api.resources.requests.cpu" in degraded.message


@pytest.mark.parametrize(
    ("observation", "mode", "phase"),
    [
        (seen(), "Auto", "Running"),
        (seen(workers=0), "Auto", "Idle"),
        (seen(), "Paused", "Paused"),
    ],
)
def test_phase(observation: Observation, mode: str, phase: str) -> None:
    assert decided(observation, min=0, mode=mode).phase == phase


def test_pausing_ends_the_conflict_with_another_autoscaler_as_its_message_says() -> None:
    shared = seen(queued=900, conflicts=Conflicts(workers_scaled_by="HorizontalPodAutoscaler/w"))
    assert "set scaling.mode to Paused" in condition(decided(shared), "Conflict").message

    paused = decided(shared, mode="Paused")

    conflict = condition(paused, "Conflict")
    assert (conflict.status, conflict.reason) == ("False", "LeftToOther")
    assert "the workers to HorizontalPodAutoscaler/w" in conflict.message
    assert condition(paused, "ScalingActive").reason == "Paused"


@pytest.mark.parametrize(
    ("hits", "told"), [(3_000, "30 %"), (4_960, "49.6 %"), (4_999, "49.9 %"), (5_000, "50 %")]
)
def test_a_rate_just_below_the_trigger_is_not_told_as_the_trigger(hits: int, told: str) -> None:
    review = condition(decided(with_look_ups(10_000, hits)), "ReviewThreshold")

    assert review.message.startswith(f"{told} of 10000 look-ups")
    assert review.status == ("True" if hits < 5_000 else "False")
