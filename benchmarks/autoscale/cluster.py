"""The simulated world: an inbox, pods that take time to start, slots, and a provider with limits.

Seconds are the steps in which scalers look; within a second, calls end and begin at their own
times. Every scaler meets the same events at the same times with the same call durations.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field

PROCESSES = 4
SLOTS_PER_PROCESS = 4
SLOTS = PROCESSES * SLOTS_PER_PROCESS
SHUTDOWN_SECONDS = 30.0
RETRY_AFTER_SECONDS = 5.0
BURST_SECONDS = 10.0
"""A provider's bucket holds this many seconds of calls."""
THAW_SHARE = 0.25
REFUSAL_SECONDS = 0.2
NOTICE_SECONDS = 0.2
"""Calls begun this soon after the first 429 have left before the freeze is known."""


@dataclass(frozen=True, slots=True)
class Event:
    """One text: when it came, and how long its model call takes."""

    arrived_at: float
    call_seconds: float


@dataclass(frozen=True, slots=True)
class View:
    """What a scaler may look at."""

    at: int
    queued: int
    in_flight: int
    deferred: int
    oldest_age_seconds: float
    accepted: int
    finished: int
    busy_worker_seconds: float
    idle: int
    ready: int
    desired: int
    throttled: int
    """429s in the last minute."""
    frozen_seconds: float


@dataclass(slots=True)
class _Pod:
    created_at: float
    ready_at: float
    held: list[int] = field(default_factory=lambda: [0] * PROCESSES)
    stopping_since: float | None = None


@dataclass(slots=True)
class _Provider:
    """A bucket of calls a second; a refused call counts as well."""

    calls_per_second: float
    refusals_count: bool = True
    tokens: float = 0.0
    filled_at: float = 0.0
    frozen_from: float = float("inf")
    frozen_until: float = 0.0
    refusals: deque[float] = field(default_factory=deque)

    def frozen(self, at: float) -> bool:
        return self.frozen_from <= at < self.frozen_until

    def call(self, at: float) -> bool:
        """Whether the call is answered; False: 429."""
        if self.calls_per_second <= 0:
            return True
        room = self.calls_per_second * BURST_SECONDS
        earned = (at - self.filled_at) * self.calls_per_second
        self.tokens = min(room, self.tokens + earned)
        self.filled_at = at
        if self.tokens >= 1:
            self.tokens -= 1
            return True
        if self.refusals_count:
            self.tokens -= 1
        self.refusals.append(at)
        if at >= self.frozen_until:
            self.frozen_from = at + NOTICE_SECONDS
        # Retry-After: until a quarter of the bucket is there again, and 5 s at least.
        empty = (room * THAW_SHARE - self.tokens) / self.calls_per_second
        self.frozen_until = max(self.frozen_until, at + max(RETRY_AFTER_SECONDS, empty))
        return False


class Cluster:
    """Runs one trace, a second at a time."""

    def __init__(
        self,
        arrivals: list[Event],
        *,
        pods: int,
        start_seconds: float,
        provider_calls_per_second: float = 0.0,
        refusals_count: bool = True,
    ) -> None:
        self._arrivals = deque(arrivals)
        self._start_seconds = start_seconds
        self._provider = _Provider(provider_calls_per_second, refusals_count)
        self._pods: list[_Pod] = [_Pod(-1.0, 0.0) for _ in range(pods)]
        self._queue: deque[Event] = deque()
        self._deferred: list[tuple[float, int, Event]] = []
        self._running: list[tuple[float, int, Event, _Pod, int, bool]] = []
        self._tie = 0
        self._accepted = 0
        self._busy = 0.0
        self.at = 0
        self.ages: list[float] = []
        self.worker_seconds = 0.0
        self.changes = 0
        self.backlogged: list[int] = []
        """Seconds in which more events waited than the documented trigger."""
        self.history: list[tuple[int, int, int]] = []
        """(second, events that wait or are worked on, pods)."""

    @property
    def done(self) -> bool:
        """Nothing comes any more, and nothing is unfinished."""
        return not (self._arrivals or self._queue or self._deferred or self._running)

    @property
    def desired(self) -> int:
        """Pods that are there or starting, without those that stop."""
        return sum(pod.stopping_since is None for pod in self._pods)

    def view(self) -> View:
        """What can be seen now."""
        live = [pod for pod in self._pods if pod.stopping_since is None]
        ready = [pod for pod in live if pod.ready_at <= self.at]
        # As in the inbox: an event that was put back stands at its end.
        oldest = self._queue[0].arrived_at if self._queue else float(self.at)
        oldest = min([oldest, *(event.arrived_at for _, _, event, *_ in self._running)])
        refusals = self._provider.refusals
        while refusals and refusals[0] < self.at - 60:
            refusals.popleft()
        return View(
            at=self.at,
            queued=len(self._queue),
            in_flight=len(self._running),
            deferred=len(self._deferred),
            oldest_age_seconds=self.at - oldest,
            accepted=self._accepted,
            finished=len(self.ages),
            busy_worker_seconds=self._busy,
            idle=sum(not any(pod.held) for pod in ready),
            ready=len(ready),
            desired=len(live),
            throttled=len(refusals),
            frozen_seconds=max(0.0, self._provider.frozen_until - self.at),
        )

    def scale(self, pods: int) -> None:
        """Set the Deployment's replicas; idle pods leave first."""
        live = [pod for pod in self._pods if pod.stopping_since is None]
        if pods == len(live):
            return
        self.changes += 1
        for _ in range(pods - len(live)):
            self._pods.append(_Pod(self.at, self.at + self._start_seconds))
        leaving = sorted(live, key=lambda pod: (pod.ready_at <= self.at, sum(pod.held)))
        for pod in leaving[: max(0, len(live) - pods)]:
            pod.stopping_since = self.at

    def second(self) -> None:
        """Live through one second."""
        end = self.at + 1.0
        clock = float(self.at)
        while True:
            clock = self._next_moment(clock, end)
            if clock >= end:
                break
            self._finish(clock)
            self._take_in(clock)
            self._start(clock)
        self._stop_pods(end)
        for pod in self._pods:
            self._busy += sum(held > 0 for held in pod.held) / PROCESSES
        self.worker_seconds += len(self._pods)
        waiting = len(self._queue) + len(self._deferred)
        if waiting > 100:
            self.backlogged.append(self.at)
        self.history.append((self.at, waiting + len(self._running), len(self._pods)))
        self.at += 1

    def _next_moment(self, after: float, end: float) -> float:
        moments = [end]
        if self._running:
            moments.append(self._running[0][0])
        if self._arrivals:
            moments.append(self._arrivals[0].arrived_at)
        if self._deferred:
            moments.append(self._deferred[0][0])
        if self._queue and self._provider.frozen_until > after:
            moments.append(self._provider.frozen_until)
        moments.extend(pod.ready_at for pod in self._pods if after < pod.ready_at < end)
        if after == self.at:
            moments.append(after + 1e-6)
        return max(after, min(moments))

    def _finish(self, at: float) -> None:
        while self._running and self._running[0][0] <= at:
            ended_at, tie, event, pod, process, answered = heapq.heappop(self._running)
            pod.held[process] -= 1
            if answered:
                self.ages.append(ended_at - event.arrived_at)
            else:
                due = max(self._provider.frozen_until, at)
                heapq.heappush(self._deferred, (due, tie, event))

    def _take_in(self, at: float) -> None:
        while self._arrivals and self._arrivals[0].arrived_at <= at:
            self._queue.append(self._arrivals.popleft())
            self._accepted += 1
        while self._deferred and self._deferred[0][0] <= at:
            self._queue.append(heapq.heappop(self._deferred)[2])

    def _start(self, at: float) -> None:
        # Workers know of a freeze, and leave what waits where it is.
        while self._queue and not self._provider.frozen(at):
            place = self._free_slot(at)
            if place is None:
                return
            pod, process = place
            event = self._queue.popleft()
            self._tie += 1
            answered = self._provider.call(at)
            ends_at = at + (event.call_seconds if answered else REFUSAL_SECONDS)
            pod.held[process] += 1
            heapq.heappush(self._running, (ends_at, self._tie, event, pod, process, answered))

    def _free_slot(self, at: float) -> tuple[_Pod, int] | None:
        for pod in self._pods:
            if pod.stopping_since is not None or pod.ready_at > at:
                continue
            for process, held in enumerate(pod.held):
                if held < SLOTS_PER_PROCESS:
                    return pod, process
        return None

    def _stop_pods(self, end: float) -> None:
        """A stopping pod goes when it is empty; what takes too long goes back to the inbox."""
        overdue = [
            pod
            for pod in self._pods
            if pod.stopping_since is not None and end - pod.stopping_since >= SHUTDOWN_SECONDS
        ]
        if overdue:
            back = [row for row in self._running if any(row[3] is pod for pod in overdue)]
            self._running = [row for row in self._running if row not in back]
            heapq.heapify(self._running)
            for _, _, event, pod, process, _ in back:
                pod.held[process] -= 1
                self._queue.append(event)
        self._pods = [pod for pod in self._pods if pod.stopping_since is None or any(pod.held)]
