"""The real parts that benchmarks run on: Redis from the wheels, Apache Kafka, our own services.

Everything listens on 127.0.0.1, keeps its data in a folder that is removed at the end, and is ended
in the reverse order of its start.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import redis

from benchmarks.processes import Child, python
from benchmarks.provider import environment as provider_environment
from eventstream.embedded.apache_kafka import ApacheKafka
from eventstream.embedded.jars import default_cache_dir
from eventstream.embedded.redis import answers, cache_server, find_binaries, state_server

_LOWEST_PORT, _HIGHEST_PORT = 15_000, 32_000
_given: set[int] = set()


def free_port() -> int:
    """A port below the ephemeral range that nobody listens on; another one with each call."""
    start = _LOWEST_PORT + os.getpid() * 53 % (_HIGHEST_PORT - _LOWEST_PORT)
    for port in chain(range(start, _HIGHEST_PORT), range(_LOWEST_PORT, start)):
        if port in _given:
            continue
        with contextlib.closing(socket.socket()) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise RuntimeError(f"no free port between {_LOWEST_PORT} and {_HIGHEST_PORT}")


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A running server."""

    port: int
    pid: int

    def url(self, database: int) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"

    def client(self, database: int = 0) -> redis.Redis:
        """A plain client, for looking and for tidying up."""
        return redis.Redis(port=self.port, db=database)

    def commands(self) -> int:
        """Commands that the server has run so far, those inside scripts included."""
        with contextlib.closing(self.client()) as client:
            return int(client.info("stats")["total_commands_processed"])


@dataclass(slots=True)
class Parts:
    """What one benchmark has started."""

    folder: Path
    stack: ExitStack
    environment: dict[str, str] = field(default_factory=dict)
    children: dict[str, Child] = field(default_factory=dict)

    def start(self, name: str, argv: list[str], ready: str, **environment: str) -> Child:
        """A process that counts as started when its output holds `ready`."""
        child = Child(name, argv, self.folder / f"{name}.log", {**self.environment, **environment})
        self.stack.callback(child.stop)
        self.children[name] = child
        return child.wait_until(lambda: child.says(ready))

    def redis(self, name: str, *, search: bool = False, durable: bool = True) -> RedisServer:
        """A server as the local stack starts it; `durable`: with its append-only file."""
        port = free_port()
        binaries = find_binaries()
        make = cache_server if search else state_server
        spec = make(binaries, self.folder / name, port)
        argv = list(spec.argv)
        if not durable:
            argv[argv.index("--appendonly") + 1] = "no"
        child = Child(name, argv, self.folder / f"{name}.log")
        self.stack.callback(child.stop)
        self.children[name] = child
        child.wait_until(lambda: answers(port))
        return RedisServer(port, child.pid)

    def kafka(self) -> ApacheKafka:
        """One broker of Apache Kafka; the services are told where it is."""
        broker = ApacheKafka(
            self.folder / "kafka", free_port(), free_port(), cache_dir=default_cache_dir()
        )
        self.stack.callback(broker.stop)
        broker.start()
        self.environment["KAFKA_BOOTSTRAP_SERVERS"] = broker.bootstrap_servers
        return broker

    def provider(self, *arguments: str) -> Child:
        """The mock provider; the services started after it ask it."""
        port = free_port()
        child = self.start(
            "provider", python("benchmarks.provider", str(port), *arguments), "serving"
        )
        self.environment.update(provider_environment(port))
        return child

    def stores(self) -> tuple[RedisServer, RedisServer]:
        """Cache and state, two servers as in the local stack; the services are told."""
        cache, state = self.redis("cache", search=True), self.redis("state")
        self.environment.update(
            REDIS_URL=cache.url(0),
            CELERY_BROKER_URL=state.url(1),
            CELERY_RESULT_BACKEND=state.url(2),
            LOG_FORMAT="json",
        )
        return cache, state

    def worker(self, name: str = "worker", **environment: str) -> Child:
        """`eventstream worker`, as a user starts it."""
        return self.start(name, python("eventstream", "worker"), "worker_ready", **environment)

    def consumer(self, name: str = "consumer", **environment: str) -> Child:
        """`eventstream consumer`; it is ready when it has its partitions."""
        return self.start(name, python("eventstream", "consumer"), "assigned", **environment)

    def api(self, name: str = "api", **environment: str) -> tuple[Child, int]:
        """`eventstream api` and its port."""
        port = free_port()
        child = self.start(
            name,
            python("eventstream", "api"),
            '"ready"',
            API_PORT=str(port),
            **environment,
        )
        return child, port


@contextmanager
def parts(**environment: str) -> Iterator[Parts]:
    """An empty set of parts; ended, and its folder removed, at the end of the block."""
    folder = Path(tempfile.mkdtemp(prefix="eventstream-bench-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        made = Parts(folder, stack)
        made.environment.update(_settled(environment))
        yield made


def _settled(environment: Mapping[str, str]) -> dict[str, str]:
    # numpy's threads would take turns with the processes that are measured.
    return {"OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **environment}
