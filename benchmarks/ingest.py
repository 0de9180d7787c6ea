"""Ingest: from a record in Apache Kafka to its stored answer, all exact hits, beside Celery alone.

The peer is a Celery task that does nothing, from the first `delay()` to the last acknowledgement,
with the same pool (four prefork processes) on the same Redis. Ours does the whole work: Kafka,
parsing, the durable inbox, claim, look-up, stored result, counters, notification.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence

from confluent_kafka import Producer

from benchmarks.figures import Figure, Section, Spread, at_least, in_turns, number, side
from benchmarks.options import Options
from benchmarks.parts import Parts, RedisServer, parts
from benchmarks.peers.celery_load import CeleryLoad
from benchmarks.processes import cpu_seconds
from benchmarks.profiles import profile_of
from benchmarks.streams import Answers, produce, register, texts
from eventstream.spec import Source, StreamSpec, TopicRef

NAME = "ingest"
TITLE = "Ingest: Kafka to stored result, all exact hits"
WHERE = (
    "on a cached answer Python is nearly all of it, in three parts: reading the claim (the"
    " inbox entry parsed and validated), the look-up (the text folded and digested, one script for"
    " the whole claim) and the ending (the result built, one script for the whole claim). Consumer"
    " and worker take what stands beside the figure, Redis about 40 us an event (ten commands with"
    " an append-only file), Kafka and the producer of the load the rest. Two cores have 80 us for"
    " each of 25,000 events a second, about what consumer and worker take alone. The busier a"
    " machine is, the higher the ratio: Celery's five round trips a task suffer more"
)
DISTINCT_TEXTS = 2_000


class Ours:
    """The consumer and one worker, with every text answered once before."""

    def __init__(
        self,
        made: Parts,
        state: RedisServer,
        bootstrap: str,
        distinct: int,
        processes: Sequence[str] = ("consumer", "worker"),
    ) -> None:
        self._made = made
        self._state = state
        self._processes = processes
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "linger.ms": 5, "acks": 1, "log_level": 2}
        )
        self.texts = texts(distinct)
        self._tags = itertools.count()
        self.cpu_us: list[float] = []
        self.commands: list[float] = []

    def warm(self, stream: str) -> None:
        """Answer every text once, from the model."""
        answers = Answers(self._state, stream)
        produce(self._producer, stream, self.texts, f"{stream}-warm")
        answers.wait_for(len(self.texts))

    def run(self, stream: str, events: int) -> float:
        """Events a second, from the first record written to the last answer stored."""
        answers = Answers(self._state, stream)
        values = [self.texts[number % len(self.texts)] for number in range(events)]
        ours = [self._made.children[name].pid for name in self._processes]
        before, commands, cpu = answers.count(), self._state.commands(), cpu_seconds(*ours)
        began = time.perf_counter()
        produce(self._producer, stream, values, f"{stream}-{next(self._tags)}")
        ended = answers.wait_for(before + events)
        self.cpu_us.append((cpu_seconds(*ours) - cpu) / events * 1e6)
        self.commands.append((self._state.commands() - commands) / events)
        return events / (ended - began)


async def run(options: Options) -> Section:
    """Measure; see the module."""
    events, tasks, pairs = options.pick((20_000, 2_000, 7), (8_000, 800, 3), (300, 40, 1))
    with parts() as made:
        _, state = made.stores()
        made.provider()
        broker = await asyncio.to_thread(made.kafka)
        await register(
            state,
            plain=StreamSpec(source=Source(topic="plain", partitions=3)),
            sunk=StreamSpec(
                source=Source(topic="sunk", partitions=3), sink=TopicRef(topic="sunk.out")
            ),
        )
        made.worker()
        made.consumer()
        ours = Ours(made, state, broker.bootstrap_servers, min(DISTINCT_TEXTS, events))
        peer = CeleryLoad(made, state.url(1), "noop")
        for stream in ("plain", "sunk"):
            ours.warm(stream)
        ours.run("plain", events)
        ours.cpu_us.clear()
        ours.commands.clear()
        peer.run(tasks // 4)
        peer.cpu_us.clear()

        async def our_side() -> float:
            return ours.run("plain", events)

        async def their_side() -> float:
            return peer.run(tasks)

        plain = await in_turns(pairs, our_side, their_side)
        cpu, commands = list(ours.cpu_us), list(ours.commands)
        peer_cpu = list(peer.cpu_us)

        async def our_side_with_a_sink() -> float:
            return ours.run("sunk", events)

        sunk = await in_turns(max(1, pairs // 2), our_side_with_a_sink, their_side)
        profile = profile_of(
            {
                "consumer": [made.children["consumer"].pid],
                "worker": [made.children["worker"].pid],
            },
            lambda: ours.run("plain", events * 2),
            options,
        )
        sources = Answers(state, "plain").sources()
    beside = (
        f"ours {number(Spread.of(cpu).median)} us of CPU (consumer and worker) and"
        f" {number(Spread.of(commands).median)} Redis commands an event; Celery's worker"
        f" {number(Spread.of(peer_cpu).median)} us a task"
    )
    return Section(
        name=NAME,
        title=TITLE,
        figures=(
            Figure(
                "events/s ÷ bare Celery no-op tasks/s",
                plain.ratio,
                len(plain),
                reach=at_least(25),
                ours=side(plain.ours, "events/s"),
                theirs=side(plain.theirs, "tasks/s"),
                beside=beside,
            ),
            Figure(
                "the same with a sink topic: every answer also acknowledged by Kafka",
                sunk.ratio,
                len(sunk),
                ours=side(sunk.ours, "events/s"),
                theirs=side(sunk.theirs, "tasks/s"),
            ),
        ),
        conditions=(
            f"{events:,} events of {len(ours.texts):,} distinct texts a run ({sources} over all"
            f" runs), one consumer, one worker of 4 processes, Redis with appendfsync everysec in"
            f" two servers; {tasks:,} tasks a run for Celery"
        ),
        where_the_time_goes=WHERE,
        profile=profile,
    )
