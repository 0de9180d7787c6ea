"""The vectors of texts: from the cache where they are known, else from one call of the embedder."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from eventstream.cache.contract import Embedder, Embedding
from eventstream.cache.entries import read_vector, vector_bytes
from eventstream.cache.index import model_digest
from eventstream.cache.keys import CacheKeys, text_digest
from eventstream.cache.normalise import clean_text
from eventstream.errors import EventStreamError


class EmbeddingCache:
    """Builds commands and reads replies; whoever runs the pipeline decides about time-outs."""

    def __init__(self, keys: CacheKeys, embedder: Embedder, ttl_seconds: int) -> None:
        self._keys = keys
        self._embedder = embedder
        self._ttl_seconds = ttl_seconds
        self.model = model_digest(embedder.name, embedder.dimension)
        # Answers of two servers are in two scopes; the vectors of a text know no scope.
        at = f"@{embedder.server}" if embedder.server else ""
        self._kept_by = model_digest(embedder.name + at, embedder.dimension)

    def append_reads(self, pipeline: Any, texts: Sequence[str]) -> None:
        """Queue one command a text."""
        for text in texts:
            pipeline.get(self.key(text))

    def read(self, texts: Sequence[str], replies: Sequence[Any]) -> dict[str, Embedding]:
        """The known vectors, by text."""
        known: dict[str, Embedding] = {}
        for text, reply in zip(texts, replies, strict=True):
            vector = read_vector(reply, self._embedder.dimension)
            if vector is not None:
                known[text] = Embedding(self._embedder.name, vector)
        return known

    async def embed(self, texts: Sequence[str]) -> dict[str, Embedding]:
        """The vectors of `texts` from one call.

        Raises what the embedder raises, and EventStreamError where it broke its word.
        """
        vectors = await self._embedder.embed([clean_text(text) for text in texts])
        if vectors.shape != (len(texts), self._embedder.dimension):
            raise EventStreamError(
                f"{self._embedder.name} returned vectors of shape {vectors.shape} for"
                f" {len(texts)} texts; {self._embedder.dimension} numbers each were expected"
            )
        return {
            text: Embedding(self._embedder.name, np.asarray(vector, dtype=np.float32))
            for text, vector in zip(texts, vectors, strict=True)
        }

    def append_writes(self, pipeline: Any, embeddings: dict[str, Embedding]) -> int:
        """Queue one command a vector; how many that were."""
        for text, embedding in embeddings.items():
            pipeline.set(self.key(text), vector_bytes(embedding.vector), ex=self._ttl_seconds)
        return len(embeddings)

    def key(self, text: str) -> str:
        """Where the vector of `text` is kept."""
        return self._keys.embedding(self._kept_by, text_digest(clean_text(text)))
