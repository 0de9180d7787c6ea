"""Footprint: the memory that is each process's own, and how long each takes to be ready.

Without the local model and without load: what an idle installation keeps. Image sizes are reported
by `scripts/images sizes`, where there are images.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from benchmarks.figures import Figure, Section, Spread, Table, at_most, number
from benchmarks.options import Options
from benchmarks.parts import parts
from benchmarks.processes import Child, family, own_megabytes, resident_megabytes
from benchmarks.streams import register
from eventstream.spec import StreamSpec

NAME = "footprint"
TITLE = "Footprint: memory and start"
WHERE = (
    "most of a start is importing: pydantic's models, Celery with kombu, numpy and RedisVL's schema"
    " in the worker, which its children share until they write to a page"
)


async def run(options: Options) -> Section:
    """Measure; see the module."""
    starts = options.pick(5, 2, 1)
    ready: dict[str, list[float]] = {"api": [], "consumer": [], "worker": []}
    own: dict[str, list[float]] = {"api": [], "consumer": [], "worker": [], "worker child": []}
    resident: dict[str, list[float]] = {name: [] for name in own}
    with parts(API_AUTH="none") as made:
        _, state = made.stores()
        made.provider()
        await asyncio.to_thread(made.kafka)
        await register(state, footprint=StreamSpec())
        for number_of in range(starts):
            children: dict[str, Child] = {}
            starts_of: dict[str, Callable[[str], Child]] = {
                "api": lambda name: made.api(name)[0],
                "consumer": made.consumer,
                "worker": made.worker,
            }
            for name, start in starts_of.items():
                children[name] = child = start(f"{name}-{number_of}")
                ready[name].append(time.perf_counter() - child.started_at)
            for name, child in children.items():
                parent, *below = family(child.pid)
                own[name].append(own_megabytes(parent))
                resident[name].append(resident_megabytes(parent))
                if name == "worker":
                    own["worker child"] += [own_megabytes(pid) for pid in below]
                    resident["worker child"] += [resident_megabytes(pid) for pid in below]
            for child in reversed(children.values()):
                child.stop()
    reaches = {"api": 110.0, "worker child": 60.0}
    figures = [
        Figure(
            f"own memory: {name}",
            Spread.of(values),
            len(values),
            unit="MB",
            reach=at_most(reaches[name]) if name in reaches else None,
            beside=f"with shared pages {number(Spread.of(resident[name]).median)} MB",
        )
        for name, values in own.items()
    ]
    figures += [
        Figure(
            f"start to ready: {name}",
            Spread.of(values),
            len(values),
            unit="s",
            reach=at_most(3.0),
        )
        for name, values in ready.items()
    ]
    return Section(
        name=NAME,
        title=TITLE,
        figures=tuple(figures),
        tables=(
            Table(
                "What is meant",
                ("word", "meaning"),
                (
                    ("own memory", "private resident pages (/proc/PID/smaps_rollup), idle"),
                    (
                        "ready",
                        "api: Redis has answered; consumer: it has its partitions; worker:"
                        " it takes tasks",
                    ),
                ),
            ),
        ),
        conditions="no local model, no load; times depend on how quiet the machine is",
        where_the_time_goes=WHERE,
    )
