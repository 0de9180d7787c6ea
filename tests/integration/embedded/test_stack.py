"""The stack's own steps on real parts: the data processes of a plan, and the streams in Redis."""

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from eventstream.embedded.folder import locked
from eventstream.embedded.output import LogPrinter, make_console
from eventstream.embedded.plan import KafkaChoice, Ports, plan_stack
from eventstream.embedded.stack import build_infrastructure, service_settings, write_streams
from eventstream.embedded.supervisor import Supervisor
from eventstream.errors import ConfigurationError
from eventstream.keys import Keys
from eventstream.redis_client import AsyncRedis, connect
from eventstream.registry import Registry
from eventstream.settings import Settings
from eventstream.spec import Source, StreamSpec
from eventstream_operator.act.registry import StreamRegistry


def free_ports() -> Ports:
    with ExitStack() as probes:
        numbers = [
            int(probes.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1])
            for _ in range(3)
        ]
    return Ports(cache=numbers[0], state=numbers[1], kafka=numbers[2])


def test_the_state_has_the_memory_that_was_asked_for(tmp_path: Path) -> None:
    plan = plan_stack({}, ports=Ports(), kafka=KafkaChoice.NONE, state_memory_mb=300)
    with locked(tmp_path) as folder:
        _, state = build_infrastructure(plan, folder, print).processes
    assert state.argv[state.argv.index("--maxmemory") + 1] == "300mb"


async def test_streams_are_there_before_any_service_starts(tmp_path: Path) -> None:
    plan = plan_stack({}, ports=free_ports())
    with locked(tmp_path / "data") as folder, (tmp_path / "log").open("w") as log:
        infrastructure = build_infrastructure(plan, folder, print)
        printer = LogPrinter(make_console(log), ["cache", "state", "broker"], frozenset())
        supervisor = Supervisor(printer.emit, printer.say)
        try:
            await supervisor.start(infrastructure.processes)
            reviews = StreamSpec(source=Source(topic="reviews.raw"))
            settings = service_settings(plan)
            assert await write_streams(settings, {"reviews": reviews}) == ["default", "reviews"]
            redis = connect(settings.state_url, timeout_seconds=5)
            assert await Registry(redis, Keys()).get("reviews") == reviews
            await redis.aclose()
        finally:
            await supervisor.stop()
    assert infrastructure.vector_search


def test_parts_that_are_elsewhere_are_not_started(tmp_path: Path) -> None:
    outside = {"REDIS_URL": "redis://127.0.0.1:6379/0", "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    plan = plan_stack(outside, ports=Ports())
    with locked(tmp_path) as folder:
        assert build_infrastructure(plan, folder, print).processes == ()


def test_without_a_broker_only_redis_is_started(tmp_path: Path) -> None:
    plan = plan_stack({}, ports=Ports(), kafka=KafkaChoice.NONE)
    with locked(tmp_path) as folder:
        infrastructure = build_infrastructure(plan, folder, print)
    assert [process.name for process in infrastructure.processes] == ["cache", "state"]


REVIEWS = StreamSpec(source=Source(topic="reviews.raw"))


def on_redis(state_url: str, prefix: str) -> Settings:
    return Settings(celery_result_backend=state_url, eventstream_prefix=prefix)


async def test_streams_of_another_installation_are_not_written_over(
    registry: Registry, state_url: str, prefix: str
) -> None:
    theirs = StreamSpec(source=Source(topic="theirs"))
    await registry.write({"reviews": theirs}, "ai/lease-1")

    with pytest.raises(ConfigurationError, match=r"'reviews' .* belongs to .*'ai/lease-1'"):
        await write_streams(on_redis(state_url, prefix), {"letters": REVIEWS})
    assert await registry.all() == {"reviews": theirs}

    # Without streams of its own it changes nothing about theirs.
    assert await write_streams(on_redis(state_url, prefix), {}) == ["default", "reviews"]


async def test_an_operator_that_has_no_stream_yet_would_delete_what_is_written(
    redis_client: AsyncRedis, keys: Keys, registry: Registry, state_url: str, prefix: str
) -> None:
    await redis_client.set(keys.owner, "ai/lease-1")

    with pytest.raises(ConfigurationError, match="installation 'ai/lease-1'"):
        await write_streams(on_redis(state_url, prefix), {"reviews": REVIEWS})
    assert await registry.all() == {}


async def test_an_operator_does_not_delete_what_a_local_stack_has_written(
    redis_client: AsyncRedis, keys: Keys, registry: Registry, state_url: str, prefix: str
) -> None:
    for _ in range(2):  # started again, it may write its own
        await write_streams(on_redis(state_url, prefix), {"reviews": REVIEWS})

    operator = StreamRegistry(redis_client, keys, clock=lambda: 0.0)
    with pytest.raises(ConfigurationError, match="TAKE_OVER_FROM='eventstream up'"):
        await operator.write({}, set(), "ai/lease-1")
    assert (await registry.all()).keys() == {"default", "reviews"}
