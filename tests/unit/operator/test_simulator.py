"""The simulator keeps count, and the others' formulas are theirs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks.autoscale.cluster import SLOTS, Cluster, Event, View
from benchmarks.autoscale.run import run_once
from benchmarks.autoscale.scalers import SCALERS, Hpa, Numaflow, hpa_external
from benchmarks.autoscale.traces import TRACES

QUIET = View(
    at=0,
    queued=0,
    in_flight=0,
    deferred=0,
    oldest_age_seconds=0,
    accepted=0,
    finished=0,
    busy_worker_seconds=0,
    idle=0,
    ready=1,
    desired=1,
    throttled=0,
    frozen_seconds=0,
)


def after(cluster: Cluster, seconds: int) -> View:
    """What can be seen after so many seconds."""
    for _ in range(seconds):
        cluster.second()
    return cluster.view()


def test_a_pod_runs_as_many_calls_as_it_has_slots() -> None:
    cluster = Cluster([Event(0.0, 2.0)] * (SLOTS + 5), pods=1, start_seconds=15)

    first = after(cluster, 1)
    assert (first.queued, first.in_flight) == (5, SLOTS)

    after(cluster, 4)
    assert cluster.done
    assert max(cluster.ages) == pytest.approx(4.0, abs=0.01)


def test_a_new_pod_works_when_it_is_ready_and_costs_from_the_start() -> None:
    cluster = Cluster([Event(0.0, 100.0)] * 40, pods=1, start_seconds=15)
    cluster.scale(2)

    assert after(cluster, 14).in_flight == SLOTS
    assert after(cluster, 2).in_flight == 2 * SLOTS
    assert cluster.worker_seconds == 32


def test_a_stopped_pod_gives_back_what_takes_too_long() -> None:
    cluster = Cluster([Event(0.0, 10.0), Event(0.0, 90.0)], pods=1, start_seconds=15)
    after(cluster, 1)
    cluster.scale(0)

    gone = after(cluster, 40)

    assert (gone.finished, gone.queued, gone.desired) == (1, 1, 0)


def test_a_provider_refuses_what_is_above_its_limit_and_is_left_alone() -> None:
    events = [Event(60.0, 2.0)] * 150
    cluster = Cluster(events, pods=10, start_seconds=15, provider_calls_per_second=10)

    view = after(cluster, 61)

    assert (view.in_flight, view.throttled, view.deferred) == (100, 50, 50)
    assert view.frozen_seconds > 4


@pytest.mark.parametrize("scaler", SCALERS)
def test_every_event_is_answered_whoever_scales(scaler: str) -> None:
    spike = replace(TRACES[1], seconds=400)

    cluster = run_once(spike, scaler, 0)

    assert len(cluster.ages) == len(spike.events(seed=0))


@pytest.mark.parametrize(
    ("metric", "pods", "path"),
    [
        (5000, 1, [5, 10, 20, 20]),
        (109, 1, [1, 1, 1, 1]),
        (111, 1, [2, 2, 2, 2]),
        (0, 8, [8, 8, 8, 8]),
    ],
    ids=["4 pods or 100 % in 15 s", "within 10 %", "beyond 10 %", "300 s before it scales in"],
)
def test_hpa(metric: int, pods: int, path: list[int]) -> None:
    hpa: Hpa = hpa_external(0)
    steps = []
    hpa.look(replace(QUIET, at=0, queued=pods * 100, desired=pods))
    for sync in range(1, 5):
        pods = hpa.look(replace(QUIET, at=15 * sync, queued=metric, desired=pods)) or pods
        steps.append(pods)

    assert steps == path


def test_hpa_scales_in_when_the_highest_of_300_s_is_lower() -> None:
    hpa = hpa_external(0)
    hpa.look(replace(QUIET, at=0, queued=800, desired=8))
    answers = [hpa.look(replace(QUIET, at=at, queued=100, desired=8)) for at in range(15, 316, 15)]

    assert answers[-3:] == [8, 1, 1]


def test_numaflow_takes_two_replicas_a_step_and_rests_for_90_s() -> None:
    numaflow = Numaflow(0)
    steps = {}
    pods = 3
    for at in range(0, 241):
        # 10/s finished, 600 pending: 600 / 10 / 20 x 3 = 9 wanted.
        view = replace(QUIET, at=at, queued=600, finished=10 * at, ready=3, desired=pods)
        pods = numaflow.look(view) or pods
        steps[at] = pods

    assert [steps[at] for at in (29, 30, 119, 120, 209, 210)] == [3, 5, 5, 7, 7, 9]
