"""What a person who looks at a stream learns of writes that the API server refuses."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from eventstream.kafka_lag import PartitionLag, publish
from eventstream.keys import Keys
from eventstream_operator.act.refusals import AGAIN_SECONDS, LEAST_GAP_SECONDS
from eventstream_operator.cluster import STREAMS
from tests.integration.operator.scenes import STEP_SECONDS, Scene, a_deployment, a_stream, shown

STATUS = f"{STREAMS}/status"


def told(scene: Scene, about: str) -> list[str]:
    """The reasons of the events about that, in order."""
    reasons = [event["reason"] for event in scene.cluster.events]
    return [reason for reason in reasons if reason.startswith(about)]


@pytest.mark.parametrize(
    ("refusal", "way_out"), [(403, "Bind the chart's Role"), (422, "kubectl apply")]
)
async def test_a_refused_status_is_told_on_the_stream(
    scene: Scene, refusal: int, way_out: str
) -> None:
    await scene.fill(150)
    scene.cluster.refused[STATUS] = refusal

    with capture_logs() as lines:
        await scene.workers_after_passes(60)

    [event] = [one for one in scene.cluster.events if one["reason"] == "StatusRefused"]
    assert event["type"] == "Warning"
    assert "default/status is refused" in event["message"]
    assert way_out in event["message"]
    # What can't be read there.
    assert "backlog 150" in event["message"]
    assert shown("status_refused", stream="default") == 1
    warnings = [line["event"] for line in lines if line["log_level"] == "warning"]
    assert warnings == ["status_refused"]


async def test_a_refused_status_is_told_again_before_the_event_is_forgotten(scene: Scene) -> None:
    scene.cluster.refused[STATUS] = 403
    await scene.workers_after_passes(STEP_SECONDS)
    scene.clock.now += AGAIN_SECONDS

    await scene.workers_after_passes(20)

    assert told(scene, "Status") == ["StatusRefused", "StatusRefused"]


async def test_a_status_that_is_taken_again_says_what_was_done_meanwhile(scene: Scene) -> None:
    await scene.workers_after_passes(STEP_SECONDS)
    await scene.fill(150)
    scene.cluster.refused[STATUS] = 422
    assert await scene.workers_after_passes(10) == [2] * 5
    scene.cluster.refused.clear()

    await scene.workers_after_passes(STEP_SECONDS)

    status = scene.world.streams.get("default")["status"]  # type: ignore[index]
    assert [one["decision"] for one in status["history"]] == [status["decision"]]
    assert "-> 2" in status["decision"]
    assert told(scene, "Status") == ["StatusRefused", "StatusAccepted"]
    assert shown("status_refused", stream="default") == 0


def edit(scene: Scene) -> None:
    """Somebody changes the spec: its status is due at once."""
    stream = scene.world.streams.get("default")
    assert stream is not None
    metadata = dict(stream["metadata"])
    metadata["generation"] += 1
    metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)
    scene.world.streams.put({**stream, "metadata": metadata})


async def test_refusals_that_come_and_go_are_told_of_seldom(scene: Scene) -> None:
    await scene.workers_after_passes(STEP_SECONDS)
    passes = 60
    for _ in range(passes):
        edit(scene)
        scene.cluster.refused[STATUS] = 403
        await scene.workers_after_passes(STEP_SECONDS)
        scene.cluster.refused.clear()
        await scene.workers_after_passes(STEP_SECONDS)

    times = passes * 2 * STEP_SECONDS // LEAST_GAP_SECONDS
    assert told(scene, "Status") == ["StatusRefused", "StatusAccepted"] * int(times)


@pytest.mark.parametrize(
    ("refused_still", "reasons"),
    [(True, ["StatusRefused", "StatusRefused"]), (False, ["StatusRefused"])],
)
async def test_what_was_refused_before_another_operator_was_at_work_is_over(
    scene: Scene, refused_still: bool, reasons: list[str]
) -> None:
    """It has told the end of that, or written all the time: no news is left to tell of it."""
    scene.cluster.refused[STATUS] = 403
    await scene.workers_after_passes(STEP_SECONDS)
    scene.cluster.write_lease({"holderIdentity": "another"})
    await scene.workers_after_passes(6 * STEP_SECONDS)
    assert shown("leading") == 0
    if not refused_still:
        scene.cluster.refused.clear()

    # It does not renew its Lease any more.
    await scene.workers_after_passes(LEAST_GAP_SECONDS + 10)

    assert shown("leading") == 1
    assert shown("status_refused", stream="default") == (1 if refused_still else None)
    assert told(scene, "Status") == reasons


@pytest.mark.parametrize("streams", [[a_stream(scaling={"mode": "Paused"})]])
async def test_what_somebody_asked_for_is_no_trouble_that_a_refused_status_would_tell(
    scene: Scene,
) -> None:
    scene.cluster.refused[STATUS] = 403

    await scene.workers_after_passes(STEP_SECONDS)

    [event] = [one for one in scene.cluster.events if one["reason"] == "StatusRefused"]
    assert "It would say: Paused, " in event["message"]
    assert "ScalingActive False" not in event["message"]


@pytest.mark.parametrize("transient", [429, 503])
async def test_what_passes_by_itself_is_no_event(scene: Scene, transient: int) -> None:
    scene.cluster.refused[STATUS] = transient
    await scene.workers_after_passes(10)
    assert told(scene, "Status") == []


@pytest.mark.parametrize("streams", [[a_stream("reviews"), a_stream()]])
async def test_refused_deployments_are_told_in_the_condition(scene: Scene) -> None:
    scene.cluster.refused["worker-reviews"] = 403
    with capture_logs() as lines:
        await scene.workers_after_passes(10)

    assert scene.told("reviews") == ("True", "WriteRefused")
    assert scene.told("default") == ("False", "AllSignals")
    status = scene.world.streams.get("reviews")["status"]  # type: ignore[index]
    assert status["phase"] == "Degraded"
    [message] = [one["message"] for one in status["conditions"] if one["type"] == "Degraded"]
    assert "Deployments: worker-reviews" in message
    assert told(scene, "Write") == ["WriteRefused"]
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == ["write_refused"]

    scene.cluster.refused.clear()
    await scene.workers_after_passes(2 * STEP_SECONDS)
    assert scene.told("reviews")[1] != "WriteRefused"


async def test_replicas_that_can_not_be_set_are_not_told_as_set(scene: Scene) -> None:
    await scene.fill(150)
    scene.cluster.refused["worker"] = 403
    assert await scene.workers_after_passes(10) == [1] * 5

    assert scene.told("default") == ("True", "WriteRefused")
    assert scene.told("default", "ScalingActive") == ("False", "Refused")
    status = scene.world.streams.get("default")["status"]  # type: ignore[index]
    assert (status["workers"]["desired"], status["workers"]["wanted"]) == (1, 2)
    assert status["decision"].endswith("the API server refuses it, so 1 stays")
    assert status["history"] == []
    # The metrics say the same, and each verdict once.
    assert shown("condition", stream="default", type="Degraded") == 1
    assert shown("condition", stream="default", type="ScalingActive") == 0
    verdict = {"stream": "default", "role": "workers", "outcome": "Refused"}
    assert shown("decisions_total", **verdict) == 5

    scene.cluster.refused.clear()
    assert await scene.workers_after_passes(STEP_SECONDS) == [2]
    assert scene.told("default") == ("False", "AllSignals")


@pytest.mark.parametrize("streams", [[a_stream(source={"topic": "raw", "partitions": 1})]])
async def test_a_refused_role_holds_up_no_other(scene: Scene) -> None:
    await scene.fill(150)
    seconds, _ = await scene.state.time()
    figure = PartitionLag(lag=0, end=0, position=0, measured_at=seconds)
    await publish(scene.state, Keys(), "default", "raw", {0: figure})
    scene.cluster.refused["worker"] = 403

    assert await scene.workers_after_passes(STEP_SECONDS) == [1]

    assert scene.cluster.replicas("consumer") == 1


TAKES_RECORDS = a_stream("reviews", source={"topic": "raw", "partitions": 1})
SUPERFLUOUS = {
    "app.kubernetes.io/name": "ai-eventstream",
    "ai-eventstream.io/stream": "reviews",
    "ai-eventstream.io/role": "consumer",
}


@pytest.mark.parametrize("streams", [[TAKES_RECORDS]])
async def test_a_refused_deployment_holds_up_no_other_of_its_stream(scene: Scene) -> None:
    old = a_deployment("older-reviews", replicas=1)
    old["metadata"] |= {"labels": SUPERFLUOUS, "ownerReferences": [{"uid": "reviews"}]}
    old["metadata"]["resourceVersion"] = "2"
    scene.world.deployments.put(old)
    scene.cluster.refused["worker-reviews"] = 403

    await scene.workers_after_passes(STEP_SECONDS)

    assert list(scene.cluster.applied) == ["consumer-reviews"]
    assert scene.cluster.deleted == ["older-reviews"]
    assert scene.told("reviews") == ("True", "WriteRefused")


@pytest.mark.parametrize("streams", [[TAKES_RECORDS]])
async def test_all_that_is_refused_of_a_stream_is_told(scene: Scene) -> None:
    scene.cluster.refused |= {"worker-reviews": 403, "consumer-reviews": 422}

    await scene.workers_after_passes(STEP_SECONDS)

    status = scene.world.streams.get("reviews")["status"]  # type: ignore[index]
    [message] = [one["message"] for one in status["conditions"] if one["type"] == "Degraded"]
    assert "worker-reviews/ is refused; consumer-reviews/ is refused" in message
