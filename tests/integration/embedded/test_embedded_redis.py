"""The embedded Redis pair: what each server is set to, and data that outlives a restart."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from eventstream.embedded.process import LocalProcess, ProcessSpec
from eventstream.embedded.redis import (
    HOST,
    RedisBinaries,
    answers,
    cache_server,
    find_binaries,
    state_server,
)

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
        assert state.config_get("appendonly") == {"appendonly": "yes"}


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
