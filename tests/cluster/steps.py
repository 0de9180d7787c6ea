"""The operator pass by pass: the real loop on a real control plane, with a clock that a test moves.

No watches run beside it. A pass that finds its list too old lists everything, as after a watch that
was interrupted, so each pass here sees the cluster as it is. What needs minutes of windows takes
seconds, and how many passes something takes can be counted.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from eventstream.settings import Settings
from eventstream_operator.__main__ import assemble
from eventstream_operator.loop import Loop
from eventstream_operator.metrics import REGISTRY
from eventstream_operator.settings import OperatorSettings
from eventstream_operator.world import World
from tests.cluster.operator_runner import Namespace

RESYNC_SECONDS = 10


@dataclass
class Clocks:
    """Monotonic and wall clock of one machine; only `jump` sets them apart."""

    now: float = 5_000.0
    offset: float = field(default_factory=lambda: time.time() - 5_000.0)

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self.offset

    def jump(self, seconds: float) -> None:
        """Set the wall clock."""
        self.offset += seconds


@dataclass
class Steps:
    """One operator process, stepped."""

    loop: Loop
    clocks: Clocks

    async def step(self, seconds: float = RESYNC_SECONDS + 1) -> None:
        """One pass, so much later than the last one."""
        self.clocks.now += seconds
        await self.loop.pass_or_hold()

    async def run(self, seconds: float, *, every: float = RESYNC_SECONDS + 1) -> None:
        """Passes until so much time has gone by."""
        until = self.clocks.now + seconds
        while self.clocks.now < until:
            await self.step(every)


@asynccontextmanager
async def stepped(
    namespace: Namespace,
    redis_url: str,
    prefix: str,
    clocks: Clocks,
    *,
    kafka: str | None = None,
) -> AsyncIterator[Steps]:
    """An operator that has looked at nothing yet. It ends as one that is killed: nothing is said
    and nothing let go of; the next one has the same identity, as a restarted container."""
    settings = OperatorSettings(
        watch_namespace=namespace.name,
        kubeconfig=str(namespace.cluster.kubeconfig),
        resync_seconds=RESYNC_SECONDS,
        operator_identity="operator-0",
    )
    services = Settings(
        redis_url=redis_url, eventstream_prefix=prefix, kafka_bootstrap_servers=kafka
    )
    async with AsyncExitStack() as stack:
        loop, _ = await assemble(
            stack,
            settings,
            services,
            World(),
            clock=clocks.monotonic,
            unix_clock=clocks.wall,
            lease_clock=clocks.monotonic,
        )
        yield Steps(loop, clocks)


def requests(outcome: str = "", *, verb: str = "") -> float:
    """Requests to the API server so far, of this outcome and this verb (or of all)."""
    return sum(
        sample.value
        for family in REGISTRY.collect()
        if family.name == "eventstream_operator_api_requests"
        for sample in family.samples
        if sample.name.endswith("_total")
        and outcome in ("", sample.labels["outcome"])
        and verb in ("", sample.labels["verb"])
    )
