"""How long an answer may wait for Kafka: as long as Kafka takes, and no slot longer than that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from eventstream.claims import Answered, Arrival, Failed, Held
from eventstream.events import KafkaSource
from eventstream.inbox import Inbox
from eventstream.keys import QUEUE_KAFKA
from eventstream.results import Results
from eventstream.worker.ending import (
    LOOK_FOR_KAFKA_SECONDS,
    PATIENT_PUBLISH_SECONDS,
    PUBLISH_SECONDS,
    Endings,
)
from tests.support.events import an_answer, an_event

SOURCE = KafkaSource(topic="t", partition=0, offset=1)


@dataclass
class SlowKafka:
    """Acknowledges after `seconds` of a clock that nobody waits for."""

    seconds: float = 0.0
    now: float = 0.0
    written: list[str] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)
    """How long each publication held its slot."""

    async def publish(self, held: Held, ending: Answered | Failed) -> None:
        self.written.append(held.event.id)
        self.now += self.seconds

    async def is_due(self, held: Held, ending: Answered | Failed) -> bool:
        return True

    def clock(self) -> float:
        return self.now

    @asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncIterator[None]:
        began = self.now
        yield
        took = self.now - began
        self.now = began + min(took, seconds)
        self.waited.append(self.now - began)
        if took > seconds:
            raise TimeoutError


@dataclass
class Bench:
    """Endings over a real inbox, and a Kafka with a clock."""

    inbox: Inbox
    results: Results
    kafka: SlowKafka = field(default_factory=SlowKafka)

    def __post_init__(self) -> None:
        self.endings = Endings(
            self.inbox,
            self.kafka,
            consumer="worker/0",
            clock=self.kafka.clock,
            timeout=self.kafka.timeout,
        )

    async def end(self, count: int) -> int:
        """End so many events, one after the other; how many were finished."""
        before = self.endings.finished
        names = [f"{before}-{len(self.kafka.written)}-{number}" for number in range(count)]
        await self.inbox.accept(
            [Arrival(an_event(name, text=name, via="kafka", source=SOURCE)) for name in names]
        )
        claim = await self.inbox.claim(QUEUE_KAFKA, "worker/0", count)
        for held in claim.fresh:
            await self.endings.end(held, an_answer(held))
        return self.endings.finished - before


@pytest.fixture
def bench(inbox: Inbox, results: Results) -> Bench:
    return Bench(inbox, results)


@pytest.mark.parametrize("seconds", [2.5, 6, 15])
async def test_a_kafka_that_is_slow_is_waited_for_once_that_is_known(
    bench: Bench, seconds: float
) -> None:
    assert await bench.end(5) == 5
    bench.kafka.seconds = seconds

    # The first is given up, and what comes then does not try: it may be away.
    assert await bench.end(5) == 0
    bench.kafka.now += LOOK_FOR_KAFKA_SECONDS
    # It is not: everything is published, and nothing twice.
    bench.kafka.written.clear()
    assert await bench.end(50) == 50
    assert len(bench.kafka.written) == 50


async def test_one_quick_acknowledgement_among_slow_ones_ends_no_patience(bench: Bench) -> None:
    bench.kafka.seconds = 6
    await bench.end(1)
    bench.kafka.now += LOOK_FOR_KAFKA_SECONDS
    assert await bench.end(1) == 1

    bench.kafka.seconds = 0.1
    assert await bench.end(3) == 3
    bench.kafka.seconds = 6
    assert await bench.end(3) == 3


async def test_patience_ends_with_the_slowness(bench: Bench) -> None:
    bench.kafka.seconds = 15
    await bench.end(1)
    bench.kafka.now += LOOK_FOR_KAFKA_SECONDS
    assert await bench.end(1) == 1
    bench.kafka.seconds = 0.1
    assert await bench.end(50) == 50

    bench.kafka.seconds = 3600
    assert await bench.end(20) == 0
    assert bench.kafka.waited[-1] == PUBLISH_SECONDS


async def test_a_slow_kafka_that_is_away_then_holds_no_slot_for_long(bench: Bench) -> None:
    bench.kafka.seconds = 15
    await bench.end(1)
    bench.kafka.now += LOOK_FOR_KAFKA_SECONDS
    assert await bench.end(1) == 1
    bench.kafka.waited.clear()

    bench.kafka.seconds = 3600
    assert await bench.end(20) == 0
    assert bench.kafka.waited == [PATIENT_PUBLISH_SECONDS]
