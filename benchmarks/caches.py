"""The semantic cache as a benchmark uses it: entries to fill it with, and what it is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import orjson

from benchmarks.streams import texts
from eventstream.answers import StoredAnswer
from eventstream.cache.contract import CacheEntry, CacheQuery, CacheScope, Embedding, FloatArray
from eventstream.cache.store import SemanticCache

SCOPE = CacheScope("bench", "sentiment_analysis", "bench-model", "v1", "parameters")
EMBEDDING_MODEL = "bench-embedding"
GREETING = "Hello! "
OTHER_GREETING = "Hi! "
JOINED_GREETING = "Hello, "
"""In the sentence itself, so that the guard has to read the whole of both texts."""
_GREETINGS = (GREETING, OTHER_GREETING, JOINED_GREETING)
AT_ONCE = 500


class KnownVectors:
    """An embedder that knows the vectors beforehand, so that only the cache is measured.

    A text and the same with a greeting lie close together: the vector of the second is that of the
    first, a little turned.
    """

    name = EMBEDDING_MODEL

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.server = ""

    async def embed(self, asked: Sequence[str]) -> FloatArray:
        """One unit row a text."""
        return np.stack([self.vector(text) for text in asked])

    def vector(self, text: str) -> FloatArray:
        """The unit vector of a text, made from its order number."""
        number = int(text.partition("(order ")[2][:7])
        source = np.random.default_rng(number)
        vector = source.standard_normal(self.dimension, dtype=np.float32)
        if text.startswith(_GREETINGS):
            vector += 0.1 * source.standard_normal(self.dimension, dtype=np.float32)
        unit: FloatArray = vector / np.linalg.norm(vector)
        return unit


def query(text: str, policy: str = "guarded") -> CacheQuery:
    """A look-up of a text in the benchmark's scope."""
    return CacheQuery(text, SCOPE, policy=policy, threshold=None)  # type: ignore[arg-type]


def response() -> bytes:
    """A stored answer, as the pipeline stores it."""
    stored = StoredAnswer(
        response="positive", model="bench-model", prompt_tokens=90, completion_tokens=12
    )
    return orjson.dumps(stored.model_dump())


def batches(first: int, count: int) -> Iterator[list[str]]:
    """The texts of so many entries, in batches."""
    for at in range(first, first + count, AT_ONCE):
        yield texts(min(AT_ONCE, first + count - at), at)


async def fill(cache: SemanticCache, first: int, count: int, embedder: KnownVectors | None) -> None:
    """Store so many more answers, with vectors or (None) without."""
    for batch in batches(first, count):
        kept = await cache.store(
            [
                CacheEntry(
                    query(text),
                    response(),
                    ttl_seconds=86_400,
                    embedding=Embedding(embedder.name, embedder.vector(text)) if embedder else None,
                )
                for text in batch
            ]
        )
        if kept != len(batch):
            raise RuntimeError("the cache did not keep all entries: this is no figure")
