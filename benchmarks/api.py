"""The API: POST /process a second, beside FastAPI with one Redis SET and with one `task.delay()`.

Ours checks a key, gives ids, counts, logs every request and makes the event durable in the inbox
before it answers. The peers do one thing each and neither log nor check. All are one process with
one event loop behind the same load.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import orjson

from benchmarks.figures import Figure, Pairs, Section, Spread, at_least, number, side
from benchmarks.load import Load, load, post
from benchmarks.options import Options
from benchmarks.parts import Parts, free_port, parts
from benchmarks.processes import cpu_seconds, python
from benchmarks.profiles import profile_of
from benchmarks.streams import texts

NAME = "api"
TITLE = "API: POST /process"
WHERE = (
    "asyncio's own work a request (reading, writing, tasks, timers) is about half; then"
    " validation, the batcher's future, headers and the access line. HTTP is parsed in C on both"
    " sides, and Redis is one script a batch"
)
API_KEY = "bench-key-of-a-caller-0123456789"
CONNECTIONS = 64


def requests(path: str, **headers: str) -> Callable[[], bytes]:
    """Requests with texts in turn."""
    made = [
        post(path, orjson.dumps({"text": text, "task_type": "sentiment_analysis"}), **headers)
        for text in texts(500)
    ]
    return itertools.cycle(made).__next__


def start_peer(made: Parts, redis_url: str, broker_url: str) -> int:
    """FastAPI behind uvicorn, without an access log; its port."""
    port = free_port()
    made.start(
        "fastapi",
        [
            *python("uvicorn", "benchmarks.peers.fastapi_app:app", "--port", str(port)),
            "--no-access-log",
        ],
        "Application startup complete",
        PEER_REDIS=redis_url,
        PEER_BROKER=broker_url,
    )
    return port


async def run(options: Options) -> Section:
    """Measure; see the module."""
    seconds, pairs = options.pick((1.5, 11), (1.0, 3), (0.3, 1))
    with parts(API_KEYS=API_KEY, API_MAX_BACKLOG="100000000") as made:
        _, state = made.stores()
        child, port = made.api()
        peer_port = start_peer(made, state.url(3), state.url(4))
        ask_ours = requests("/process", authorization=f"Bearer {API_KEY}")
        ask_set, ask_delay = requests("/set"), requests("/delay")

        async def measure(port: int, pid: int, ask: Callable[[], bytes]) -> tuple[Load, float]:
            before = cpu_seconds(pid)
            met = await load(port, ask, connections=CONNECTIONS, seconds=seconds)
            return met, (cpu_seconds(pid) - before) / len(met.latencies_ms) * 1e6

        peer_pid = made.children["fastapi"].pid
        sides = {
            "ours": (port, child.pid, ask_ours),
            "set": (peer_port, peer_pid, ask_set),
            "delay": (peer_port, peer_pid, ask_delay),
        }
        for where in sides.values():
            await measure(*where)
        found: dict[str, list[tuple[Load, float]]] = {name: [] for name in sides}
        for turn in range(pairs):
            order = list(sides)
            for name in order[turn % 3 :] + order[: turn % 3]:
                found[name].append(await measure(*sides[name]))
        profile = await _profile(child.pid, port, ask_ours, options, seconds)
    rates = {name: [met.rate for met, _ in each] for name, each in found.items()}
    figures = tuple(
        Figure(
            words,
            Pairs(rates["ours"], rates[peer]).ratio,
            pairs,
            reach=at_least(reach),
            ours=side(rates["ours"], "requests/s"),
            theirs=side(rates[peer], "requests/s"),
            beside=f"{_beside(found, 'ours')}; the peer {_beside(found, peer)}",
        )
        for words, peer, reach in (
            ("requests/s ÷ FastAPI with one Redis SET", "set", 1.4),
            ("requests/s ÷ an async handler calling task.delay()", "delay", 4.0),
        )
    )
    return Section(
        name=NAME,
        title=TITLE,
        figures=figures,
        conditions=(
            f"{CONNECTIONS} connections, {seconds:g} s a side and turn, one server process each,"
            " API keys, request ids, metrics and JSON access log on (ours), bodies of about 150"
            " bytes"
        ),
        where_the_time_goes=WHERE,
        profile=profile,
    )


async def _profile(
    pid: int, port: int, ask: Callable[[], bytes], options: Options, seconds: float
) -> str:
    import asyncio

    def under_load() -> None:
        asyncio.run(load(port, ask, connections=CONNECTIONS, seconds=4 * seconds))

    return await asyncio.to_thread(profile_of, {"api": [pid]}, under_load, options)


def _beside(found: dict[str, list[tuple[Load, float]]], name: str) -> str:
    p99 = Spread.of([met.latency_ms(0.99) for met, _ in found[name]]).median
    cpu = Spread.of([cpu for _, cpu in found[name]]).median
    return f"p99 {number(p99)} ms, {number(cpu)} us of CPU a request"
