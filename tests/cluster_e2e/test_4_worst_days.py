"""Drain, upgrade, rollback, kill -9 and a node gone under load: nothing is lost, nothing fails."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from tests.cluster.harness.api import wait_until
from tests.cluster.harness.errors import CommandTimedOut
from tests.cluster_e2e.installation import (
    ANSWERED_SECONDS,
    GONE_SECONDS,
    RELEASE,
    SCALED_SECONDS,
    Installation,
)

pytestmark = pytest.mark.timeout(600)

COMPONENTS = ("worker", "consumer", "operator", "redis-state", "redis-cache", "kafka", "api")


def test_a_stream_that_is_no_longer_needed_leaves_balanced_counts(
    installation: Installation,
) -> None:
    streams = ("asleep", "limited", "throttled", "paid")
    for stream in streams:
        assert installation.account(stream).balanced
        installation.kubectl("delete", "es", stream, "--ignore-not-found")
    left = {f"ai-{role}-{stream}" for stream in streams for role in ("worker", "consumer")}
    wait_until(
        lambda: not left & installation.deployments(),
        "end of the Deployments of deleted streams",
        GONE_SECONDS,
    )


def test_a_drained_node_gives_everything_back(installation: Installation, slow_stream: str) -> None:
    before = installation.account(slow_stream)
    texts = {f"drained-{n}": f"Note {n} before the drain." for n in range(200)}
    ids = installation.send_by_id(texts, slow_stream, "--kafka")

    node = installation.pod("api")["spec"]["nodeName"]
    with ThreadPoolExecutor(1) as administrator:
        drained = administrator.submit(_drain, installation, node)
        wait_until(
            lambda: "unschedulable" in installation.get("nodes", node)["spec"] or drained.done(),
            "drain that has begun",
            SCALED_SECONDS,
        )
        # The last pods of a kind may only go when others are back, and there is one node.
        installation.kubectl("uncordon", node)
        drained.result()
    installation.wait_ready(*sorted(installation.deployments()))
    installation.start_client()

    account = installation.wait_finished(slow_stream, ids, ANSWERED_SECONDS)
    assert account.states == {"SUCCESS": len(ids)}
    assert account.answered - before.answered == len(ids)


def _drain(installation: Installation, node: str) -> None:
    options = ("--force", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=240s")
    installation.kubectl("drain", node, *options, seconds=250)


def test_upgrade_and_rollback_keep_the_replicas_and_lose_nothing(
    installation: Installation,
) -> None:
    # On two cores; what the chart asks for would leave no room for three workers and a fourth.
    small = "worker.resources.requests.cpu=50m,api.resources.requests.cpu=100m"
    three = "defaultStream.spec.scaling.workers.min=3,defaultStream.spec.scaling.workers.max=3"
    installation.upgrade(RELEASE, f"{three},{small}")
    wait_until(lambda: installation.replicas("ai-worker") == 3, "third worker", SCALED_SECONDS)
    installation.wait_ready("ai-worker")
    before = installation.account("default")

    sent: list[str] = []
    with ThreadPoolExecutor(1) as sender:
        rolled = sender.submit(_upgrade_and_roll_back, installation)
        hung = False
        while hung or not rolled.done():
            number = len(sent)
            texts = {f"rolled-{number + n}": f"It is parcel {number + n}." for n in range(20)}
            # An exec that hangs is given once more: the same ids are duplicates.
            hung = True
            with suppress(CommandTimedOut):
                sent += installation.send_by_id(texts, "default", "--kafka")
                hung = False
        replicas = rolled.result()

    assert replicas == [3, 3]
    account = installation.wait_finished("default", sent, ANSWERED_SECONDS)
    assert account.states == {"SUCCESS": len(sent)}
    assert account.answered - before.answered == len(sent)
    assert account.failed == before.failed


def _upgrade_and_roll_back(installation: Installation) -> list[int]:
    """A change that rolls every pod, and back; the replicas of the workers after each."""
    installation.upgrade(RELEASE, "settings.LOG_LEVEL=WARNING")
    upgraded = installation.replicas("ai-worker")
    installation.helm("rollback", RELEASE, "--wait", "--timeout=6m")
    return [upgraded, installation.replicas("ai-worker")]


@pytest.mark.parametrize("component", COMPONENTS)
def test_kill_9_of_any_pod_loses_nothing(
    installation: Installation, slow_stream: str, component: str
) -> None:
    _kill_under_load(installation, slow_stream, component)


def test_a_node_that_goes_off_at_once_loses_nothing(
    installation: Installation, slow_stream: str
) -> None:
    """Nobody is left who could say goodbye to, or wait for, anybody."""
    _kill_under_load(installation, slow_stream, *COMPONENTS)


def _kill_under_load(installation: Installation, stream: str, *components: str) -> None:
    before = installation.account(stream)
    name = "-".join(components)
    texts = {f"{name}-{n}": f"Letter {n} for the {name}." for n in range(200)}
    ids = installation.send_by_id(texts, stream, "--kafka")

    pods = [
        installation.pod(each, stream if each in ("worker", "consumer") else None)
        for each in components
    ]
    with ThreadPoolExecutor(len(pods)) as executioner:
        list(executioner.map(installation.target.kill, pods))
    for pod in pods:
        installation.wait_restarted(pod)

    account = installation.wait_finished(stream, ids, ANSWERED_SECONDS)
    assert account.states == {"SUCCESS": len(ids)}
    assert account.answered - before.answered == len(ids)
    assert account.failed == before.failed
