"""A semantic hit: the vector step beside raw FT.SEARCH, the whole look-up beside RedisVL.

Both caches hold the same texts and vectors in the same server, and get the vectors of the texts
that are asked from memory: what is measured is the cache, not an embedding model. RedisVL's
SemanticCache is used as its manual shows it (a flat index). Ours is asked with the default policy
(exact read and kept vector, vector search, the guard's comparison of the two texts) and with the
policy `threshold`, which decides as RedisVL does, by the distance alone.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redisvl.extensions.cache.llm import SemanticCache as RedisVlCache
from redisvl.utils.vectorize import CustomTextVectorizer

from benchmarks.caches import (
    GREETING,
    JOINED_GREETING,
    OTHER_GREETING,
    KnownVectors,
    batches,
    fill,
    query,
)
from benchmarks.figures import Figure, Pairs, Reach, Section, Table, at_most, side
from benchmarks.options import Options
from benchmarks.parts import RedisServer, parts
from benchmarks.streams import texts
from eventstream.cache.entries import read_candidate, search_command
from eventstream.cache.index import model_digest
from eventstream.cache.keys import CacheKeys
from eventstream.cache.plan import SERVER_CHOOSES_FROM_ENTRIES
from eventstream.cache.store import SemanticCache
from eventstream.redis_client import AsyncRedis, connect

NAME = "semantic_hit"
TITLE = "Semantic hit: vector search and whole look-up"
WHERE = (
    "the vector search itself, in Redis, from some thousand entries on: in an HNSW index a large"
    " scope is searched along the graph, where the server, left to itself, goes through all of it."
    " Below that, the whole look-up of a text that was never seen is two round trips (answer and"
    " kept vector, then the search), the Python around them, and the guard: next to nothing where"
    " only a greeting differs, two fifths of all where it has to read both texts. RedisVL makes one"
    " round"
    " trip, with more Python around it, compares no texts, and searches a flat index whatever its"
    " size. Of our whole look-ups the first in the table is the first to ask for a vector, finding"
    " the graph's nodes in slower memory than the other two"
)
LEAST_HITS = 0.95
"""HNSW is approximate: now and then it has not the nearest entry, and the look-up misses."""
WHOLE_REACH = {1_000: 0.8, 10_000: 1.0, 100_000: 0.2}
Call = Callable[[int], Awaitable[object]]


class RedisVl:
    """RedisVL's cache over the same entries, in an index of its own."""

    def __init__(self, server: RedisServer, embedder: KnownVectors) -> None:
        def embed(text: str, **_: Any) -> list[float]:
            numbers: list[float] = embedder.vector(text).tolist()
            return numbers

        async def aembed(text: str, **_: Any) -> list[float]:
            return embed(text)

        self._embedder = embedder
        # It asks the vectoriser once for its length.
        vectoriser = CustomTextVectorizer(
            embed=lambda text, **_: embed(text) if "(order" in text else [0.1] * embedder.dimension,
            aembed=aembed,
        )
        self._cache = RedisVlCache(
            name=f"redisvl{embedder.dimension}",
            redis_url=server.url(0),
            vectorizer=vectoriser,
            distance_threshold=0.1,
        )

    async def fill(self, first: int, count: int) -> None:
        """Store so many more answers."""
        for batch in batches(first, count):
            for text in batch:
                self._cache.store(text, "positive", vector=self._embedder.vector(text).tolist())

    async def check(self, text: str) -> list[dict[str, Any]]:
        """What its manual calls for a look-up."""
        found: list[dict[str, Any]] = await self._cache.acheck(prompt=text)
        return found

    async def aclose(self) -> None:
        await self._cache.adisconnect()


async def in_turns_ms(calls: Sequence[tuple[str, Call]], times: int) -> dict[str, float]:
    """The median time of each call, made in turns; who of two begins changes each time.

    Whoever asks second finds in the processor's caches what the first has read.
    """
    took: dict[str, list[float]] = {name: [] for name, _ in calls}
    for index in range(times):
        for name, call in reversed(calls) if len(calls) == 2 and index % 2 else calls:
            began = time.perf_counter()
            await call(index)
            took[name].append((time.perf_counter() - began) * 1000)
    return {name: statistics.median(values) for name, values in took.items()}


async def run(options: Options) -> Section:
    """Measure; see the module."""
    plan: dict[int, tuple[int, ...]] = options.pick(
        {384: (1_000, 10_000, 100_000), 1536: (1_000, 10_000)},
        {384: (1_000, 10_000), 1536: (1_000,)},
        {384: (100,)},
    )
    figures: list[Figure] = []
    rows: list[tuple[str, ...]] = []
    for dimension, sizes in plan.items():
        with parts() as made:
            server = made.redis("cache", search=True, durable=False)
            with server.client() as control:
                # The local stack's bound is for a laptop; here everything has to fit.
                control.config_set("maxmemory", "0")
            await _measure(server, dimension, sizes, options, figures, rows)
    return Section(
        name=NAME,
        title=TITLE,
        figures=tuple(figures),
        tables=(
            Table(
                "Indexes",
                ("dimensions", "entries", "index", "building it", "found by ours"),
                tuple(rows),
            ),
        ),
        conditions=(
            "one server, one connection, calls in turns; ours becomes HNSW from 10,000 entries on,"
            " RedisVL's index is flat; 100,000 entries of 1,536 dimensions need 3 GB and ten"
            " minutes, and are left out"
        ),
        where_the_time_goes=WHERE,
    )


async def _measure(
    server: RedisServer,
    dimension: int,
    sizes: Sequence[int],
    options: Options,
    figures: list[Figure],
    rows: list[tuple[str, ...]],
) -> None:
    pairs, times = options.pick((7, 120), (3, 60), (1, 5))
    client = connect(server.url(0), timeout_seconds=60)
    embedder = KnownVectors(dimension)
    cache = SemanticCache(client, timeout_seconds=60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # RedisVL's own
        peer = RedisVl(server, embedder)
    held = 0
    # The first look-up of an embedding model makes its index.
    await cache.look_up([query(texts(1, 0)[0])], embedder)
    for size in sizes:
        await fill(cache, held, size - held, embedder)
        await peer.fill(held, size - held)
        held = size
        began = time.perf_counter()
        await cache.maintain()
        built = time.perf_counter() - began
        kind = next(iter((await cache.stats()).indexes.values()))
        graph = kind.lower() == "hnsw" and size < SERVER_CHOOSES_FROM_ENTRIES
        measured_of, hits = await _pairs(client, cache, peer, embedder, size, graph, pairs, times)
        took = f"{built:.0f} s" if built > 1 else "-"
        rows.append((str(dimension), f"{size:,}", kind, took, f"{hits:.1%}"))
        for words, name, reach, peers in (
            ("KNN step ÷ raw FT.SEARCH", "knn", at_most(1.3), "raw"),
            ("whole look-up ÷ RedisVL check", "whole", _whole_reach(size), "RedisVL"),
            ("the same where the guard reads both texts whole", "read", None, "RedisVL"),
            ("the same without the guard (policy threshold)", "plain", None, "RedisVL"),
        ):
            measured = measured_of[name]
            figures.append(
                Figure(
                    f"{words}, {size:,} x {dimension}, {kind}",
                    measured.ratio,
                    len(measured),
                    reach=reach,
                    ours=side(measured.ours, "ms"),
                    theirs=side(measured.theirs, "ms", peers),
                )
            )
    await peer.aclose()
    await cache.aclose()
    await client.aclose()


def _whole_reach(size: int) -> Reach | None:
    reach = WHOLE_REACH.get(size)
    return None if reach is None else at_most(reach)


async def _pairs(
    client: AsyncRedis,
    cache: SemanticCache,
    peer: RedisVl,
    embedder: KnownVectors,
    size: int,
    graph: bool,
    pairs: int,
    times: int,
) -> tuple[dict[str, Pairs], float]:
    model = model_digest(embedder.name, embedder.dimension)
    alias = CacheKeys().alias(model)
    step = max(1, size // 997)
    # Each is asked once: a second time its vector would be known.
    asked = [GREETING + texts(1, number * step % size)[0] for number in range(times * (pairs + 1))]
    vectors = {text: embedder.vector(text) for text in asked}
    at = 0
    measured = {name: Pairs() for name in ("knn", "whole", "read", "plain")}
    kinds: Counter[str] = Counter()
    for turn in range(pairs + 1):
        here = asked[at : at + times]
        at += times

        async def raw(index: int, here: list[str] = here) -> object:
            command = search_command(alias, model, query(here[index]), vectors[here[index]])
            return await client.execute_command(*command)  # type: ignore[no-untyped-call]

        async def ours(index: int, here: list[str] = here) -> object:
            asking = query(here[index])
            vector = vectors[here[index]]
            pipeline = client.pipeline(transaction=False)
            pipeline.execute_command(*search_command(alias, model, asking, vector, graph=graph))
            [reply] = await pipeline.execute(raise_on_error=False)
            return read_candidate(reply)

        async def look_up(index: int, here: list[str] = here) -> object:
            [answer] = await cache.look_up([query(here[index])], embedder)
            kinds[answer.kind] += 1
            return answer

        async def reading(index: int, here: list[str] = here) -> object:
            text = here[index].removeprefix(GREETING)
            text = JOINED_GREETING + text[0].lower() + text[1:]
            [answer] = await cache.look_up([query(text)], embedder)
            kinds[answer.kind] += 1
            return answer

        async def without_guard(index: int, here: list[str] = here) -> object:
            text = OTHER_GREETING + here[index].removeprefix(GREETING)
            [answer] = await cache.look_up([query(text, "threshold")], embedder)
            kinds[answer.kind] += 1
            return answer

        async def check(index: int, here: list[str] = here) -> object:
            return await peer.check(here[index])

        steps = await in_turns_ms([("ours", ours), ("raw", raw)], times)
        wholes = await in_turns_ms(
            [
                ("whole", look_up),
                ("peer", check),
                ("read", reading),
                ("plain", without_guard),
            ],
            times,
        )
        if turn:
            measured["knn"].add(steps["ours"], steps["raw"])
            for name in ("whole", "read", "plain"):
                measured[name].add(wholes[name], wholes["peer"])
    hits = kinds["semantic"] / kinds.total()
    if hits < LEAST_HITS:
        raise RuntimeError(f"only {hits:.1%} semantic hits: this is no figure")
    return measured, hits
