"""The scene in which the loop is tested."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from eventstream.keys import Keys
from eventstream.redis_client import connect
from eventstream.settings import Settings
from eventstream_operator.act.actor import Actor
from eventstream_operator.act.lease import Lease
from eventstream_operator.act.registry import StreamRegistry
from eventstream_operator.loop import Loop
from eventstream_operator.observe.observer import Observer
from eventstream_operator.settings import OperatorSettings
from eventstream_operator.world import World
from tests.integration.operator.scenes import RefusingCluster, Scene, a_stream
from tests.support.clock import Clock
from tests.support.redis_server import RedisServer


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
def streams() -> list[dict[str, Any]]:
    """Tests that want others parametrize it."""
    return [a_stream()]


@pytest.fixture
async def scene(own_redis: RedisServer, streams: list[dict[str, Any]]) -> AsyncIterator[Scene]:
    world, clock = World(), Clock()
    settings = OperatorSettings(watch_namespace="ai", operator_identity="operator-0")
    state = connect(own_redis.url(2), timeout_seconds=5)
    cluster = RefusingCluster(world, streams, clock)
    async with cluster:
        observer = Observer(
            Settings(),
            state=state,
            cache=state,
            cluster=cluster,
            world=world,
            labels="",
            clock=clock,
        )
        actor = Actor(
            cluster,
            world,
            status_seconds=settings.status_seconds,
            interval_seconds=settings.interval_seconds,
            clock=clock,
            unix_clock=clock,
        )
        lease = Lease(
            cluster,
            name="lease",
            identity="operator-0",
            seconds=15,
            clock=clock,
            unix_clock=clock,
        )
        loop = Loop(
            settings,
            cluster=cluster,
            world=world,
            observer=observer,
            actor=actor,
            lease=lease,
            registry=StreamRegistry(state, Keys(), clock=clock),
            clock=clock,
            unix_clock=clock,
        )
        yield Scene(cluster, world, state, loop, clock)
    await state.aclose()
