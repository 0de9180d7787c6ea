"""A far Redis: ingest and API with 2 ms added to each round trip, beside the same without.

Both sets of services run on the same Redis servers, Kafka and machine; the far ones reach Redis
through a proxy that holds back what they send for 2 ms. How much is left says how many round trips
stand one after the other in an event's way.
"""

from __future__ import annotations

import asyncio

from benchmarks.api import API_KEY, CONNECTIONS, requests
from benchmarks.figures import Figure, Pairs, Section, at_least, in_turns, side
from benchmarks.ingest import Ours
from benchmarks.load import load
from benchmarks.options import Options
from benchmarks.parts import Parts, RedisServer, free_port, parts
from benchmarks.processes import python
from benchmarks.streams import register
from eventstream.spec import Source, StreamSpec

NAME = "far_redis"
TITLE = "Far Redis: 2 ms added to each round trip"
ADDED_MS = 2
WHERE = (
    "a claim of up to 256 events makes three round trips (claim, look-up, ending) whatever its"
    " size, and two claims are under way at a time; an accepted batch makes one, and what comes"
    " meanwhile is the next batch. So 2 ms more a round trip is microseconds more an event"
)


def through_proxies(made: Parts, cache: RedisServer, state: RedisServer) -> dict[str, str]:
    """Settings of services that reach both servers through proxies."""
    ports = {}
    for name, server in (("cache", cache), ("state", state)):
        ports[name] = free_port()
        argv = python("benchmarks.proxy", str(ports[name]), str(server.port), str(ADDED_MS))
        made.start(f"proxy-{name}", argv, "serving")
    return {
        "REDIS_URL": f"redis://127.0.0.1:{ports['cache']}/0",
        "CELERY_BROKER_URL": f"redis://127.0.0.1:{ports['state']}/1",
        "CELERY_RESULT_BACKEND": f"redis://127.0.0.1:{ports['state']}/2",
    }


async def run(options: Options) -> Section:
    """Measure; see the module."""
    events, seconds, pairs = options.pick((10_000, 1.5, 5), (4_000, 1.0, 2), (200, 0.3, 1))
    with parts(API_KEYS=API_KEY, API_MAX_BACKLOG="100000000") as made:
        cache, state = made.stores()
        made.provider()
        broker = await asyncio.to_thread(made.kafka)
        far = through_proxies(made, cache, state)
        streams = {
            name: StreamSpec(source=Source(topic=name, partitions=3)) for name in ("near", "far")
        }
        await register(state, **streams)
        ours: dict[str, Ours] = {}
        ports = {}
        for name, settings in (("near", {}), ("far", far)):
            served = {"WORKER_STREAMS": name, **settings}
            made.worker(f"worker-{name}", **served)
            made.consumer(f"consumer-{name}", **served)
            _, ports[name] = made.api(f"api-{name}", **settings)
            ours[name] = Ours(
                made,
                state,
                broker.bootstrap_servers,
                min(1_000, events),
                (f"consumer-{name}", f"worker-{name}"),
            )
            ours[name].warm(name)
            ours[name].run(name, events // 4)

        async def ingest(name: str) -> float:
            return ours[name].run(name, events)

        async def api(name: str) -> float:
            ask = requests("/process", authorization=f"Bearer {API_KEY}")
            met = await load(ports[name], ask, connections=CONNECTIONS, seconds=seconds)
            return met.rate

        for name in ports:
            await api(name)
        ingested = await in_turns(pairs, lambda: ingest("far"), lambda: ingest("near"))
        accepted = await in_turns(pairs, lambda: api("far"), lambda: api("near"))
    return Section(
        name=NAME,
        title=TITLE,
        figures=(
            _figure("ingest: events/s far ÷ near", ingested, "events/s"),
            _figure("API: POST /process requests/s far ÷ near", accepted, "requests/s"),
        ),
        conditions=(
            f"{events:,} events a run, all exact hits; {CONNECTIONS} connections; the proxies are"
            " Python processes on the same machine and take their CPU from the far side"
        ),
        where_the_time_goes=WHERE,
    )


def _figure(words: str, measured: Pairs, unit: str) -> Figure:
    return Figure(
        words,
        measured.ratio,
        len(measured),
        reach=at_least(0.5),
        ours=side(measured.ours, unit, "far"),
        theirs=side(measured.theirs, unit, "near"),
    )
