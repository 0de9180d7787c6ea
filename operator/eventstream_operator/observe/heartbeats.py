"""Heartbeats: how long a stream's workers have been busy, and which of them are idle."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from pydantic import ValidationError

from eventstream.heartbeat import WorkerHeartbeat
from eventstream.keys import queues_of
from eventstream_operator.observe.observation import WorkerTime


def read_heartbeats(stored: Sequence[bytes | None]) -> tuple[WorkerHeartbeat, ...]:
    """The heartbeats among stored values; those of a newer schema are left to a newer operator."""
    found = []
    for packed in stored:
        if packed is None:
            continue
        try:
            found.append(WorkerHeartbeat.model_validate_json(packed))
        except ValidationError:
            continue
    return tuple(found)


def pod_of(heartbeat: WorkerHeartbeat) -> str:
    """The host that the worker runs on: its pod's name."""
    return heartbeat.name.rpartition("@")[2]


def is_idle(heartbeat: WorkerHeartbeat) -> bool:
    """Whether the worker holds no event and takes new ones."""
    return not heartbeat.stopping and not int(heartbeat.stats.get("held", 0))


def by_stream(
    heartbeats: Iterable[WorkerHeartbeat],
    streams: Iterable[str],
    stream_of_pod: Mapping[str, str],
) -> dict[str, list[WorkerHeartbeat]]:
    """Stream -> its workers' heartbeats.

    The label of the worker's pod says which stream it is for. A worker outside the cluster counts
    for the one stream whose queues it serves; one that serves several counts for none.
    """
    sorted_out: dict[str, list[WorkerHeartbeat]] = {stream: [] for stream in streams}
    for heartbeat in heartbeats:
        stream = stream_of_pod.get(pod_of(heartbeat))
        if stream is None:
            served = [name for name in sorted_out if set(queues_of(name)) & set(heartbeat.queues)]
            stream = served[0] if len(served) == 1 else None
        if stream in sorted_out:
            sorted_out[stream].append(heartbeat)
    return sorted_out


class BusyTime:
    """One stream's busy worker-seconds: a counter that outlives the workers that made it."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}
        self._total = 0.0

    def add(self, heartbeats: Sequence[WorkerHeartbeat]) -> WorkerTime:
        """Count what the heartbeats say more than last time."""
        seen = {}
        first_look = not self._last
        for heartbeat in heartbeats:
            # A pod of four processes that are all busy for a second was busy for a second.
            busy = float(heartbeat.stats.get("busy_seconds", 0)) / max(1, heartbeat.concurrency)
            if not math.isfinite(busy):
                # It would stay in the counter for good.
                raise ValueError(f"the heartbeat of {heartbeat.name} has no number of busy seconds")
            # What they had done before anybody looked was not done between two looks.
            last = self._last.get(heartbeat.name, busy if first_look else 0.0)
            # Less than before: another process took over the name and began at nothing.
            self._total += busy - last if busy >= last else busy
            seen[heartbeat.name] = busy
        # A name that is missing for one pass may come back: it keeps what it had counted, while
        # there are not many of them.
        self._last = {**self._last, **seen} if len(self._last) < 1000 else seen
        slots = [
            int(beat.stats["slots"]) * beat.concurrency
            for beat in heartbeats
            if beat.stats.get("slots")
        ]
        return WorkerTime(
            busy_worker_seconds=self._total,
            idle=sum(is_idle(heartbeat) for heartbeat in heartbeats),
            slots_per_worker=min(slots) if slots else None,
        )
