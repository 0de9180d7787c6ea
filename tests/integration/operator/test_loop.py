"""What the loop remembers when the API server takes one write and not the next."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from eventstream.kafka_lag import PartitionLag, publish
from eventstream.keys import Keys
from eventstream.registry import Registry
from eventstream_operator.cluster import STREAMS
from tests.integration.operator.scenes import (
    DRAIN_SECONDS,
    STEP_SECONDS,
    Scene,
    a_stream,
    made_anew,
    shown,
)


async def test_a_step_is_remembered_though_no_status_can_be_written(scene: Scene) -> None:
    await scene.fill(150)
    scene.cluster.refused[f"{STREAMS}/status"] = 403

    seen = await scene.workers_after_passes(2 * DRAIN_SECONDS)

    passes = DRAIN_SECONDS // STEP_SECONDS
    assert seen == [2] * passes + [3] * passes


@pytest.mark.parametrize("readable", [True, False])
async def test_a_step_that_was_made_without_an_answer_is_made_once(
    scene: Scene, readable: bool
) -> None:
    await scene.fill(150)
    scene.cluster.unanswered.add("worker")
    if not readable:
        scene.cluster.unreadable.add("worker")
    seen = await scene.workers_after_passes(STEP_SECONDS)
    scene.cluster.unanswered.clear()
    scene.cluster.unreadable.clear()

    seen += await scene.workers_after_passes(2 * DRAIN_SECONDS - STEP_SECONDS)

    passes = DRAIN_SECONDS // STEP_SECONDS
    assert seen == [2] * passes + [3] * passes
    # Where it could be read that it was made, it is told as any other.
    steps = [event["message"].partition(". ")[0] for event in scene.cluster.events]
    assert [step for step in steps if step.startswith("workers: ")] == (
        ["workers: 1 -> 2", "workers: 2 -> 3"] if readable else ["workers: 2 -> 3"]
    )


async def test_a_step_that_was_not_sent_is_made_in_the_next_pass(scene: Scene) -> None:
    await scene.fill(150)
    scene.cluster.refused["worker"] = 0
    assert await scene.workers_after_passes(STEP_SECONDS) == [1]
    scene.cluster.refused.clear()
    assert await scene.workers_after_passes(STEP_SECONDS) == [2]


async def test_a_lease_renewed_without_an_answer_costs_no_memory(scene: Scene) -> None:
    await scene.fill(150)
    # So that only this process remembers its step.
    scene.cluster.refused[f"{STREAMS}/status"] = 403
    assert await scene.workers_after_passes(STEP_SECONDS) == [2]
    scene.cluster.unanswered.add("lease")
    await scene.workers_after_passes(6 * STEP_SECONDS)
    scene.cluster.unanswered.clear()

    assert await scene.workers_after_passes(6 * STEP_SECONDS) == [2] * 6


async def test_an_operator_that_lost_the_lease_shows_no_old_figures(scene: Scene) -> None:
    await scene.workers_after_passes(STEP_SECONDS)
    assert shown("leading") == 1
    assert shown("replicas_wanted", stream="default", role="workers") == 1
    scene.cluster.write_lease({"holderIdentity": "another"})

    await scene.workers_after_passes(6 * STEP_SECONDS)

    assert shown("leading") == 0
    assert shown("replicas_wanted", stream="default", role="workers") is None
    assert shown("condition", stream="default", type="Ready") is None
    assert shown("signal_age_seconds", signal="redis") is None


async def test_the_history_of_an_operator_that_was_at_work_meanwhile_stays(scene: Scene) -> None:
    await scene.fill(150)
    scene.cluster.refused[f"{STREAMS}/status"] = 422
    assert await scene.workers_after_passes(STEP_SECONDS) == [2]
    scene.cluster.write_lease({"holderIdentity": "another"})
    await scene.workers_after_passes(6 * STEP_SECONDS)
    assert shown("leading") == 0
    scene.cluster.refused.clear()
    theirs = [{"at": "2026-01-01T00:00:00Z", "decision": "1 -> 2, and the status was taken"}]
    await scene.cluster.merge(
        STREAMS, "default", {"status": {"history": theirs}}, subresource="status"
    )

    # Until the other one has not renewed for too long.
    await scene.workers_after_passes(20)

    assert shown("leading") == 1
    status = scene.world.streams.get("default")["status"]  # type: ignore[index]
    first, own = status["history"]
    assert [first] == theirs
    assert own["decision"].endswith("-> 3")


async def test_ages_grow_in_sight_while_no_pass_can_begin(scene: Scene) -> None:
    await scene.workers_after_passes(STEP_SECONDS)
    scene.cluster.out_of_reach = True

    await scene.workers_after_passes(60)

    assert shown("leading") == 0
    age = shown("signal_age_seconds", signal="redis")
    assert age is not None
    assert age > 50


async def test_a_stream_that_an_api_server_does_not_know_for_a_moment_is_not_deleted(
    scene: Scene,
) -> None:
    await scene.fill(150)
    scene.cluster.refused[f"{STREAMS}/status"] = 404
    await scene.workers_after_passes(STEP_SECONDS)
    scene.cluster.refused.clear()

    await scene.workers_after_passes(STEP_SECONDS)

    assert scene.told("default") == ("False", "AllSignals")
    assert (await Registry(scene.state, Keys()).all()).keys() == {"default"}


async def look_up(scene: Scene, *, misses: int) -> None:
    await scene.state.hincrby(Keys().counters("default"), "source:model", misses)


async def test_a_stream_made_anew_between_two_passes_begins_anew(scene: Scene) -> None:
    await scene.fill(150)
    await scene.workers_after_passes(STEP_SECONDS)
    await look_up(scene, misses=300)
    await scene.workers_after_passes(STEP_SECONDS)
    assert scene.told("default", "ReviewThreshold") == ("True", "HitRateLow")
    scene.world.streams.put(made_anew())

    assert await scene.workers_after_passes(STEP_SECONDS) == [3]

    # Nor what was counted of the old one: windows, and the series that it had.
    assert scene.told("default", "ReviewThreshold") == ("False", "TooFewLookUps")
    told = shown("scaled_total", stream="default", role="workers", direction="out")
    assert told == 1
    assert len(scene.world.streams.get("default")["status"]["history"]) == 1  # type: ignore[index]


async def test_a_stream_made_anew_within_a_pass_does_not_get_the_old_ones_status(
    scene: Scene,
) -> None:
    await scene.fill(150)
    await scene.workers_after_passes(STEP_SECONDS)
    scene.cluster.unseen["default"] = made_anew()

    with capture_logs() as lines:
        # Long enough for figures to be due.
        await scene.workers_after_passes(40)

    old = scene.world.streams.get("default")
    assert old is not None
    assert old["metadata"]["uid"] == "default"
    assert [line["event"] for line in lines if line["log_level"] != "info"] == []
    scene.world.streams.put(scene.cluster.unseen.pop("default"))
    assert await scene.workers_after_passes(STEP_SECONDS) == [3]


READS_KAFKA = a_stream(source={"topic": "raw", "partitions": 1})


@pytest.mark.parametrize("streams", [[READS_KAFKA]])
@pytest.mark.parametrize("refusal", [403, 409])
async def test_the_workers_step_is_remembered_though_the_consumers_is_refused(
    scene: Scene, refusal: int
) -> None:
    await scene.fill(150)
    seconds, _ = await scene.state.time()
    figure = PartitionLag(lag=0, end=0, position=0, measured_at=seconds)
    await publish(scene.state, Keys(), "default", "raw", {0: figure})
    scene.cluster.refused["consumer"] = refusal

    assert await scene.workers_after_passes(10) == [2] * 5

    # What was refused is tried until it succeeds.
    assert scene.cluster.replicas("consumer") == 0
    scene.cluster.refused.clear()
    await scene.workers_after_passes(STEP_SECONDS)
    assert scene.cluster.replicas("consumer") == 1


@pytest.mark.parametrize("streams", [[a_stream("reviews"), a_stream(), a_stream("tickets")]])
@pytest.mark.parametrize(
    "odd",
    [
        pytest.param({"spec": None}, id="when its Deployment is made"),
        pytest.param({"status": {"readyReplicas": "many"}}, id="when it is decided about"),
    ],
)
async def test_a_defect_that_one_stream_meets_stops_no_other(
    scene: Scene, odd: dict[str, Any]
) -> None:
    await scene.fill(150)
    scene.cluster.odd["worker-reviews"] = odd

    with capture_logs() as lines:
        seen = await scene.workers_after_passes(3 * STEP_SECONDS)

    assert seen == [2, 2, 2]
    assert scene.told("default") == scene.told("tickets") == ("False", "AllSignals")
    # Told once, where people look, with the stack in the log.
    assert scene.told("reviews") == ("True", "OperatorFailed")
    assert scene.told("reviews", "Ready") == ("False", "OperatorFailed")
    assert [event["reason"] for event in scene.cluster.events].count("OperatorFailed") == 1
    failures = [line for line in lines if line["event"] == "stream_failed"]
    assert [(line["stream"], bool(line["exc_info"])) for line in failures] == [("reviews", True)]

    scene.cluster.odd.clear()
    whole = {**scene.cluster.applied["worker-reviews"], "status": {"readyReplicas": 1}}
    whole["metadata"] = {**whole["metadata"], "resourceVersion": "2"}
    scene.world.deployments.put(whole)
    await scene.workers_after_passes(STEP_SECONDS)
    assert scene.told("reviews") == ("False", "AllSignals")


@pytest.mark.parametrize("streams", [[a_stream("reviews"), a_stream()]])
async def test_a_failure_that_can_not_be_told_stops_no_other_stream_either(scene: Scene) -> None:
    await scene.fill(150)
    scene.cluster.odd["worker-reviews"] = {"spec": None}
    scene.cluster.refused["reviews"] = 403

    assert await scene.workers_after_passes(2 * STEP_SECONDS) == [2, 2]
