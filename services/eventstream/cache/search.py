"""Finding the nearest earlier question: vectors, searches, and the indexes they run on.

What is found is only a candidate; the policy decides about it. A server without vector search
turns this part off, says so, and is looked at again after a while.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from redis.exceptions import ResponseError

from eventstream import metrics
from eventstream.cache.contract import CacheAnswer, CacheQuery, Embedder, Embedding
from eventstream.cache.embeddings import EmbeddingCache
from eventstream.cache.entries import read_candidate, search_command
from eventstream.cache.index import VectorIndex, is_missing_index, model_digest
from eventstream.cache.keys import CacheKeys
from eventstream.cache.plan import SearchPlan
from eventstream.cache.policy import decide
from eventstream.cache.server import REDIS_FAILURES, BoundedPipelines, search_node, unavailable
from eventstream.cache.similarity import threshold_for
from eventstream.cache.trust import Trust
from eventstream.errors import EventStreamError

_SEARCHES_AT_ONCE: Final = 32
_RETRY_SECONDS: Final = 30.0
_log = logging.getLogger(__name__)


class Searcher:
    """The searches of one process.

    `available` turns False once the server turned out to have no vector search, and `reason` then
    says why, for a person.
    """

    def __init__(
        self,
        client: Any,
        keys: CacheKeys,
        pipelines: BoundedPipelines,
        *,
        timeout_seconds: float,
        embedding_ttl_seconds: int,
        hnsw_from_entries: int,
        graph_from_entries: int,
        monotonic: Callable[[], float],
    ) -> None:
        self._client = client
        self._keys = keys
        self._pipelines = pipelines
        self._timeout_seconds = timeout_seconds
        self._embedding_ttl_seconds = embedding_ttl_seconds
        self._hnsw_from_entries = hnsw_from_entries
        self._monotonic = monotonic
        self._indexes: dict[str, VectorIndex] = {}
        self._ready: set[str] = set()
        self._plan = SearchPlan(graph_from_entries=graph_from_entries, monotonic=monotonic)
        self._retry_at = 0.0
        self.available = True
        self.reason = ""

    async def search(
        self,
        queries: list[CacheQuery],
        embedder: Embedder,
        trust_of: Callable[[CacheQuery], Trust],
        kept: Sequence[Any] | None,
    ) -> list[CacheAnswer]:
        """The answers of queries without an exact hit, in order. Never raises an error.

        `kept`: what lies under each query's `vector_keys`; None where nobody has looked.
        """
        problem = await self._prepare(embedder)
        if problem:
            return [CacheAnswer.miss(query, problem) for query in queries]
        embeddings = self._embeddings(embedder)
        if kept is None:
            texts = list({query.text: None for query in queries})
            pipeline = self._pipelines.new()
            embeddings.append_reads(pipeline, texts)
            kept, problem = await self._execute(pipeline, "embeddings")
            if kept is None:
                return [CacheAnswer.miss(query, problem) for query in queries]
        else:
            texts = [query.text for query in queries]
        known = embeddings.read(texts, kept)
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        fresh: dict[str, Embedding] = {}
        if missing:
            try:
                fresh = await embeddings.embed(missing)
            except (EventStreamError, OSError) as error:
                metrics.CACHE_ERRORS.labels("embed").inc()
                _log.warning("no embeddings for %d texts: %s", len(missing), error)
                problem = f"the embedding model did not answer: {error}"
        vectors = known | fresh
        answers: list[CacheAnswer] = []
        for start in range(0, len(queries), _SEARCHES_AT_ONCE):
            chunk = queries[start : start + _SEARCHES_AT_ONCE]
            answers += await self._search_chunk(
                chunk, embeddings, vectors, fresh, problem, trust_of
            )
            fresh = {}
        return answers

    def vector_keys(self, queries: Sequence[CacheQuery], embedder: Embedder) -> list[str]:
        """Where the vectors of the queries' texts are kept."""
        embeddings = self._embeddings(embedder)
        return [embeddings.key(query.text) for query in queries]

    async def check(self) -> bool:
        """Ask the server whether it has vector search; sets and returns `available`."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                node = await search_node(self._client)
                await self._client.execute_command("FT._LIST", **node)
        except ResponseError as error:
            self._off(error)
        except REDIS_FAILURES:
            pass  # Away is not the same as without search: what was known stays.
        else:
            self._on()
        return self.available

    async def maintain(self) -> None:
        """Rebuild indexes that have grown."""
        for model, index in list(self._indexes.items()):
            try:
                if await index.grow():
                    self._plan.forget(model)
            except REDIS_FAILURES as error:
                _log.warning("the vector index could not be rebuilt now: %s", error)

    async def _search_chunk(
        self,
        queries: list[CacheQuery],
        embeddings: EmbeddingCache,
        vectors: dict[str, Embedding],
        fresh: dict[str, Embedding],
        embed_problem: str,
        trust_of: Callable[[CacheQuery], Trust],
    ) -> list[CacheAnswer]:
        searched = [query for query in queries if query.text in vectors]
        replies: Sequence[Any] | None = None
        search_problem = ""
        if searched:
            replies, search_problem = await self._ask(searched, embeddings, vectors, fresh)
        reply_of = iter(replies or [])
        answers = []
        for query in queries:
            embedding = vectors.get(query.text)
            if embedding is None:
                answers.append(CacheAnswer.miss(query, embed_problem))
                continue
            reply = next(reply_of, None)
            if isinstance(reply, Exception):
                self._failed(embeddings.model, reply)
            answer = decide(query, embedding, read_candidate(reply), trust_of(query))
            answers.append(replace(answer, unavailable=search_problem))
        return answers

    async def _ask(
        self,
        queries: list[CacheQuery],
        embeddings: EmbeddingCache,
        vectors: dict[str, Embedding],
        fresh: dict[str, Embedding],
    ) -> tuple[Sequence[Any] | None, str]:
        """A reply for each query, and then others; or None and why."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                node = await search_node(self._client)
        except REDIS_FAILURES as error:
            metrics.CACHE_ERRORS.labels("search").inc()
            return None, unavailable(error)
        model = embeddings.model
        alias = self._indexes[model].alias
        pipeline = self._pipelines.new()
        for query in queries:
            vector = vectors[query.text].vector
            graph = self._plan.graph(model, query)
            command = search_command(alias, model, query, vector, graph=graph)
            pipeline.execute_command(*command, **node)
        # The searches come first, so that answers do not wait for vectors to be kept.
        embeddings.append_writes(pipeline, fresh)
        before = len(pipeline)
        looks = self._plan.append_looks(pipeline, alias, model, queries, node)
        replies, problem = await self._execute(pipeline, "search")
        if replies is None:
            # Perhaps because too much was searched along the graph: see again how large scopes are.
            self._plan.forget(model)
        else:
            self._plan.read(looks, replies[before:])
        return replies, problem

    def _embeddings(self, embedder: Embedder) -> EmbeddingCache:
        return EmbeddingCache(self._keys, embedder, self._embedding_ttl_seconds)

    async def _prepare(self, embedder: Embedder) -> str:
        """Make sure that there is an index; "" or why there is none."""
        model = model_digest(embedder.name, embedder.dimension)
        if model in self._ready:
            return ""
        if not self.available and self._monotonic() < self._retry_at:
            return self.reason
        index = self._indexes.get(model)
        if index is None:
            index = VectorIndex(
                self._client,
                self._keys,
                model,
                embedder.dimension,
                hnsw_from_entries=self._hnsw_from_entries,
            )
            self._indexes[model] = index
            threshold = threshold_for(embedder.name, "guarded")
            if not threshold.calibrated:
                _log.warning(
                    "similarity threshold of streams that name none: %s", threshold.explanation
                )
        try:
            async with asyncio.timeout(self._timeout_seconds):
                ready = await index.ensure()
        except ResponseError as error:
            self._off(error)
            return self.reason
        except REDIS_FAILURES as error:
            metrics.CACHE_ERRORS.labels("index").inc()
            return unavailable(error)
        if not ready:
            return "another process is making the vector index"
        self._on()
        self._ready.add(model)
        return ""

    def _failed(self, model: str, error: Exception) -> None:
        metrics.CACHE_ERRORS.labels("search").inc()
        if is_missing_index(error):
            # The server was emptied: the next look-up makes the index again.
            self._ready.discard(model)
        elif self._plan.refused(error):
            _log.debug("the server chooses by itself how it searches: %s", error)

    def _on(self) -> None:
        self.available, self.reason = True, ""
        metrics.CACHE_SEMANTIC_AVAILABLE.set(1)

    def _off(self, error: Exception) -> None:
        if self.available:
            _log.warning("semantic cache off, exact hits still work: %s", error)
        self.available = False
        self.reason = (
            "the cache's Redis has no usable vector search, so only exact hits work"
            f" ({error}); use Redis 8, Redis Stack or the embedded Redis, database 0"
        )
        self._retry_at = self._monotonic() + _RETRY_SECONDS
        metrics.CACHE_SEMANTIC_AVAILABLE.set(0)

    async def _execute(self, pipeline: Any, call: str) -> tuple[list[Any] | None, str]:
        replies, problem = await self._pipelines.execute(pipeline)
        if replies is None:
            metrics.CACHE_ERRORS.labels(call).inc()
        return replies, problem
