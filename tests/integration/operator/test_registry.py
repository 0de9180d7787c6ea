"""The registry is what the resources are, and one installation's."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from eventstream.errors import ConfigurationError
from eventstream.keys import Keys
from eventstream.redis_client import AsyncRedis, connect
from eventstream.registry import Registry
from eventstream.settings import Settings
from eventstream.spec import StreamSpec, WorkerScaling
from eventstream_operator.act.registry import StreamRegistry
from tests.support.redis_server import free_port

HERE = "ai/lease-1"


def a_registry(redis: AsyncRedis, keys: Keys) -> StreamRegistry:
    """As a newly started operator has it."""
    return StreamRegistry(redis, keys, clock=lambda: 0.0)


def a_spec(most: int = 10) -> StreamSpec:
    return StreamSpec.model_validate({"scaling": {"workers": WorkerScaling(max=most)}})


async def test_resources_are_written_and_what_has_none_is_deleted(
    redis_client: AsyncRedis, keys: Keys, registry: Registry
) -> None:
    ours = a_registry(redis_client, keys)
    await ours.write({"a": a_spec(), "b": a_spec()}, {"a", "b"}, HERE)
    await ours.write({"a": a_spec(7)}, {"a"}, HERE)
    assert await registry.all() == {"a": a_spec(7)}
    assert await registry.generation("b") == 2  # A tombstone: what waits there fails and is told.


async def test_a_restarted_operator_deletes_what_went_while_it_was_away(
    redis_client: AsyncRedis, keys: Keys, registry: Registry
) -> None:
    await a_registry(redis_client, keys).write({"a": a_spec(), "b": a_spec()}, {"a", "b"}, HERE)
    await a_registry(redis_client, keys).write({"a": a_spec()}, {"a"}, HERE)
    assert (await registry.all()).keys() == {"a"}


async def test_a_resource_that_cant_be_read_keeps_its_last_spec(
    redis_client: AsyncRedis, keys: Keys, registry: Registry
) -> None:
    ours = a_registry(redis_client, keys)
    await ours.write({"a": a_spec()}, {"a"}, HERE)
    await ours.write({}, {"a"}, HERE)
    assert await registry.all() == {"a": a_spec()}


async def test_the_services_default_stream_stays_until_a_resource_of_that_name_is_deleted(
    redis_client: AsyncRedis, keys: Keys, registry: Registry
) -> None:
    await registry.ensure_default(Settings())
    ours = a_registry(redis_client, keys)
    await ours.write({}, set(), HERE)
    assert (await registry.all()).keys() == {"default"}
    await ours.write({"default": a_spec()}, {"default"}, HERE)
    await ours.write({}, set(), HERE)
    assert await registry.all() == {}


async def test_a_second_installation_is_told_who_the_first_is(
    redis_client: AsyncRedis, keys: Keys
) -> None:
    first, second = a_registry(redis_client, keys), a_registry(redis_client, keys)
    await first.write({"a": a_spec()}, {"a"}, HERE)
    with pytest.raises(ConfigurationError, match="installation 'ai/lease-1'"):
        await second.write({"b": a_spec()}, {"b"}, "other/lease-2")


async def test_the_streams_of_an_installation_that_is_away_for_a_moment_stay_its_own(
    redis_client: AsyncRedis, keys: Keys, registry: Registry
) -> None:
    first = a_registry(redis_client, keys)
    await first.write({"a": a_spec(), "default": a_spec()}, {"a", "default"}, HERE)
    await first.release(HERE)  # its pod is being replaced, or was evicted

    second = a_registry(redis_client, keys)
    with pytest.raises(ConfigurationError, match=r"the streams a, default belong to .*ai/lease-1"):
        await second.write({"default": a_spec(7)}, {"default"}, "other/lease-2")

    assert await registry.all() == {"a": a_spec(), "default": a_spec()}


async def test_streams_are_taken_over_from_who_is_named(
    redis_client: AsyncRedis, keys: Keys, registry: Registry
) -> None:
    first = a_registry(redis_client, keys)
    await first.write({"a": a_spec(), "b": a_spec()}, {"a", "b"}, HERE)
    second = StreamRegistry(redis_client, keys, clock=lambda: 0.0, take_over_from=HERE)
    with pytest.raises(ConfigurationError, match="installation 'ai/lease-1'"):
        await second.write({"b": a_spec()}, {"b"}, "other/lease-2")  # it is at work

    await first.release(HERE)
    await second.write({"b": a_spec()}, {"b"}, "other/lease-2")

    assert await registry.owners() == {"b": "other/lease-2"}
    assert await registry.generation("b") == 1, "nothing about it changed"


async def test_streams_of_earlier_versions_become_the_operators_own(
    redis_client: AsyncRedis, keys: Keys, registry: Registry
) -> None:
    await registry.write({"a": a_spec(), "unreadable": a_spec(), "gone": a_spec()})

    await a_registry(redis_client, keys).write({"a": a_spec()}, {"a", "unreadable"}, HERE)

    assert await registry.owners() == {"a": HERE, "unreadable": HERE}
    assert (await registry.all()).keys() == {"a", "unreadable"}


async def test_a_deleted_streams_name_is_free(
    redis_client: AsyncRedis, keys: Keys, registry: Registry
) -> None:
    first = a_registry(redis_client, keys)
    await first.write({"a": a_spec()}, {"a"}, HERE)
    await first.write({}, set(), HERE)
    await first.release(HERE)

    await a_registry(redis_client, keys).write({"a": a_spec()}, {"a"}, "other/lease-2")

    assert await registry.owners() == {"a": "other/lease-2"}


async def test_a_lease_that_was_deleted_and_made_anew_does_not_lock_its_operator_out(
    redis_client: AsyncRedis, keys: Keys, registry: Registry
) -> None:
    ours, foreign = a_registry(redis_client, keys), a_registry(redis_client, keys)
    await ours.write({"a": a_spec()}, {"a"}, HERE)
    await ours.write({"a": a_spec(7)}, {"a"}, "ai/lease-1-again")
    assert await redis_client.get(keys.owner) == b"ai/lease-1-again"
    assert await registry.owners() == {"a": "ai/lease-1-again"}
    with pytest.raises(ConfigurationError):
        await foreign.write({"b": a_spec()}, {"b"}, HERE)


async def test_a_redis_that_is_away_is_made_good_later(keys: Keys) -> None:
    client = connect(f"redis://127.0.0.1:{free_port()}/2", timeout_seconds=1)
    await a_registry(client, keys).write({"a": a_spec()}, {"a"}, HERE)
    await client.aclose()


async def test_a_registry_with_a_name_that_is_no_text_is_written_all_the_same(
    redis_client: AsyncRedis, keys: Keys, registry: Registry
) -> None:
    await a_registry(redis_client, keys).write({"a": a_spec()}, {"a"}, HERE)
    [packed] = await redis_client.hvals(keys.streams)
    await redis_client.hset(keys.streams, b"\xff", packed)

    await a_registry(redis_client, keys).write({"a": a_spec(7)}, {"a"}, HERE)

    assert await registry.all() == {"a": a_spec(7)}


async def test_a_registry_that_can_not_be_written_for_any_reason_stops_no_pass(
    redis_client: AsyncRedis, keys: Keys
) -> None:
    # The claim is read as text.
    await redis_client.set(keys.owner, b"\xff")

    with capture_logs() as lines:
        await a_registry(redis_client, keys).write({"a": a_spec()}, {"a"}, HERE)

    assert [line["event"] for line in lines] == ["registry_not_written"]
