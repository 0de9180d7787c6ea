"""A watch that is late: the operator writes what was decided on copies that are behind."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from eventstream_operator.cluster import STREAMS
from tests.integration.operator.scenes import DRAIN_SECONDS, STEP_SECONDS, Scene, changed, made_anew


def fall_behind(scene: Scene) -> None:
    """Somebody changes the stream and the workers' Deployment, and no watch tells of it."""
    for name, copies in (("default", scene.world.streams), ("worker", scene.world.deployments)):
        copy = copies.get(name)
        assert copy is not None
        scene.cluster.unseen[name] = changed(copy)


@pytest.fixture
def wakes(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One for each time that the next pass was brought forward."""
    woken: list[None] = []
    monkeypatch.setattr(scene.loop, "wake", lambda: woken.append(None))
    return woken


async def test_a_status_is_written_though_the_watch_of_the_stream_is_late(
    scene: Scene, wakes: list[None]
) -> None:
    await scene.workers_after_passes(STEP_SECONDS)
    fall_behind(scene)
    del scene.cluster.unseen["worker"]
    scene.cluster.asked.clear()
    await scene.fill(150)

    with capture_logs() as lines:
        assert await scene.workers_after_passes(STEP_SECONDS) == [2]

    status = scene.cluster.unseen["default"]["status"]
    assert status["decision"].endswith("-> 2 at 100 events a worker")
    writes = [request for request in scene.cluster.asked if request == f"merge {STREAMS}"]
    assert len(writes) == 2
    # And the copy is the newest again.
    assert scene.world.streams.get("default") == scene.cluster.unseen["default"]
    assert wakes == []
    assert [line["event"] for line in lines if line["log_level"] != "info"] == []


async def test_a_status_that_got_no_answer_is_written_on_what_became_of_it(scene: Scene) -> None:
    await scene.workers_after_passes(STEP_SECONDS)
    await scene.fill(150)
    fall_behind(scene)
    del scene.cluster.unseen["worker"]
    scene.cluster.unanswered.add("default")
    await scene.workers_after_passes(STEP_SECONDS)
    scene.cluster.unanswered.clear()

    await scene.workers_after_passes(STEP_SECONDS)

    # The one step, once.
    [step] = scene.cluster.unseen["default"]["status"]["history"]
    assert step["decision"].endswith("-> 2 at 100 events a worker")


async def test_a_stream_made_anew_that_no_watch_told_of_is_listed(scene: Scene) -> None:
    await scene.workers_after_passes(STEP_SECONDS)
    scene.cluster.unseen["default"] = made_anew()
    scene.cluster.lists_are_late = False
    await scene.fill(150)

    await scene.workers_after_passes(STEP_SECONDS)
    assert "status" not in scene.cluster.unseen["default"]

    await scene.workers_after_passes(STEP_SECONDS)
    assert scene.cluster.unseen["default"]["status"]["phase"]


async def test_copies_that_stay_behind_are_listed(scene: Scene, wakes: list[None]) -> None:
    await scene.workers_after_passes(STEP_SECONDS)
    fall_behind(scene)
    scene.cluster.lists_are_late = False
    await scene.fill(150)

    with capture_logs() as lines:
        assert await scene.workers_after_passes(3 * STEP_SECONDS) == [1, 1, 2]

    assert len(wakes) == 1
    warnings = [line for line in lines if line["log_level"] == "warning"]
    assert [(line["event"], line["stream"]) for line in warnings] == [
        ("conflict_repeated", "default")
    ]


async def test_conflicts_without_end_do_not_make_passes_or_lists_without_end(
    scene: Scene, wakes: list[None]
) -> None:
    await scene.workers_after_passes(STEP_SECONDS)
    fall_behind(scene)
    scene.cluster.asked.clear()
    await scene.fill(150)

    with capture_logs() as lines:
        assert set(await scene.workers_after_passes(20 * STEP_SECONDS)) == {1}

    assert len(wakes) == 1
    told = [line["passes"] for line in lines if line["event"] == "conflict_repeated"]
    assert told == [2, 4, 8, 16]
    assert scene.cluster.asked.count(f"list {STREAMS}") == len(told)


async def test_a_conflict_now_and_then_is_decided_anew_at_once(
    scene: Scene, wakes: list[None]
) -> None:
    await scene.workers_after_passes(STEP_SECONDS)
    await scene.fill(150)
    for before in range(3):
        scene.cluster.refused["worker"] = 409
        await scene.workers_after_passes(STEP_SECONDS)
        assert len(wakes) == before + 1
        scene.cluster.refused.clear()
        await scene.workers_after_passes(STEP_SECONDS)
        # Until the next step is due.
        await scene.workers_after_passes(DRAIN_SECONDS - STEP_SECONDS)
