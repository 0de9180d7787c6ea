"""Writes that the API server fails at, again and again, while it reads: what a person learns."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from eventstream_operator.cluster import LASTING_SECONDS, STREAMS
from tests.integration.operator.scenes import STEP_SECONDS, Scene, a_stream, shown

STATUS = f"{STREAMS}/status"
LONG_ENOUGH = LASTING_SECONDS + 2 * STEP_SECONDS
NO_ANSWER = 0


def reasons(scene: Scene) -> list[str]:
    """Of the events, in order, without the steps that were made."""
    return [one["reason"] for one in scene.cluster.events if one["reason"] != "ScaledOut"]


def lists(scene: Scene) -> int:
    return scene.cluster.asked.count(f"list {STREAMS}")


def status(scene: Scene) -> dict[str, Any]:
    stream = scene.world.streams.get("default")
    assert stream is not None
    return dict(stream["status"])


@pytest.mark.parametrize("failure", [500, 503, 504])
async def test_replicas_that_fail_to_be_set_are_told_and_the_status_goes_on(
    scene: Scene, failure: int
) -> None:
    await scene.workers_after_passes(STEP_SECONDS)
    await scene.fill(150)
    scene.cluster.failing["worker"] = failure

    with capture_logs() as lines:
        assert set(await scene.workers_after_passes(LONG_ENOUGH)) == {1}

    assert scene.told("default") == ("True", "WriteRefused")
    assert scene.told("default", "ScalingActive") == ("False", "Refused")
    assert reasons(scene).count("WriteRefused") == 1
    warnings = [line["event"] for line in lines if line["log_level"] == "warning"]
    assert warnings == ["write_refused"]
    # Nothing was missed by a watch: nothing is listed for it.
    assert lists(scene) == 1

    await scene.fill(50)
    await scene.workers_after_passes(60)
    assert status(scene)["backlog"] == 200

    scene.cluster.failing.clear()
    assert (await scene.workers_after_passes(STEP_SECONDS))[-1] == 2
    assert scene.told("default") == ("False", "AllSignals")


@pytest.mark.parametrize("streams", [[a_stream("reviews"), a_stream()]])
@pytest.mark.parametrize("failure", [500, NO_ANSWER])
async def test_a_deployment_that_fails_to_be_made_is_told(scene: Scene, failure: int) -> None:
    scene.cluster.failing["worker-reviews"] = failure

    await scene.workers_after_passes(LONG_ENOUGH)

    assert scene.told("reviews") == ("True", "WriteRefused")
    assert scene.told("default") == ("False", "AllSignals")
    assert lists(scene) == 1


@pytest.mark.parametrize("failure", [500, NO_ANSWER])
async def test_a_status_that_fails_to_be_written_is_told_on_the_stream(
    scene: Scene, failure: int
) -> None:
    scene.cluster.failing[STATUS] = failure

    await scene.workers_after_passes(60)

    assert reasons(scene) == ["StatusRefused"]
    assert shown("status_refused", stream="default") == 1
    assert lists(scene) == 1


async def test_a_failure_that_is_over_soon_is_no_event(scene: Scene) -> None:
    await scene.workers_after_passes(STEP_SECONDS)
    before = reasons(scene)
    await scene.fill(150)
    scene.cluster.failing |= {"worker": 500, STATUS: 500}
    await scene.workers_after_passes(LASTING_SECONDS - STEP_SECONDS)
    scene.cluster.failing.clear()

    assert (await scene.workers_after_passes(STEP_SECONDS))[-1] == 2

    assert reasons(scene) == before


async def test_two_failures_far_from_each_other_are_no_lasting_one(scene: Scene) -> None:
    await scene.workers_after_passes(STEP_SECONDS)
    before = reasons(scene)
    for waiting in (150, 450):
        await scene.fill(waiting)
        scene.cluster.failing["worker"] = NO_ANSWER
        await scene.workers_after_passes(STEP_SECONDS)
        scene.cluster.failing.clear()
        scene.clock.now += LONG_ENOUGH

    assert reasons(scene) == before
    assert scene.told("default") != ("True", "WriteRefused")


async def test_an_api_server_that_does_not_read_either_is_away(scene: Scene) -> None:
    await scene.workers_after_passes(STEP_SECONDS)
    before = reasons(scene)
    await scene.fill(150)
    scene.cluster.failing["worker"] = 500
    scene.cluster.unreadable.add("worker")

    await scene.workers_after_passes(LONG_ENOUGH)

    assert reasons(scene) == before
    # What watches may have missed is listed, less often the longer it lasts.
    assert lists(scene) == 4
    scene.cluster.failing.clear()
    scene.cluster.unreadable.clear()
    await scene.workers_after_passes(20 * STEP_SECONDS)
    assert lists(scene) == 5
