"""What observed values mean: limits, budgets, lag, CPU, conflicts."""

from __future__ import annotations

from typing import Any

import pytest

from eventstream.kafka_lag import PartitionLag
from eventstream.results import StreamCounters
from eventstream.spec import Limits
from eventstream_operator.observe.cpu import PodCpu, cpu_use, parse_cpu
from eventstream_operator.observe.deployments import autoscaled, pods_trouble
from eventstream_operator.observe.kafka_lag import consumers_figure
from eventstream_operator.observe.observation import InboxDepth
from eventstream_operator.observe.usage import DayUsage, LastMinute, budget_use

DOLLAR = 1_000_000
EMPTY = InboxDepth(queued=0, in_flight=0)
WAITING = InboxDepth(queued=0, in_flight=0, deferred=5)


def test_the_last_minute_is_what_was_counted_in_it_across_midnight() -> None:
    minute = LastMinute()
    assert minute.add(0, DayUsage(calls=100, tokens=5000)) == (0, 0)
    assert minute.add(30, DayUsage(calls=110, tokens=5400)) == (10, 400)
    # A new day's hash begins at nothing.
    assert minute.add(59, DayUsage(calls=3, tokens=70)) == (13, 470)
    assert minute.add(95, DayUsage(calls=3, tokens=70)) == (3, 70)


@pytest.mark.parametrize(
    ("story", "spent", "calls", "inbox", "failed", "exhausted"),
    [
        ("nothing spent", 0, 0, EMPTY, 0, False),
        ("half of it", 5 * DOLLAR, 50, EMPTY, 0, False),
        ("all of it", 10 * DOLLAR, 50, EMPTY, 0, True),
        ("less than a call is left", 9_900_000, 50, EMPTY, 0, True),
        ("events wait, and next to nothing is left", 9_850_000, 5000, WAITING, 0, True),
        ("events wait for something else", 5 * DOLLAR, 50, WAITING, 0, False),
        ("events failed for it just now", 9_000_000, 5000, EMPTY, 3, True),
    ],
)
def test_budget(
    story: str, spent: int, calls: int, inbox: InboxDepth, failed: int, exhausted: bool
) -> None:
    limits = Limits.model_validate({"budget": {"usd": 10}})
    counters = StreamCounters(failed_by_reason={"budget_exhausted": failed})
    use = budget_use(limits, DayUsage(calls, 0, spent), inbox, counters, failed_before=0)
    assert use is not None
    assert use.exhausted is exhausted, story


def figure(lag: int, at: float) -> PartitionLag:
    return PartitionLag(lag=lag, end=lag, position=0, measured_at=at)


def test_consumers_figures_are_as_old_as_the_oldest_and_count_only_when_whole() -> None:
    figures = {"t:0": figure(4, 100), "t:1": figure(6, 97), "other:0": figure(99, 100)}
    whole = consumers_figure(figures, "t", 2, unix_now=101)
    assert whole is not None
    assert (whole.value.lag, whole.age_seconds) == (10, 4)
    assert consumers_figure(figures, "t", 3, unix_now=101) is None
    # A consumer's clock is ahead: when it measured nobody knows.
    ahead = consumers_figure({"t:0": figure(4, 161)}, "t", 1, unix_now=101)
    assert ahead is not None
    assert ahead.age_seconds == 60


@pytest.mark.parametrize(
    ("quantity", "cores"),
    [("250m", 0.25), ("2", 2.0), ("0.1", 0.1), ("1500000n", 0.0015), ("5u", 5e-6)],
)
def test_quantities_of_cpu(quantity: str, cores: float) -> None:
    assert parse_cpu(quantity) == pytest.approx(cores)


def test_a_wrong_quantity_is_named() -> None:
    with pytest.raises(ValueError, match="'many' is not a quantity of CPU"):
        parse_cpu("many")


def a_pod(name: str, *, ready: bool = True) -> dict[str, Any]:
    status = "True" if ready else "False"
    return {
        "metadata": {"name": name, "labels": {"app": "api"}},
        "status": {"conditions": [{"type": "Ready", "status": status}]},
    }


def an_api(requests: dict[str, str]) -> dict[str, Any]:
    container = {"name": "api", "resources": {"requests": requests}}
    return {
        "spec": {
            "selector": {"matchLabels": {"app": "api"}},
            "template": {"spec": {"containers": [container]}},
        }
    }


def test_cpu_is_the_mean_over_ready_pods() -> None:
    pods = [a_pod("a"), a_pod("b"), a_pod("starting", ready=False), a_pod("not measured yet")]
    used = {"a": PodCpu(0.1, 50), "b": PodCpu(0.3, 40), "starting": PodCpu(9, 50)}
    found = cpu_use(an_api({"cpu": "200m"}), pods, used)
    assert found is not None
    use, measured_at = found
    assert use.percent == pytest.approx(100)
    assert use.pods == 2
    assert measured_at == 40


def test_without_a_request_there_is_no_percentage_and_without_figures_nothing() -> None:
    found = cpu_use(an_api({}), [a_pod("a")], {"a": PodCpu(0.1, 50)})
    assert found is not None
    assert found[0].percent is None
    assert cpu_use(an_api({"cpu": "1"}), [a_pod("a")], {}) is None


def an_autoscaler(name: str, target: str, kind: str = "Deployment") -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"scaleTargetRef": {"kind": kind, "name": target}},
    }


WORKER = {"metadata": {"name": "w"}, "spec": {"selector": {"matchLabels": {"app": "w"}}}}
CANT_PULL = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling\n image x."}}


@pytest.mark.parametrize(
    ("status", "trouble"),
    [
        ({}, ""),
        ({"containerStatuses": [{"state": {"running": {}}}]}, ""),
        ({"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}, ""),
        (
            {
                "conditions": [
                    {"type": "PodScheduled", "reason": "Unschedulable", "message": "0/1 nodes."}
                ]
            },
            "Unschedulable: 0/1 nodes",
        ),
        (
            {"containerStatuses": [{"state": CANT_PULL}]},
            "ImagePullBackOff: Back-off pulling image x",
        ),
        (
            {"initContainerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]},
            "CrashLoopBackOff: Kubernetes says no more",
        ),
    ],
)
def test_why_a_pod_does_not_come_up_is_told_in_kubernetes_own_words(
    status: dict[str, Any], trouble: str
) -> None:
    ours = {"metadata": {"name": "w-1", "labels": {"app": "w"}}, "status": status}
    foreign = {
        "metadata": {"name": "a", "labels": {"app": "a"}},
        "status": {"containerStatuses": [{"state": CANT_PULL}]},
    }

    assert pods_trouble(WORKER, [foreign, ours]) == trouble


def test_who_else_scales_a_deployment_is_named_as_its_maker_knows_it() -> None:
    kedas = an_autoscaler("keda-hpa-mine", "ai-consumer")
    kedas["metadata"]["ownerReferences"] = [{"kind": "ScaledObject", "name": "mine"}]
    scaled = autoscaled(
        [an_autoscaler("plain", "ai-worker"), kedas, an_autoscaler("x", "ai-api", "StatefulSet")]
    )
    assert scaled == {
        "ai-worker": "HorizontalPodAutoscaler/plain",
        "ai-consumer": "ScaledObject/mine",
    }
