"""One installation of some streams, and what can be measured about the operator in it."""

from __future__ import annotations

import asyncio
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.cluster.harness.cluster import Cluster, client_environment
from tests.cluster.operator_runner import (
    Namespace,
    Operator,
    installed,
    stream,
    wait_for,
    wait_in_line,
    workers,
)
from tests.support.redis_server import RedisServer

from eventstream.inbox import Inbox
from eventstream.keys import Keys
from eventstream.redis_client import connect

PASSES: Final = "eventstream_operator_pass_seconds_count"
SPENT: Final = "eventstream_operator_pass_seconds_sum"
REQUESTS: Final = "eventstream_operator_api_requests_total"
CROSSING: Final = 150
"""Events, all at once: more than the documented trigger of 100."""
MEASURED: Final = "s000"


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one number of streams. Seconds."""

    streams: int
    reactions: tuple[float, ...]
    """From the accepted events to the patched Deployment, as a watch sees it."""
    passes: tuple[float, ...]
    requests_a_pass: float
    """To the API server, while nothing changes (watches are not requests)."""
    idle_passes: int


def measure(
    cluster: Cluster, redis: RedisServer, folder: Path, *, streams: int, repeats: int
) -> Figures:
    """Raises AssertionError, naming what did not come, when the operator does not work."""
    prefix = f"b{streams}:"
    with installed(cluster, f"bench-{streams}") as namespace:
        names = [f"s{number:03}" for number in range(streams)]
        namespace.apply(*(stream(name, **workers(min=1, max=8)) for name in names))
        log = folder / f"operator-{streams}.log"
        with Operator(namespace, redis.url(0), prefix, log) as operator:
            wait_for("ready workers everywhere", lambda: _all_ready(namespace, streams), 300)
            # Until the last words about new pods are said.
            _wait_for_passes(operator, 10)
            passes, requests, idle = _idle(operator, repeats)
            reactions = asyncio.run(_reactions(namespace, operator, redis, prefix, repeats=repeats))
    return Figures(streams, tuple(reactions), tuple(passes), requests, idle)


def _all_ready(namespace: Namespace, streams: int) -> bool:
    ready = [
        (one.get("status", {}).get("workers") or {}).get("ready") for one in namespace.list("es")
    ]
    return ready == [1] * streams


def _wait_for_passes(operator: Operator, count: int) -> None:
    passes = operator.metric(PASSES)
    wait_for("passes", lambda: operator.metric(PASSES) >= passes + count, 120)


def _idle(operator: Operator, repeats: int) -> tuple[list[float], float, int]:
    """Seconds of single passes over streams that nothing happens to, and requests a pass."""
    first, began = operator.metric(PASSES), operator.metric(REQUESTS)
    count, seconds = first, operator.metric(SPENT)
    durations: list[float] = []
    while len(durations) < repeats:
        time.sleep(0.2)
        now, total = operator.metric(PASSES), operator.metric(SPENT)
        if now == count + 1:
            durations.append(total - seconds)
        count, seconds = now, total
    passes = count - first
    return durations, (operator.metric(REQUESTS) - began) / passes, int(passes)


async def _reactions(
    namespace: Namespace, operator: Operator, redis: RedisServer, prefix: str, *, repeats: int
) -> list[float]:
    client = connect(redis.url(2), timeout_seconds=5)
    keys = Keys(prefix)
    inbox = Inbox(client, keys, result_ttl_seconds=3600, lease_seconds=30)
    deployment = f"ai-worker-{MEASURED}"
    found = []
    with watching(namespace, deployment) as watch:
        for _ in range(repeats):
            # At any moment between two passes.
            await asyncio.sleep(random.uniform(3, 5))
            watch.clear()
            began = time.monotonic()
            await wait_in_line(inbox, MEASURED, CROSSING)
            accepted = time.monotonic()
            patched = await asyncio.to_thread(watch.first_above, 1)
            found.append(patched - accepted)
            assert patched >= began
            await client.delete(keys.inbox(MEASURED))
            await asyncio.to_thread(_wait_for_passes, operator, 2)
            namespace.kubectl("scale", f"deployment/{deployment}", "--replicas=1")
    await client.aclose()
    return found


class Watch:
    """Replicas of a Deployment as a watch tells them, each with its moment."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._seen: list[tuple[float, int]] = []
        self._process = process
        self._changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def clear(self) -> None:
        """Forget what was seen."""
        with self._changed:
            self._seen.clear()

    def first_above(self, replicas: int) -> float:
        """When more than `replicas` were asked for."""
        with self._changed:
            found = self._changed.wait_for(
                lambda: [at for at, count in self._seen if count > replicas], timeout=120
            )
            assert found, "the operator has not scaled within two minutes"
            return found[0]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self._seen.append((time.monotonic(), int(line)))
                self._changed.notify_all()


@contextmanager
def watching(namespace: Namespace, deployment: str) -> Iterator[Watch]:
    """A watch of a Deployment, for as long as the block takes."""
    cluster = namespace.cluster
    with subprocess.Popen(
        [
            cluster.layout.program("kubectl"),
            *("-n", namespace.name, "get", "deployment", deployment, "--watch"),
            *("-o", "jsonpath={.spec.replicas}{'\\n'}"),
        ],
        env=client_environment(cluster.layout),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Watch(process)
        finally:
            process.terminate()
