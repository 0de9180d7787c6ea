"""The semantic cache over Redis: a whole claim looked up at once, answers kept for a while.

Nothing here ever costs an event. A server that is away, slow or without vector search makes
look-ups miss, within the time-out, and the answers say so. Only the calls that a person makes
(`clear`, `stats`, `histogram`) raise StoreUnavailable.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from redis.asyncio import RedisCluster
from redis.exceptions import ResponseError

from eventstream import metrics
from eventstream.cache.contract import (
    CacheAnswer,
    CacheEntry,
    CacheQuery,
    CacheStats,
    Embedder,
    Embedding,
)
from eventstream.cache.embeddings import EmbeddingCache
from eventstream.cache.entries import (
    append_exact_read,
    append_exact_reads,
    append_write,
    read_candidate,
    read_exact,
    read_together,
    read_writes,
    search_command,
)
from eventstream.cache.flight import FlightLease, Flights, FlightWait
from eventstream.cache.histogram import (
    HistogramWindow,
    PendingCounts,
    append_counts,
)
from eventstream.cache.housekeeping import (
    count_keys,
    read_indexes,
    read_windows,
    unlink_all,
)
from eventstream.cache.index import HNSW_FROM_ENTRIES, VectorIndex, is_missing_index, model_digest
from eventstream.cache.keys import CacheKeys
from eventstream.cache.policy import decide, wants_candidate
from eventstream.cache.server import REDIS_FAILURES, BoundedPipelines, search_node, unavailable
from eventstream.errors import EventStreamError
from eventstream.redis_client import AsyncRedis, reading_or_writing

_SEARCHES_AT_ONCE = 32
_RETRY_SEMANTIC_SECONDS = 30.0
_log = logging.getLogger(__name__)


class SemanticCache:
    """Earlier answers, given again where the policy allows it.

    One instance a process and event loop. `client`: redis.asyncio with `decode_responses=False`
    on database 0, which is the only one that vector search indexes, or a cluster's client. The
    embedder is handed to each look-up, because streams may use different ones.
    """

    def __init__(
        self,
        client: AsyncRedis | RedisCluster,
        *,
        prefix: str = "",
        timeout_seconds: float = 0.5,
        embedding_ttl_seconds: int = 86_400,
        hnsw_from_entries: int = HNSW_FROM_ENTRIES,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client: Any = client
        self._keys = CacheKeys(prefix)
        self._timeout_seconds = timeout_seconds
        self._embedding_ttl_seconds = embedding_ttl_seconds
        self._hnsw_from_entries = hnsw_from_entries
        self._clock = clock
        self._monotonic = monotonic
        self._indexes: dict[str, VectorIndex] = {}
        self._ready: set[str] = set()
        self._retry_semantic_at = 0.0
        self._counts = PendingCounts(self._keys)
        self._pipelines = BoundedPipelines(
            client, timeout_seconds=timeout_seconds, monotonic=monotonic
        )
        self._flights = Flights(self._pipelines, self._keys, clock=monotonic)
        self.semantic_available = True
        """False once the server turned out to have no vector search; looked at again by itself."""
        self.semantic_reason = ""
        """Why `semantic_available` is False, for a person."""

    # Looking up and storing

    async def look_up(
        self, queries: Sequence[CacheQuery], embedder: Embedder | None
    ) -> list[CacheAnswer]:
        """What the cache has for each query, in order; without an embedder only exact hits.

        One round trip for all exact hits. What is left takes one for the known vectors, at most
        one call of the embedder, and one for each 32 searches. Never raises an error.
        """
        started = self._monotonic()
        identities = [_identity(query) for query in queries]
        unique = {
            identity: query
            for identity, query in zip(identities, queries, strict=True)
            if query.policy != "disabled"
        }
        answers = await self._look_up_unique(list(unique.values()), embedder)
        by_identity = dict(zip(unique, answers, strict=True))
        result = [
            by_identity.get(identity) or CacheAnswer("miss", "off", query.key)
            for identity, query in zip(identities, queries, strict=True)
        ]
        self._count(queries, result)
        metrics.CACHE_LOOK_UP_SECONDS.observe(max(0.0, self._monotonic() - started))
        return result

    async def look_again(self, query: CacheQuery) -> CacheAnswer:
        """An exact look for a query that missed before; not counted a second time.

        For whoever has a lead or waited for one: between the look-up and the lead another leader
        may have stored the answer and left. Never raises an error.
        """
        return (await self._read_exact([query]))[0]

    async def store(self, entries: Sequence[CacheEntry]) -> int:
        """Keep answers; how many were kept (0 when the cache is away). Never raises an error.

        Contract: only whole answers. A failed one, or one cut off at its token limit, would be
        given again and again; the caller leaves it out.
        """
        if not entries:
            return 0
        pipeline = self._pipelines.new()
        for entry in entries:
            append_write(pipeline, self._keys, entry)
        replies, _ = await self._execute(pipeline, "store")
        if replies is None:
            return 0
        kept = read_writes(replies)
        if kept < len(entries):
            metrics.CACHE_ERRORS.labels("store").inc(len(entries) - kept)
        return kept

    async def claim_flights(self, keys: Sequence[str]) -> list[FlightLease | FlightWait]:
        """For each key of a miss (`CacheAnswer.key`): the lead to ask the model, or a wait.

        Claim right before asking, and `look_again` with the lead in hand.
        """
        return await self._flights.claim(keys)

    async def claim_flight(self, key: str) -> FlightLease | FlightWait:
        """The lead to ask the model this question, or a wait for whoever has it."""
        return (await self._flights.claim([key]))[0]

    async def _look_up_unique(
        self, queries: list[CacheQuery], embedder: Embedder | None
    ) -> list[CacheAnswer]:
        if not queries:
            return []
        answers = await self._read_exact(queries)
        left = [
            position
            for position, query in enumerate(queries)
            if answers[position].kind == "miss"
            and not answers[position].unavailable
            and wants_candidate(query)
        ]
        if embedder is not None and left:
            found = await self._search([queries[position] for position in left], embedder)
            for position, answer in zip(left, found, strict=True):
                answers[position] = answer
        return answers

    async def _read_exact(self, queries: list[CacheQuery]) -> list[CacheAnswer]:
        pipeline = self._pipelines.new()
        in_one_step = len(queries) > 1 and not isinstance(self._client, RedisCluster)
        if in_one_step:
            append_exact_reads(pipeline, self._keys, queries)
        else:
            for query in queries:
                append_exact_read(pipeline, self._keys, query)
        counts = self._counts.take()
        append_counts(pipeline, counts)
        replies, problem = await self._execute(pipeline, "look_up")
        if replies is None:
            self._counts.give_back(counts)
            return [_miss(query, problem) for query in queries]
        read = read_together(replies[0], len(queries)) if in_one_step else replies[: len(queries)]
        answers = []
        for query, reply in zip(queries, read, strict=True):
            response = read_exact(reply)
            if response is None:
                answers.append(_miss(query, _refusal(reply)))
            else:
                answers.append(CacheAnswer("exact", "exact", query.key, response, 1.0, 1.0))
        return answers

    async def _search(self, queries: list[CacheQuery], embedder: Embedder) -> list[CacheAnswer]:
        """The answers of queries without an exact hit."""
        problem = await self._prepare(embedder)
        if problem:
            return [_miss(query, problem) for query in queries]
        embeddings = EmbeddingCache(self._keys, embedder, self._embedding_ttl_seconds)
        texts = list({query.text: None for query in queries})
        pipeline = self._pipelines.new()
        embeddings.append_reads(pipeline, texts)
        replies, problem = await self._execute(pipeline, "embeddings")
        if replies is None:
            return [_miss(query, problem) for query in queries]
        known = embeddings.read(texts, replies)
        missing = [text for text in texts if text not in known]
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
            answers += await self._search_chunk(chunk, embeddings, vectors, fresh, problem)
            fresh = {}
        return answers

    async def _search_chunk(
        self,
        queries: list[CacheQuery],
        embeddings: EmbeddingCache,
        vectors: dict[str, Embedding],
        fresh: dict[str, Embedding],
        embed_problem: str,
    ) -> list[CacheAnswer]:
        alias = self._indexes[embeddings.model].alias
        pipeline = self._pipelines.new()
        node = await search_node(self._client)
        searched = [query for query in queries if query.text in vectors]
        for query in searched:
            vector = vectors[query.text].vector
            command = search_command(alias, embeddings.model, query, vector)
            pipeline.execute_command(*command, **node)
        # The searches come first, so that answers do not wait for vectors to be kept.
        embeddings.append_writes(pipeline, fresh)
        replies: list[Any] | None = None
        search_problem = ""
        if searched:
            replies, search_problem = await self._execute(pipeline, "search")
        reply_of = iter(replies or [])
        answers = []
        for query in queries:
            embedding = vectors.get(query.text)
            if embedding is None:
                answers.append(_miss(query, embed_problem))
                continue
            reply = next(reply_of, None)
            if isinstance(reply, Exception):
                self._search_failed(embeddings.model, reply)
            answer = decide(query, embedding, read_candidate(reply))
            answers.append(replace(answer, unavailable=search_problem))
        return answers

    # The vector index

    async def check(self) -> bool:
        """Ask the server whether it has vector search; sets and returns `semantic_available`."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                node = await search_node(self._client)
                await self._client.execute_command("FT._LIST", **node)
        except ResponseError as error:
            self._semantic_off(error)
        except REDIS_FAILURES:
            pass  # Away is not the same as without search: what was known stays.
        else:
            self._semantic_on()
        return self.semantic_available

    async def maintain(self) -> None:
        """Rebuild indexes that have grown; for a call every minute or so, by one task a process."""
        for index in list(self._indexes.values()):
            try:
                await index.grow()
            except REDIS_FAILURES as error:
                _log.warning("the vector index could not be rebuilt now: %s", error)

    async def _prepare(self, embedder: Embedder) -> str:
        """Make sure that there is an index; "" or why there is none."""
        model = model_digest(embedder.name, embedder.dimension)
        if model in self._ready:
            return ""
        if not self.semantic_available and self._monotonic() < self._retry_semantic_at:
            return self.semantic_reason
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
        try:
            async with asyncio.timeout(self._timeout_seconds):
                ready = await index.ensure()
        except ResponseError as error:
            self._semantic_off(error)
            return self.semantic_reason
        except REDIS_FAILURES as error:
            metrics.CACHE_ERRORS.labels("index").inc()
            return unavailable(error)
        if not ready:
            return "another process is making the vector index"
        self._semantic_on()
        self._ready.add(model)
        return ""

    def _search_failed(self, model: str, error: Exception) -> None:
        metrics.CACHE_ERRORS.labels("search").inc()
        if is_missing_index(error):
            # The server was emptied: the next look-up makes the index again.
            self._ready.discard(model)

    def _semantic_on(self) -> None:
        self.semantic_available, self.semantic_reason = True, ""
        metrics.CACHE_SEMANTIC_AVAILABLE.set(1)

    def _semantic_off(self, error: Exception) -> None:
        if self.semantic_available:
            _log.warning("semantic cache off, exact hits still work: %s", error)
        self.semantic_available = False
        self.semantic_reason = (
            "the cache's Redis has no usable vector search, so only exact hits work"
            f" ({error}); use Redis 8, Redis Stack or the embedded Redis, database 0"
        )
        self._retry_semantic_at = self._monotonic() + _RETRY_SEMANTIC_SECONDS
        metrics.CACHE_SEMANTIC_AVAILABLE.set(0)

    # For people

    async def clear(self, task_type: str | None = None, stream: str | None = None) -> int:
        """Remove answers (all, or those of a task type or stream); how many there were.

        Clearing everything removes the kept vectors too. Raises StoreUnavailable.
        """
        async with reading_or_writing("clearing the cache"):
            removed = await unlink_all(self._client, self._keys.entry_pattern(stream, task_type))
            if task_type is None and stream is None:
                await unlink_all(self._client, self._keys.embedding_pattern)
        return removed

    async def stats(self) -> CacheStats:
        """The state of the cache now. Raises StoreUnavailable."""
        async with reading_or_writing("reading the cache's state"):
            entries = await count_keys(self._client, self._keys.entry_pattern(None, None))
            indexes = {}
            if await self.check():
                indexes = await read_indexes(self._client, self._keys)
        return CacheStats(entries, self.semantic_available, self.semantic_reason, indexes)

    async def histogram(self, stream: str) -> list[HistogramWindow]:
        """What look-ups of `stream` met, by task type and hour, oldest first.

        Covers the last eight days; what this process counted since its last look-up is written
        first. Raises StoreUnavailable.
        """
        async with reading_or_writing("reading the histogram of similarities"):
            await self.flush()
            return await read_windows(self._client, self._keys, stream)

    async def flush(self) -> None:
        """Write the counts that wait for the next look-up; what fails stays pending."""
        counts = self._counts.take()
        pipeline = self._pipelines.new()
        if append_counts(pipeline, counts):
            replies, _ = await self._execute(pipeline, "flush")
            if replies is None:
                self._counts.give_back(counts)

    async def aclose(self) -> None:
        """Give up leads and write pending counts; the client stays open, it is the caller's."""
        await self._flights.aclose()
        await self.flush()

    # Inside

    def _count(self, queries: Sequence[CacheQuery], answers: Sequence[CacheAnswer]) -> None:
        now = self._clock()
        seen = Counter(
            (
                query.scope.stream,
                query.scope.task_type,
                answer.outcome,
                None if answer.kind == "exact" else answer.similarity,
                answer.refused_kinds,
            )
            for query, answer in zip(queries, answers, strict=True)
        )
        for (stream, task_type, outcome, similarity, refused_kinds), times in seen.items():
            metrics.CACHE_LOOK_UPS.labels(stream, task_type, outcome).inc(times)
            if outcome != "off":
                self._counts.add(
                    stream=stream,
                    task_type=task_type,
                    now_seconds=now,
                    outcome=outcome,
                    similarity=similarity,
                    refused_kinds=refused_kinds,
                    times=times,
                )

    async def _execute(self, pipeline: Any, call: str) -> tuple[list[Any] | None, str]:
        replies, problem = await self._pipelines.execute(pipeline)
        if replies is None:
            metrics.CACHE_ERRORS.labels(call).inc()
        return replies, problem


def _identity(query: CacheQuery) -> tuple[str, str, float | None]:
    return (query.key, query.policy, query.threshold)


def _miss(query: CacheQuery, problem: str = "") -> CacheAnswer:
    return CacheAnswer("miss", "miss", query.key, unavailable=problem)


def _refusal(reply: Any) -> str:
    """Why the server refused to read; a key that holds something else is just a miss."""
    if not isinstance(reply, Exception) or str(reply).startswith("WRONGTYPE"):
        return ""
    return unavailable(reply)
