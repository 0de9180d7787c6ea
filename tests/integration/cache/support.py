"""Embedders and queries for the cache's tests. Vectors are written down, so distances are known."""

from collections.abc import Mapping, Sequence

import numpy as np

from eventstream.cache.contract import CacheEntry, CacheQuery, CacheScope, FloatArray, Policy
from eventstream.errors import EventStreamError

SCOPE = CacheScope("reviews", "classification", "gpt-4o-mini", "v1", "p1")


class WrittenVectors:
    """An embedder that knows its texts' angles (radians) and counts its calls."""

    name = "test/angles"
    dimension = 4

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
