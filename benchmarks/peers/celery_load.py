"""A load of tasks for plain Celery, measured from the first `delay()` to the last task's end."""

from __future__ import annotations

import os
import time
from typing import Literal

import redis

from benchmarks.parts import Parts
from benchmarks.processes import Child, cpu_seconds, python

LONGEST_SECONDS = 180.0


def start_worker(made: Parts, broker_url: str) -> Child:
    """The peer's worker: four prefork processes."""
    return made.start(
        "celery",
        [
            *python("celery", "--app", "benchmarks.peers.celery_app", "--quiet", "worker"),
            *("--loglevel", "INFO", "--without-gossip", "--without-mingle"),
            *("--hostname", "peer@bench"),
        ],
        "ready.",
        PEER_BROKER=broker_url,
    )


class CeleryLoad:
    """Sends tasks of one kind and waits for them."""

    def __init__(self, made: Parts, broker_url: str, task: Literal["noop", "ask"]) -> None:
        # Celery reads it when its application is made: one broker a process of ours.
        os.environ["PEER_BROKER"] = broker_url
        self._worker = start_worker(made, broker_url)
        from benchmarks.peers import celery_app

        self._broker = redis.Redis.from_url(broker_url)
        self._task = {"noop": celery_app.noop, "ask": celery_app.ask}[task]
        self.cpu_us: list[float] = []

    def run(self, tasks: int, left_out: int = 0) -> float:
        """Tasks a second until all but the last `left_out` are done; then waits for those."""
        cpu = cpu_seconds(self._worker.pid)
        began = time.perf_counter()
        for number in range(tasks):
            self._task.delay(f"text {number}")
        self._wait_until_left(left_out)
        ended = time.perf_counter()
        self._wait_until_left(0)
        self.cpu_us.append((cpu_seconds(self._worker.pid) - cpu) / tasks * 1e6)
        return (tasks - left_out) / (ended - began)

    def _wait_until_left(self, tasks: int) -> None:
        give_up = time.monotonic() + LONGEST_SECONDS
        # Late acknowledgement: what is not acknowledged is not done.
        while self._broker.llen("peer") + self._broker.hlen("unacked") > tasks:
            if time.monotonic() > give_up:
                raise RuntimeError("Celery did not finish its tasks in time")
            time.sleep(0.005)
