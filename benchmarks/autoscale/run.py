"""Runs every scaler over every trace and measures what users wait and what they pay."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from benchmarks.autoscale.cluster import Cluster
from benchmarks.autoscale.scalers import SCALERS
from benchmarks.autoscale.traces import Trace

PHASES = (0, 5, 11)
"""Runs a pair of trace and scaler has: when the scaler looks is luck, so three lucks are meant."""
GIVES_UP_AFTER_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Measures:
    """Means over the runs."""

    drain_seconds: float
    """From the first to the last second in which more than 100 events waited."""
    worst_age_seconds: float
    """From arrival to answer, of the event that had to wait longest."""
    late_age_seconds: float
    """The same of the 99th in a hundred."""
    worker_seconds: float
    changes: float


@dataclass(frozen=True, slots=True)
class Result:
    """One scaler on one trace."""

    trace: str
    scaler: str
    measures: Measures
    history: tuple[tuple[int, int, int], ...]
    """Of the first run: (second, unfinished events, pods)."""


def run_once(trace: Trace, scaler: str, run: int) -> Cluster:
    """One run, until the trace is over and everything is answered."""
    phase = PHASES[run]
    cluster = Cluster(
        trace.events(seed=run),
        pods=2,
        start_seconds=trace.start_seconds,
        provider_calls_per_second=trace.provider_calls_per_second,
        refusals_count=trace.refusals_count,
    )
    looks = SCALERS[scaler](phase)
    while cluster.at < trace.seconds or not cluster.done:
        if cluster.at > trace.seconds + GIVES_UP_AFTER_SECONDS:
            raise RuntimeError(f"{scaler} does not finish {trace.name}")
        cluster.second()
        pods = looks.look(cluster.view())
        if pods is not None:
            cluster.scale(pods)
    return cluster


def measure(trace: Trace, scaler: str) -> Result:
    """The means of all runs of one pair."""
    clusters = [run_once(trace, scaler, run) for run in range(len(PHASES))]
    late = [sorted(cluster.ages)[int(len(cluster.ages) * 0.99)] for cluster in clusters]
    return Result(
        trace.name,
        scaler,
        Measures(
            drain_seconds=fmean(
                c.backlogged[-1] - c.backlogged[0] if c.backlogged else 0 for c in clusters
            ),
            worst_age_seconds=fmean(max(cluster.ages) for cluster in clusters),
            late_age_seconds=fmean(late),
            worker_seconds=fmean(cluster.worker_seconds for cluster in clusters),
            changes=fmean(cluster.changes for cluster in clusters),
        ),
        tuple(clusters[0].history),
    )
