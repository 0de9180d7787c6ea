"""Embedders and queries for the cache's tests. Vectors are written down, so distances are known."""

import contextlib
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from eventstream.cache.contract import CacheEntry, CacheQuery, CacheScope, FloatArray, Policy
from eventstream.embedded.redis import find_binaries
from eventstream.errors import EventStreamError
from eventstream.redis_client import AsyncRedis
from tests.support.redis_server import free_port

SCOPE = CacheScope("reviews", "classification", "gpt-4o-mini", "v1", "p1")


class WrittenVectors:
    """An embedder that knows its texts' angles (radians) and counts its calls."""

    name = "test/angles"
    dimension = 4
    server = ""

    def __init__(self, angles: Mapping[str, float]) -> None:
        self._angles = angles
        self.calls: list[list[str]] = []

    async def embed(self, texts: Sequence[str]) -> FloatArray:
        self.calls.append(list(texts))
        angles = [self._angles[text] for text in texts]
        rows = [[np.cos(angle), np.sin(angle), 0.0, 0.0] for angle in angles]
        return np.array(rows, dtype=np.float32)


class OneVector:
    """An embedder for which all texts are alike."""

    name = "test/one"
    dimension = 4
    server = ""

    def __init__(self) -> None:
        self.calls = 0

    async def embed(self, texts: Sequence[str]) -> FloatArray:
        self.calls += 1
        return np.tile(np.array([1, 0, 0, 0], dtype=np.float32), (len(texts), 1))


class BrokenEmbedder(OneVector):
    """An embedder whose provider is away."""

    async def embed(self, texts: Sequence[str]) -> FloatArray:
        raise EventStreamError("the provider is away")


def query(
    text: str,
    *,
    scope: CacheScope = SCOPE,
    policy: Policy = "guarded",
    threshold: float | None = None,
) -> CacheQuery:
    return CacheQuery(text, scope, policy, threshold)


def entry(asked: CacheQuery, response: bytes = b"praise", ttl_seconds: int = 60) -> CacheEntry:
    return CacheEntry(asked, response, ttl_seconds)


async def command(client: AsyncRedis, *arguments: str | int) -> Any:
    """The reply to a command that the client has no method for."""
    return await client.execute_command(*arguments)  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class ClusterNode:
    """One server of a Redis Cluster."""

    port: int
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def cluster_node(folder: Path) -> Iterator[int]:
    """The port of a Redis Cluster: one node that owns all slots."""
    with cluster_nodes(folder, 1) as [node]:
        yield node.port


@contextlib.contextmanager
def cluster_nodes(folder: Path, count: int) -> Iterator[list[ClusterNode]]:
    """A Redis Cluster of so many nodes, each with its share of the slots and no replica."""
    binaries = find_binaries()
    with contextlib.ExitStack() as closing:
        nodes = []
        admins: list[redis.Redis] = []
        buses = []
        for _ in range(count):
            port, bus = free_port(), free_port()
            home = folder / str(port)
            home.mkdir()
            argv = [str(binaries.server), "--port", str(port), "--bind", "127.0.0.1"]
            argv += ["--dir", str(home), "--save", "", "--loadmodule", str(binaries.search_module)]
            argv += ["--cluster-enabled", "yes", "--cluster-port", str(bus)]
            with (home / "redis.log").open("ab") as log:
                process = subprocess.Popen(argv, stdout=log, stderr=log)
            closing.callback(process.wait, 20)
            closing.callback(process.terminate)
            retry = Retry(ConstantBackoff(0.05), 400)
            admin = closing.enter_context(contextlib.closing(redis.Redis(port=port, retry=retry)))
            nodes.append(ClusterNode(port, process))
            admins.append(admin)
            buses.append(bus)
        for number, admin in enumerate(admins):
            first, end = (16384 * each // count for each in (number, number + 1))
            admin.cluster("ADDSLOTSRANGE", first, end - 1)
            admin.cluster("SET-CONFIG-EPOCH", number + 1)
        for node, bus in zip(nodes[1:], buses[1:], strict=True):
            admins[0].cluster("MEET", "127.0.0.1", node.port, bus)
        for admin in admins:
            while admin.cluster("INFO")["cluster_state"] != "ok":
                pass
        yield nodes
