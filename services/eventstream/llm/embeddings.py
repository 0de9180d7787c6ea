"""Texts to unit vectors: the provider's embeddings, or the local model's.

The local model computes in the one thread that Models keeps for it: the event loop goes on
renewing leases meanwhile, and a second thread would only compete for the same core. A provider's
vectors go through the same limits and are counted in the same usage as its answers; the budget does
not hold them, because hits are answered on a spent budget too.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

import numpy as np

from eventstream.llm.call_spec import CallSpec, Tally
from eventstream.llm.calls import Calls
from eventstream.llm.client import ProviderClient
from eventstream.llm.contract import FloatArray, LocalModelProtocol
from eventstream.llm.cost import Tokens
from eventstream.llm.limits import Limit
from eventstream.llm.providers import Endpoint
from eventstream.llm.tokens import estimate_tokens
from eventstream.llm.transport import Sending
from eventstream.llm.wire import Vectors

EMBED_SECONDS: Final = 10.0
"""A look-up that takes longer costs more than the model call that it may save."""
MAX_TEXT_BYTES: Final = 24_000
"""About 8,000 tokens, what the embedding models take; the rest of a longer text is not seen."""
MAX_BATCH_TOKENS: Final = 200_000


@dataclass(frozen=True)
class LocalEmbedder:
    """The local model's vectors."""

    model: LocalModelProtocol
    executor: Executor

    @property
    def name(self) -> str:
        return self.model.embedding_name

    @property
    def dimension(self) -> int:
        return self.model.dimension

    @property
    def server(self) -> str:
        return ""

    async def embed(self, texts: Sequence[str]) -> FloatArray:
        """A (texts, dimension) float32 array of unit rows."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.executor, self.model.embed, list(texts))


@dataclass(frozen=True)
class ProviderEmbedder:
    """A provider's vectors, for one stream."""

    name: str
    dimension: int
    stream: str
    endpoint: Endpoint
    limit: Limit
    calls: Calls
    client: Callable[[], ProviderClient]
    clock: Callable[[], float]
    seconds: float = EMBED_SECONDS
    """How long it may take: a look-up costs no event its deadline."""

    @property
    def server(self) -> str:
        return self.endpoint.server

    async def embed(self, texts: Sequence[str]) -> FloatArray:
        """A (texts, dimension) float32 array of unit rows. Raises CallDeferred, CallFailed."""
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        spec = CallSpec(
            stream=self.stream,
            endpoint=self.endpoint,
            model=self.name,
            operation="embeddings",
            limit=self.limit,
            holder=uuid.uuid4().hex,
            deadline=self.clock() + self.seconds,
            patient=False,
        )
        tally = Tally()
        rows = []
        for batch in batches(texts, self.endpoint.facts.texts_a_batch):
            estimate = Tokens(prompt=sum(estimate_tokens(text) for text in batch))
            vectors = await self.calls.run(spec, estimate, self._send(batch), tally)
            rows.append(vectors.rows)
        return np.concatenate(rows)

    def _send(self, texts: list[str]) -> Callable[[float, Sending], Awaitable[Vectors]]:
        def send(timeout_seconds: float, sending: Sending) -> Awaitable[Vectors]:
            return self.client().embed(
                self.name,
                texts,
                self.dimension,
                timeout_seconds=timeout_seconds,
                sending=sending,
            )

        return send


def batches(texts: Sequence[str], texts_a_batch: int) -> Iterator[list[str]]:
    """The texts in order, cut to what a model reads, in batches that a provider takes."""
    batch: list[str] = []
    tokens = 0
    for text in texts:
        cut = text.encode("utf-8", "replace")[:MAX_TEXT_BYTES].decode("utf-8", "ignore")
        needed = estimate_tokens(cut)
        if batch and (len(batch) == texts_a_batch or tokens + needed > MAX_BATCH_TOKENS):
            yield batch
            batch, tokens = [], 0
        batch.append(cut)
        tokens += needed
    if batch:
        yield batch
