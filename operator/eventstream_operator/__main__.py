"""`python -m eventstream_operator`: kopf's watches and the loop, in one process.

Both run in one TaskGroup: the end of either, however it comes, ends the process, and Kubernetes
starts a new one. A half-dead operator would look well and scale nothing.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack

import kopf

from eventstream.errors import EventStreamError
from eventstream.keys import Keys
from eventstream.logs import configure_logs, get_logger
from eventstream.redis_client import connect, connect_cache
from eventstream.settings import Settings, load_settings
from eventstream_operator.act.actor import Actor
from eventstream_operator.act.lease import Lease
from eventstream_operator.act.registry import StreamRegistry
from eventstream_operator.cluster import Cluster, load_configuration
from eventstream_operator.handlers import build_registry, build_settings
from eventstream_operator.health import serve
from eventstream_operator.loop import Loop
from eventstream_operator.observe.observer import Observer
from eventstream_operator.settings import OperatorSettings, load_operator_settings
from eventstream_operator.world import World

log = get_logger(__name__)


class _Stopped(Exception):
    """kopf was told to stop: the rest stops with it."""


async def assemble(
    stack: AsyncExitStack,
    settings: OperatorSettings,
    services: Settings,
    world: World,
    *,
    clock: Callable[[], float] = time.monotonic,
    unix_clock: Callable[[], float] = time.time,
    lease_clock: Callable[[], float] = time.monotonic,
) -> tuple[Loop, Observer]:
    """The loop and the observer, whose background signals are to run beside it.

    `stack` closes what they hold. Raises ConfigurationError where no cluster is known.
    """
    cluster = await stack.enter_async_context(
        Cluster(
            await load_configuration(settings.kubeconfig),
            settings.watch_namespace,
            timeout_seconds=settings.api_timeout_seconds,
            clock=clock,
        )
    )
    state = connect(services.state_url, timeout_seconds=settings.store_timeout_seconds)
    stack.push_async_callback(state.aclose)
    cache = connect_cache(services.cache_url, timeout_seconds=settings.store_timeout_seconds)
    stack.push_async_callback(cache.aclose)
    observer = Observer(
        services,
        state=state,
        cache=cache,
        cluster=cluster,
        world=world,
        labels=settings.watch_selector,
        clock=clock,
        unix_clock=unix_clock,
    )
    stack.callback(observer.close)
    loop = Loop(
        settings,
        cluster=cluster,
        world=world,
        observer=observer,
        actor=Actor(
            cluster,
            world,
            status_seconds=settings.status_seconds,
            interval_seconds=settings.interval_seconds,
            clock=clock,
            unix_clock=unix_clock,
        ),
        lease=Lease(
            cluster,
            name=settings.lease_name,
            identity=settings.operator_identity,
            seconds=settings.lease_seconds,
            # Real seconds, whatever clock decides: it is an agreement between processes.
            clock=lease_clock,
            unix_clock=time.time,
        ),
        registry=StreamRegistry(
            state,
            Keys(services.eventstream_prefix),
            clock=time.monotonic,
            take_over_from=settings.take_over_from,
        ),
        clock=clock,
        unix_clock=unix_clock,
    )
    return loop, observer


async def run_operator(
    settings: OperatorSettings,
    services: Settings,
    *,
    stop: asyncio.Event | None = None,
    clock: Callable[[], float] = time.monotonic,
    unix_clock: Callable[[], float] = time.time,
) -> None:
    """Run until SIGTERM, SIGINT or `stop`.

    Raises ConfigurationError for what only a person can put right, and whatever kopf ends with.
    """
    world = World()
    async with AsyncExitStack() as stack:
        loop, observer = await assemble(
            stack, settings, services, world, clock=clock, unix_clock=unix_clock
        )
        port = await stack.enter_async_context(
            serve(
                settings.metrics_host,
                settings.metrics_port,
                finished_at=lambda: loop.finished_at,
                stalled_seconds=settings.stalled_seconds,
            )
        )
        log.info("operator_started", namespace=settings.watch_namespace, metrics_port=port)
        stack.push_async_callback(loop.stop)

        async def watch() -> None:
            await kopf.operator(
                registry=build_registry(world, loop.wake),
                settings=build_settings(settings),
                namespaces=[settings.watch_namespace],
                standalone=True,
                stop_flag=stop,
            )
            raise _Stopped

        try:
            async with asyncio.TaskGroup() as together:
                together.create_task(watch(), name="watches")
                together.create_task(loop.run(), name="loop")
                for signal in observer.background:
                    together.create_task(signal.run(), name=signal.signal)
        except* _Stopped:
            log.info("operator_stopped")


def main() -> int:
    """The process's exit status: 0 after being told to stop, 2 for a person's mistake."""
    try:
        settings, services = load_operator_settings(), load_settings()
    except EventStreamError as error:
        print(error, file=sys.stderr)
        return 2
    configure_logs(services.log_level, services.log_format, "operator")
    # kopf tells of every object that it hands on.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    try:
        asyncio.run(run_operator(settings, services))
    except BaseExceptionGroup as group:
        mistakes, rest = group.split(EventStreamError)
        if rest is not None or mistakes is None:
            raise
        for mistake in _leaves(mistakes):
            log.error("operator_can_not_go_on", problem=str(mistake))
        return 2
    except EventStreamError as mistake:
        log.error("operator_can_not_go_on", problem=str(mistake))
        return 2
    return 0


def _leaves(group: BaseExceptionGroup[EventStreamError]) -> Iterator[EventStreamError]:
    for one in group.exceptions:
        if isinstance(one, BaseExceptionGroup):
            yield from _leaves(one)
        else:
            yield one


if __name__ == "__main__":
    sys.exit(main())
