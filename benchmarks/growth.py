"""Growth: the same work with a hundred times the entries, and with more consumers and workers.

The caches of 1,000 and of 100,000 entries are two servers, so that both sides can run in turns. The
entries have no vectors here: what vectors cost as they grow is in `semantic_hit`. More consumers
and workers on the same few cores show what they cost each other; how far they would carry is
arithmetic on their CPU an event.
"""

from __future__ import annotations

import asyncio
import statistics
from dataclasses import dataclass

from benchmarks.caches import KnownVectors, fill, query
from benchmarks.figures import (
    Figure,
    Pairs,
    Section,
    Spread,
    Table,
    at_most,
    in_turns,
    number,
    side,
)
from benchmarks.ingest import Ours
from benchmarks.options import Options
from benchmarks.parts import Parts, RedisServer, parts
from benchmarks.processes import cpu_seconds
from benchmarks.semantic_hit import in_turns_ms
from benchmarks.streams import register, texts
from eventstream.cache.store import SemanticCache
from eventstream.redis_client import AsyncRedis, connect
from eventstream.spec import Source, StreamSpec

NAME = "growth"
TITLE = "Growth: entries, consumers, workers"
WHERE = (
    "an exact look-up reads one hash by its name, whatever lies beside it, so neither it nor ingest"
    " grows with the cache. More consumers and workers share two cores with Redis, Kafka and each"
    " other: what they add here is little; the last columns say what a core of its own carries"
)


@dataclass(slots=True)
class _Sized:
    """A cache server with so many entries."""

    server: RedisServer
    client: AsyncRedis
    cache: SemanticCache
    entries: int


async def run(options: Options) -> Section:
    """Measure; see the module."""
    sizes = options.pick((1_000, 100_000), (1_000, 20_000), (100, 300))
    events, pairs = options.pick((10_000, 5), (4_000, 2), (200, 1))
    counts: tuple[int, ...] = options.pick((1, 2, 4), (1, 2), (1, 2))
    with parts() as made:
        _, state = made.stores()
        made.provider()
        broker = await asyncio.to_thread(made.kafka)
        small, large = [await _sized(made, f"cache-{size}", size) for size in sizes]
        look_ups = await _look_ups(small, large, options)
        await register(
            state,
            small=StreamSpec(source=Source(topic="small", partitions=4)),
            large=StreamSpec(source=Source(topic="large", partitions=4)),
        )
        ours = {}
        for name, sized in (("small", small), ("large", large)):
            served = {"WORKER_STREAMS": name, "REDIS_URL": sized.server.url(0)}
            made.worker(f"worker-{name}", **served)
            made.consumer(f"consumer-{name}", **served)
            names = (f"consumer-{name}", f"worker-{name}")
            ours[name] = Ours(made, state, broker.bootstrap_servers, min(1_000, events), names)
            ours[name].warm(name)
            ours[name].run(name, events // 4)

        async def ingest(name: str) -> float:
            return ours[name].run(name, events)

        ingested = await in_turns(pairs, lambda: ingest("large"), lambda: ingest("small"))
        rows = []
        for count in counts:
            while len([name for name in made.children if name.startswith("more-")]) < 2 * (
                count - 1
            ):
                more = len(made.children)
                served = {"WORKER_STREAMS": "small", "REDIS_URL": small.server.url(0)}
                made.worker(f"more-worker-{more}", **served)
                made.consumer(f"more-consumer-{more}", **served)
            rows.append(_row(made, ours["small"], count, events, options.pick(3, 2, 1)))
        memory = await _memory(made, options)
        for sized in (small, large):
            await sized.cache.aclose()
            await sized.client.aclose()
    words = f"with {sizes[1]:,} entries ÷ with {sizes[0]:,}"
    return Section(
        name=NAME,
        title=TITLE,
        figures=(
            Figure(
                f"exact look-up p50 {words}",
                look_ups.ratio,
                len(look_ups),
                reach=at_most(1.5),
                ours=side(look_ups.ours, "ms"),
                theirs=side(look_ups.theirs, "ms"),
            ),
            Figure(
                f"events/s with {sizes[0]:,} entries ÷ with {sizes[1]:,}",
                Pairs(ingested.theirs, ingested.ours).ratio,
                len(ingested),
                reach=at_most(1.5),
                ours=side(ingested.theirs, "events/s", f"{sizes[0]:,}"),
                theirs=side(ingested.ours, "events/s", f"{sizes[1]:,}"),
            ),
        ),
        tables=(
            Table(
                "Consumers and workers (of 4 processes each)",
                (
                    "of each",
                    "events/s",
                    "CPU of all consumers an event",
                    "CPU of all workers an event",
                    "one core would carry",
                ),
                tuple(rows),
            ),
            Table("Memory of the cache's Redis", ("entry", "bytes an entry"), tuple(memory)),
        ),
        conditions=(
            f"{events:,} events a run, all exact hits. What a core would carry is one million"
            " microseconds divided by the CPU an event of consumer and worker together"
        ),
        where_the_time_goes=WHERE,
    )


async def _sized(made: Parts, name: str, entries: int) -> _Sized:
    server = made.redis(name, search=True, durable=False)
    client = connect(server.url(0), timeout_seconds=60)
    cache = SemanticCache(client, timeout_seconds=60)
    # The texts that events will bring are not among them: those come from the warm-up.
    await fill(cache, 1_000_000, entries, None)
    return _Sized(server, client, cache, entries)


async def _look_ups(small: _Sized, large: _Sized, options: Options) -> Pairs:
    pairs, times = options.pick((9, 300), (3, 150), (1, 10))
    found = Pairs()

    async def look(sized: _Sized, index: int) -> object:
        text = texts(1, 1_000_000 + index * 7919 % sized.entries)[0]
        return await sized.cache.look_up([query(text)], None)

    for turn in range(pairs + 1):
        calls = [
            ("large", lambda index: look(large, index)),
            ("small", lambda index: look(small, index)),
        ]
        took = await in_turns_ms(calls, times)
        if turn:
            found.add(took["large"], took["small"])
    return found


def _row(made: Parts, ours: Ours, count: int, events: int, runs: int) -> tuple[str, ...]:
    rates, consumers, workers = [], [], []
    for _ in range(runs):
        before = {name: cpu_seconds(child.pid) for name, child in made.children.items()}
        rates.append(ours.run("small", events))
        spent = {
            name: (cpu_seconds(child.pid) - before[name]) / events * 1e6
            for name, child in made.children.items()
        }
        consumers.append(sum(us for name, us in spent.items() if "consumer" in name))
        workers.append(sum(us for name, us in spent.items() if "worker" in name))
    together = statistics.median(consumers) + statistics.median(workers)
    return (
        str(count),
        f"{number(Spread.of(rates).median)} ({number(min(rates))} to {number(max(rates))})",
        f"{number(statistics.median(consumers))} us",
        f"{number(statistics.median(workers))} us",
        f"{number(1e6 / together)} events/s",
    )


async def _memory(made: Parts, options: Options) -> list[tuple[str, ...]]:
    entries = options.pick(10_000, 4_000, 200)
    rows: list[tuple[str, ...]] = []
    for words, embedder in (
        ("without a vector", None),
        ("384 dimensions", KnownVectors(384)),
        ("1536 dimensions", KnownVectors(1536)),
    ):
        server = made.redis(f"memory-{len(made.children)}", search=True, durable=False)
        client = connect(server.url(0), timeout_seconds=60)
        cache = SemanticCache(client, timeout_seconds=60)
        if embedder is not None:
            await cache.look_up([query(texts(1, 0)[0])], embedder)
        with server.client() as control:
            before = control.info("memory")["used_memory"]
            await fill(cache, 0, entries, embedder)
            after = control.info("memory")["used_memory"]
        await cache.aclose()
        await client.aclose()
        rows.append((words, number((after - before) / entries)))
    return rows
