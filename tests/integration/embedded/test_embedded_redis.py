"""The embedded Redis pair: what each server is set to, and data that outlives a restart."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from tests.support.events import an_answer, an_event

from eventstream.claims import Arrival, Outcome
from eventstream.embedded.process import LocalProcess, ProcessSpec
from eventstream.embedded.redis import (
    HOST,
    RedisBinaries,
    answers,
    cache_server,
    find_binaries,
    state_server,
)
from eventstream.errors import StoreUnavailable
from eventstream.inbox import Inbox
from eventstream.keys import QUEUE_HTTP, Keys
from eventstream.redis_client import connect
from eventstream.settings import Settings
from eventstream.store_checks import warn_about_stores

Start = Callable[[ProcessSpec], LocalProcess]


def free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[LocalProcess] = []

    def start_one(spec: ProcessSpec) -> LocalProcess:
        process = LocalProcess(spec, tmp_path / f"{spec.name}.log")
        running.append(process)
        process.start()
        return process

    yield start_one
    for process in running:
        process.stop()


def client(port: int) -> redis.Redis:
    return redis.Redis(host=HOST, port=port, decode_responses=True)


def test_the_cache_server_has_vector_search_and_evicts(start: Start, tmp_path: Path) -> None:
    port = free_port()
    start(cache_server(find_binaries(), tmp_path / "cache", port))
    with client(port) as cache:
        assert cache.execute_command("FT._LIST") == []
        assert cache.config_get("maxmemory-policy") == {"maxmemory-policy": "allkeys-lfu"}
        assert cache.config_get("maxmemory") == {"maxmemory": str(512 * 1024 * 1024)}
        assert cache.config_get("bind") == {"bind": "127.0.0.1"}


def test_the_state_server_never_evicts(start: Start, tmp_path: Path) -> None:
    port = free_port()
    start(state_server(find_binaries(), tmp_path / "state", port))
    with client(port) as state:
        assert state.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert state.config_get("maxmemory") == {"maxmemory": str(1024 * 1024 * 1024)}
        assert state.config_get("appendonly") == {"appendonly": "yes"}


async def test_the_pair_is_set_as_it_should_be_and_a_server_without_a_bound_is_told(
    start: Start, tmp_path: Path
) -> None:
    cache, state = free_port(), free_port()
    start(cache_server(find_binaries(), tmp_path / "cache", cache))
    start(state_server(find_binaries(), tmp_path / "state", state))
    settings = Settings(
        redis_url=f"redis://{HOST}:{cache}/0",
        celery_broker_url=f"redis://{HOST}:{state}/1",
        celery_result_backend=f"redis://{HOST}:{state}/2",
    )
    assert await warn_about_stores(settings) == []

    with client(state) as server:
        server.config_set("maxmemory", 0)
    [advice] = await warn_about_stores(settings)
    assert "results and inbox has no bound" in advice


async def test_a_state_server_refuses_before_it_is_full_and_takes_more_once_it_is_drained(
    start: Start, tmp_path: Path
) -> None:
    port = free_port()
    start(state_server(find_binaries(), tmp_path / "state", port, memory_mb=64))
    async with connect(f"redis://{HOST}:{port}/2", timeout_seconds=10) as server:
        inbox = Inbox(server, Keys(), result_ttl_seconds=3600, lease_seconds=30)

        async def accept(megabytes: int, name: str) -> None:
            for number in range(50 * megabytes):
                event = an_event(f"{name}-{number}", "long " * 4_000)
                assert (await inbox.accept([Arrival(event)]))[0].outcome is Outcome.ACCEPTED

        with pytest.raises(StoreUnavailable, match="Redis is full"):
            await accept(64, "flood")
        assert 50 < (await server.info("memory"))["used_memory"] / 1024**2 < 64

        while held := (await inbox.claim(QUEUE_HTTP, "me", 100)).fresh:
            await inbox.finish([an_answer(each) for each in held])
        await accept(10, "later")


def test_without_a_search_module_the_cache_server_still_starts(
    start: Start, tmp_path: Path
) -> None:
    port = free_port()
    plain = RedisBinaries(server=find_binaries().server, search_module=None)
    start(cache_server(plain, tmp_path / "cache", port))
    with client(port) as cache:
        assert cache.ping()
        assert "search" not in [module["name"] for module in cache.module_list()]


def test_data_outlives_a_stop_and_a_kill(start: Start, tmp_path: Path) -> None:
    port = free_port()
    process = start(state_server(find_binaries(), tmp_path / "state", port))
    with client(port) as state:
        state.set("before the stop", "there")
    process.stop()
    process.start()
    with client(port) as state:
        state.set("before the kill", "there")
    process.kill()
    process.start()
    with client(port) as state:
        assert state.mget("before the stop", "before the kill") == ["there", "there"]


def test_a_server_that_is_not_there_does_not_answer() -> None:
    assert not answers(free_port())
