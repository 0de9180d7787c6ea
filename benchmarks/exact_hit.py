"""An exact hit: the look-up of one text, from the text to the decoded answer, beside a Redis GET.

The GET is redis-py's own asyncio client's, of a value of the same size from the same server. Ours
makes the key (the text folded, two digests), reads, counts what it met, and decodes the answer.
"""

from __future__ import annotations

import statistics
import time

import redis.asyncio

from benchmarks.caches import fill, query, response
from benchmarks.figures import Figure, Pairs, Section, Spread, at_most, number, quantile, side
from benchmarks.options import Options
from benchmarks.parts import parts
from benchmarks.streams import texts
from eventstream.answers import StoredAnswer
from eventstream.cache.store import SemanticCache
from eventstream.redis_client import connect

NAME = "exact_hit"
TITLE = "Exact hit: one text"
WHERE = (
    "a GET and a look-up are one round trip each, and the system calls of it are most of both. The"
    " look-up goes the shorter way to Redis (docs/decisions/0014), and adds the text's exact form,"
    " two digests, counting what was met, and the decoded answer"
)
ENTRIES = 1_000


async def run(options: Options) -> Section:
    """Measure; see the module."""
    pairs, times = options.pick((15, 400), (5, 200), (1, 20))
    with parts() as made:
        server = made.redis("cache", search=True)
        client = connect(server.url(0), timeout_seconds=30)
        plain = redis.asyncio.Redis.from_url(server.url(0))
        cache = SemanticCache(client, timeout_seconds=30)
        await fill(cache, 0, ENTRIES, None)
        await plain.set("plain", response())
        asked = texts(ENTRIES)

        async def ours(index: int) -> None:
            [answer] = await cache.look_up([query(asked[index % ENTRIES])], None)
            StoredAnswer.model_validate_json(answer.response or b"")

        async def theirs(index: int) -> None:
            await plain.get("plain")

        found: dict[str, list[list[float]]] = {"ours": [], "theirs": []}
        for turn in range(pairs + 1):
            took: dict[str, list[float]] = {"ours": [], "theirs": []}
            # In turns call by call: what the machine does meanwhile meets both.
            for index in range(times):
                for name, call in (("ours", ours), ("theirs", theirs)):
                    began = time.perf_counter()
                    await call(turn * times + index)
                    took[name].append((time.perf_counter() - began) * 1000)
            if turn:
                for name, values in took.items():
                    found[name].append(values)
        await cache.aclose()
        await client.aclose()
        await plain.aclose()
    p50 = Pairs(*([statistics.median(each) for each in found[name]] for name in found))
    p99 = {name: Spread.of([quantile(each, 0.99) for each in found[name]]) for name in found}
    return Section(
        name=NAME,
        title=TITLE,
        figures=(
            Figure(
                "p50 of a look-up ÷ p50 of a GET",
                p50.ratio,
                len(p50),
                reach=at_most(1.5),
                ours=side(p50.ours, "ms"),
                theirs=side(p50.theirs, "ms"),
                beside=(
                    f"p99 {number(p99['ours'].median)} ms, GET's {number(p99['theirs'].median)} ms"
                ),
            ),
        ),
        conditions=f"{ENTRIES:,} entries, {times} calls a side and turn, call by call in turns",
        where_the_time_goes=WHERE,
    )
