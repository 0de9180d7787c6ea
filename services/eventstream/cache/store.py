"""The semantic cache over Redis: a whole claim looked up at once, answers kept for a while.

Nothing here ever costs an event. A server that is away, slow or without vector search makes
look-ups miss, within the time-out, and the answers say so. Only the calls that a person makes
(`clear`, `stats`, `histogram`) raise StoreUnavailable.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from redis.asyncio import RedisCluster

from eventstream import metrics
from eventstream.cache.contract import (
    CacheAnswer,
    CacheEntry,
    CacheQuery,
    CacheStats,
    Embedder,
)
from eventstream.cache.entries import (
    append_exact_read,
    append_exact_reads,
    append_reads_with_vectors,
    append_write,
    exact_answer,
    read_kept_vector,
    read_together,
    read_writes,
)
from eventstream.cache.evidence import EvidenceBook
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
from eventstream.cache.index import HNSW_FROM_ENTRIES
from eventstream.cache.keys import CacheKeys
from eventstream.cache.plan import GRAPH_FROM_ENTRIES
from eventstream.cache.policy import wants_candidate
from eventstream.cache.search import Searcher
from eventstream.cache.server import BoundedPipelines
from eventstream.redis_client import AsyncRedis, reading_or_writing

_VECTORS_AT_ONCE: Final = 8
"""Up to so many texts their kept vectors are read with their answers: a round trip fewer for a few
texts. In a claim most have an answer, and their vectors would be looked for in vain.
"""


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
        graph_from_entries: int = GRAPH_FROM_ENTRIES,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client: Any = client
        self._clustered = isinstance(client, RedisCluster)
        self._keys = CacheKeys(prefix)
        self._clock = clock
        self._monotonic = monotonic
        self._counts = PendingCounts(self._keys)
        self._evidence = EvidenceBook(self._keys, clock=clock, monotonic=monotonic)
        self._pipelines = BoundedPipelines(
            client, timeout_seconds=timeout_seconds, monotonic=monotonic
        )
        self._searcher = Searcher(
            client,
            self._keys,
            self._pipelines,
            timeout_seconds=timeout_seconds,
            embedding_ttl_seconds=embedding_ttl_seconds,
            hnsw_from_entries=hnsw_from_entries,
            graph_from_entries=graph_from_entries,
            monotonic=monotonic,
        )
        self._flights = Flights(self._pipelines, self._keys, clock=monotonic)

    @property
    def semantic_available(self) -> bool:
        """False once the server turned out to have no vector search; looked at again by itself."""
        return self._searcher.available

    @property
    def semantic_reason(self) -> str:
        """Why `semantic_available` is False, for a person."""
        return self._searcher.reason

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
        self._counts.count_look_ups(queries, result, now_seconds=self._clock())
        metrics.CACHE_LOOK_UP_SECONDS.observe(max(0.0, self._monotonic() - started))
        return result

    async def look_again(self, query: CacheQuery) -> CacheAnswer:
        """An exact look for a query that missed before; not counted a second time.

        For whoever waited for a lead. A slow server is asked again. Never raises an error.
        """

        def build() -> Any:
            pipeline = self._pipelines.new()
            append_exact_read(pipeline, self._keys, query)
            return pipeline

        replies, problem = await self._execute_patiently(build, "look_up")
        if replies is None:
            return CacheAnswer.miss(query, problem)
        return exact_answer(query, replies[0])

    async def store(self, entries: Sequence[CacheEntry], flight: FlightLease | None = None) -> int:
        """Keep answers; how many were kept (0 when the cache is away). Never raises an error.

        Contract: only whole answers. A failed one, or one cut off at its token limit, would be
        given again and again; the caller leaves it out. What was learned travels along, and
        `flight`, the lead that this answer was asked under, is given up with it.
        """
        if not entries:
            return 0

        def build() -> Any:
            pipeline = self._pipelines.new()
            for entry in entries:
                append_write(pipeline, self._keys, entry)
            self._tell_evidence(pipeline)
            if flight is not None and not self._clustered:
                self._flights.append_release(pipeline, flight)
            return pipeline

        replies, _ = await self._execute_patiently(build, "store")
        if replies is None:
            return 0
        if flight is not None and not self._clustered:
            self._flights.released(flight)
        kept = read_writes(replies, len(entries))
        if kept < len(entries):
            metrics.CACHE_ERRORS.labels("store").inc(len(entries) - kept)
        return kept

    def learn(self, query: CacheQuery, looked_up: CacheAnswer, *, agreed: bool) -> None:
        """Count whether the model's answer to `query` was its candidate's too.

        Costs no round trip: it leaves with the next `store`, `look_up` or `flush`.
        """
        if looked_up.pair is not None and looked_up.embedding is not None:
            model = looked_up.embedding.model
            self._evidence.add(query, model, looked_up.pair, agreed=agreed)

    async def claim_flight(self, key: str) -> FlightLease | FlightWait:
        """The lead to ask the model this question, or a wait for whoever has it."""
        return (await self._flights.claim([key]))[0]

    async def lead(self, query: CacheQuery) -> tuple[FlightLease | FlightWait, CacheAnswer]:
        """`claim_flight` for a query that missed, and an exact look with the lead in hand.

        Between the look-up and the lead another leader may have stored the answer and left. Not
        counted a second time. Never raises an error.
        """
        if self._clustered:
            # Two keys are two nodes there, whose replies have no order.
            flight = await self.claim_flight(query.key)
            if not isinstance(flight, FlightLease):
                return flight, CacheAnswer.miss(query)
            try:
                return flight, await self.look_again(query)
            except BaseException:
                await flight.release()  # Nobody else has it yet, and it would be renewed for ever.
                raise
        flight, reply = await self._flights.claim_and_read(
            query.key, lambda pipeline: append_exact_read(pipeline, self._keys, query)
        )
        return flight, CacheAnswer.miss(query) if reply is None else exact_answer(query, reply)

    async def _look_up_unique(
        self, queries: list[CacheQuery], embedder: Embedder | None
    ) -> list[CacheAnswer]:
        if not queries:
            return []
        answers, kept = await self._read_exact(queries, embedder)
        left = [
            position
            for position, query in enumerate(queries)
            if answers[position].kind == "miss"
            and not answers[position].unavailable
            and wants_candidate(query)
        ]
        if embedder is not None and left:
            model = embedder.name
            found = await self._searcher.search(
                [queries[position] for position in left],
                embedder,
                lambda query: self._evidence.trust(query, model),
                None if kept is None else [kept[position] for position in left],
            )
            for position, answer in zip(left, found, strict=True):
                answers[position] = answer
        return answers

    async def _read_exact(
        self, queries: list[CacheQuery], embedder: Embedder | None
    ) -> tuple[list[CacheAnswer], list[Any] | None]:
        """The exact hits, and what is kept as the others' vectors (None: nobody looked)."""
        pipeline = self._pipelines.new()
        # On a cluster a command's keys must lie on one node.
        alone = self._clustered
        with_vectors = (
            embedder is not None
            and not alone
            and self.semantic_available
            and len(queries) <= _VECTORS_AT_ONCE
        )
        in_one_step = with_vectors or (len(queries) > 1 and not alone)
        if embedder is not None and with_vectors:
            vectors = self._searcher.vector_keys(queries, embedder)
            append_reads_with_vectors(pipeline, self._keys, queries, vectors)
        elif in_one_step:
            append_exact_reads(pipeline, self._keys, queries)
        else:
            for query in queries:
                append_exact_read(pipeline, self._keys, query)
        exact_reads = len(pipeline)
        # What is known and what was learned share the round trip, but for a cluster, whose client
        # asks again where a connection broke: only reads may be done twice.
        model = "" if embedder is None else embedder.name
        known = self._evidence.append_reads(pipeline, queries, model)
        counts = self._counts.take_due(self._monotonic())
        telling = self._pipelines.new() if alone else pipeline
        append_counts(telling, counts)
        self._tell_evidence(telling)
        replies, problem = await self._execute(pipeline, "look_up")
        told = replies
        if alone and len(telling):
            told, _ = await self._execute(telling, "flush")
        if told is None:
            self._counts.give_back(counts)
        if replies is None:
            return [CacheAnswer.miss(query, problem) for query in queries], None
        self._evidence.read(known, replies[exact_reads : exact_reads + len(known)])
        read = read_together(replies[0], len(queries)) if in_one_step else replies[:exact_reads]
        answers = [exact_answer(query, reply) for query, reply in zip(queries, read, strict=True)]
        return answers, [read_kept_vector(reply) for reply in read] if with_vectors else None

    async def check(self) -> bool:
        """Ask the server whether it has vector search; sets and returns `semantic_available`."""
        return await self._searcher.check()

    async def maintain(self) -> None:
        """Rebuild indexes that have grown; for a call every minute or so, by one task a process."""
        await self._searcher.maintain()

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
        """Write what waits for the next look-up, unless the server is left alone just now; counts
        that fail stay pending.
        """
        if self._pipelines.paused:
            return
        counts = self._counts.take()
        pipeline = self._pipelines.new()
        append_counts(pipeline, counts)
        self._tell_evidence(pipeline)
        if len(pipeline):
            replies, _ = _counted("flush", *await self._pipelines.execute_aside(pipeline))
            if replies is None:
                self._counts.give_back(counts)

    async def aclose(self) -> None:
        """Give up leads and write pending counts; the client stays open, it is the caller's."""
        await self._flights.aclose()
        await self.flush()

    # Inside

    def _tell_evidence(self, pipeline: Any) -> None:
        # It is told once or never: not with what will not be sent.
        if not self._pipelines.paused:
            self._evidence.append(pipeline)

    async def _execute(self, pipeline: Any, call: str) -> tuple[list[Any] | None, str]:
        return _counted(call, *await self._pipelines.execute(pipeline))

    async def _execute_patiently(
        self, build: Callable[[], Any], call: str
    ) -> tuple[list[Any] | None, str]:
        return _counted(call, *await self._pipelines.execute_patiently(build))


def _counted(call: str, replies: list[Any] | None, problem: str) -> tuple[list[Any] | None, str]:
    if replies is None:
        metrics.CACHE_ERRORS.labels(call).inc()
    return replies, problem


def _identity(query: CacheQuery) -> tuple[str, str, float | None, float | None]:
    return (query.key, query.policy, query.threshold, query.bound)
