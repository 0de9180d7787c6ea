"""One local stack from its start to its end: processes, streams, signals.

The command line decides what belongs to it (plan.py) and what is done while it runs; this
module starts the parts in order, writes the streams before any service reads them, and
makes sure that every way out ends with no process left.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from eventstream.embedded import apache_kafka, tansu
from eventstream.embedded import redis as embedded_redis
from eventstream.embedded.errors import StackError
from eventstream.embedded.folder import DataFolder
from eventstream.embedded.jars import default_cache_dir, ensure_jars, jars_dir
from eventstream.embedded.output import LogPrinter
from eventstream.embedded.plan import KafkaChoice, StackPlan
from eventstream.embedded.process import ProcessSpec
from eventstream.embedded.services import service_processes
from eventstream.embedded.supervisor import Supervisor
from eventstream.errors import ConfigurationError
from eventstream.keys import Keys
from eventstream.redis_client import AsyncRedis, connect, reading_or_writing
from eventstream.registry import Registry
from eventstream.settings import Settings, load_settings
from eventstream.spec import StreamSpec

OWNER: Final = "eventstream up"
"""Whose the streams are that it writes: of any of them, since it may run anywhere the next time."""
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

WhileRunning = Callable[[], Awaitable[bool]]


@dataclass(frozen=True)
class Infrastructure:
    """The processes that hold data, and whether the cache among them has vector search."""

    processes: tuple[ProcessSpec, ...]
    vector_search: bool


def build_infrastructure(
    plan: StackPlan, folder: DataFolder, say: Callable[[str], None]
) -> Infrastructure:
    """The data processes of a plan. May take minutes when Apache Kafka has to be fetched.

    Raises StackError when a part is not there for this platform.
    """
    processes: list[ProcessSpec] = []
    vector_search = True
    if plan.embedded_cache:
        binaries = embedded_redis.find_binaries()
        vector_search = binaries.search_module is not None
        processes.append(embedded_redis.cache_server(binaries, folder.cache, plan.ports.cache))
        if plan.embedded_state:
            processes.append(
                embedded_redis.state_server(
                    binaries, folder.state, plan.ports.state, plan.state_memory_mb
                )
            )
    if plan.kafka is KafkaChoice.DEMO:
        processes.append(tansu.demo_broker(tansu.find_broker(), plan.ports.kafka))
    elif plan.kafka is KafkaChoice.APACHE:
        java = apache_kafka.find_java()
        cache_dir = default_cache_dir()
        if not jars_dir(cache_dir).is_dir():
            say("Fetching Apache Kafka with Maven; this happens once and takes a minute")
        jars = ensure_jars(cache_dir)
        ports = plan.ports
        processes.append(
            apache_kafka.kafka_server(java, jars, folder.kafka, ports.kafka, ports.controller)
        )
    return Infrastructure(tuple(processes), vector_search)


def service_settings(plan: StackPlan) -> Settings:
    """The settings as the services of this plan will read them."""
    return load_settings(**{name.lower(): value for name, value in plan.service_env.items()})


async def write_streams(settings: Settings, streams: Mapping[str, StreamSpec]) -> list[str]:
    """Registers streams and the documented `default` one; returns the names of all that exist.

    Raises StoreUnavailable when the results Redis does not answer, ConfigurationError where the
    registry is somebody else's: an operator would delete what it has no resource for.
    """
    redis = connect(settings.state_url, timeout_seconds=settings.redis_timeout_seconds)
    try:
        keys = Keys(settings.eventstream_prefix)
        registry = Registry(redis, keys, max_age_seconds=0.0)
        if streams:
            await _refuse_foreign_registry(redis, keys, registry)
        await registry.ensure_default(settings)
        await registry.write(streams, OWNER)
        return sorted(await registry.all())
    finally:
        await redis.aclose()


async def _refuse_foreign_registry(redis: AsyncRedis, keys: Keys, registry: Registry) -> None:
    owners = {owner: name for name, owner in (await registry.owners()).items() if owner != OWNER}
    async with reading_or_writing("asking whose the streams are"):
        claim = cast(bytes | None, await redis.get(keys.owner))
    if claim is not None:
        owners.setdefault(claim.decode("utf-8", "replace"), "")
    for owner, name in owners.items():
        raise ConfigurationError(
            "EVENTSTREAM_PREFIX",
            (f"the stream {name!r} in this Redis belongs to" if name else "this Redis is served by")
            + f" the installation {owner!r} under the same prefix",
            "Set another one, or use another Redis. If that one is gone for good,"
            " `eventstream streams delete` removes its streams",
        )


class LocalStack:
    """Starts everything, keeps it running until told to stop, and ends everything."""

    def __init__(
        self,
        plan: StackPlan,
        infrastructure: Infrastructure,
        streams: Mapping[str, StreamSpec],
        printer: LogPrinter,
    ) -> None:
        self._plan = plan
        self._infrastructure = infrastructure
        self._streams = streams
        self._printer = printer
        self._settings = service_settings(plan)
        self._supervisor = Supervisor(printer.emit, printer.say)
        self._stop = asyncio.Event()
        self.stream_names: list[str] = []

    async def run(self, on_ready: WhileRunning) -> bool:
        """Runs until a signal, or until `on_ready` is done and says that this was all.

        `on_ready` is awaited once everything is ready; it returns whether the stack goes on.
        Returns False when the end was asked for by a signal. Raises StackError when a part
        could not be started or kept up; all processes have ended then, as always.
        """
        loop = asyncio.get_running_loop()
        self._printer.on_unread = self._stop.set
        for number in ENDING_SIGNALS:
            loop.add_signal_handler(number, self._on_signal)
        work = asyncio.create_task(self._work(on_ready))
        ends = (asyncio.create_task(self._stop.wait()), asyncio.create_task(self._failure()))
        try:
            await asyncio.wait({work, *ends}, return_when=asyncio.FIRST_COMPLETED)
            await _cancel([task for task in (work, *ends) if not task.done()])
            _raise_first([work, *ends])
            return not self._stop.is_set()
        finally:
            self._stop.set()
            await self._supervisor.stop()
            for number in ENDING_SIGNALS:
                loop.remove_signal_handler(number)

    async def _work(self, on_ready: WhileRunning) -> None:
        await self._supervisor.start(self._infrastructure.processes)
        self.stream_names = await write_streams(self._settings, self._streams)
        services = service_processes(
            self._plan,
            after=tuple(process.name for process in self._infrastructure.processes),
            worker_shutdown_seconds=self._settings.worker_shutdown_seconds,
        )
        await self._supervisor.start(services)
        if await on_ready():
            await asyncio.Event().wait()

    async def _failure(self) -> None:
        await self._supervisor.failed.wait()
        raise StackError(self._supervisor.failure)

    def _on_signal(self) -> None:
        # Said afterwards: the terminal may be what is gone.
        if self._stop.is_set():
            self._supervisor.kill()
            self._printer.say("Ending everything at once")
        else:
            self._stop.set()
            self._printer.say("Stopping; press Ctrl-C again to end everything at once")


async def _cancel(tasks: Sequence[asyncio.Task[None] | asyncio.Task[bool]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _raise_first(tasks: Sequence[asyncio.Task[None] | asyncio.Task[bool]]) -> None:
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            raise error
