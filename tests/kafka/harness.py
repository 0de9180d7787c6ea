"""What the Kafka tests share: a stream of one's own, producing, reading back, waiting."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from prometheus_client import REGISTRY

from eventstream import kafka_lag as lag
from eventstream.consumer.dead_letters import read_letters
from eventstream.consumer.service import ConsumerService
from eventstream.consumer.stream import Tools
from eventstream.embedded.apache_kafka import ApacheKafka
from eventstream.embedded.jars import default_cache_dir
from eventstream.errors import StoreUnavailable
from eventstream.kafka.config import reader_config
from eventstream.kafka.dead_letters import DeadLetter
from eventstream.kafka.errors import KafkaUnavailable, TopicMissing
from eventstream.kafka.producer import AsyncProducer
from eventstream.kafka.records import Headers
from eventstream.kafka.topics import plans_for
from eventstream.kafka_gap import Progress
from eventstream.registry import Registry
from eventstream.results import StreamCounters
from eventstream.settings import Settings
from eventstream.spec import StreamSpec
from tests.support.redis_server import free_port

DEADLINE_SECONDS = 40.0


def new_broker(folder: Path, port: int | None = None) -> ApacheKafka:
    """A broker that is not started yet."""
    port = port or free_port()
    return ApacheKafka(folder, port, _other_port(port), cache_dir=default_cache_dir())


def _other_port(port: int) -> int:
    other = free_port()
    return other if other != port else other + 1


@cache
def admin_client(bootstrap_servers: str) -> AdminClient:
    """For what only tests ask of a broker."""
    return AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 2})


async def until(condition: Callable[[], Any], what: str) -> Any:
    """The first true answer of `condition` (plain or async); fails after the deadline."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                answer = condition()
                if asyncio.iscoroutine(answer):
                    answer = await answer
                if answer:
                    return answer
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"never happened: {what}") from None


def metric(name: str, **labels: str) -> float:
    """What a metric of this process says now; 0 before it was touched."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def a_text(text: str, **more: Any) -> bytes:
    """The value of a good record."""
    return orjson.dumps({"text": text, **more})


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return orjson.loads(self.out)


@dataclass(frozen=True)
class Stream:
    """One stream over topics of its own, on a real Kafka and a real Redis."""

    name: str
    spec: StreamSpec
    tools: Tools
    registry: Registry
    producer: AsyncProducer
    """The test's own: the consumer's may be in trouble."""

    @property
    def topic(self) -> str:
        assert self.spec.source is not None
        return self.spec.source.topic

    @property
    def dead_letter_topic(self) -> str:
        assert self.spec.dead_letter_topic is not None
        return self.spec.dead_letter_topic

    @property
    def settings(self) -> Settings:
        return self.tools.settings

    @asynccontextmanager
    async def consumed(self, **settings: Any) -> AsyncIterator[ConsumerService]:
        """A consumer service runs inside the block and is stopped in good order at its end."""
        tools = self.tools
        if settings:
            tools = replace(tools, settings=tools.settings.model_copy(update=settings))
        service = ConsumerService(tools, self.registry, follow_seconds=0.1)
        stop = asyncio.Event()
        task = asyncio.create_task(service.run(stop))
        try:
            yield service
        finally:
            stop.set()
            await task

    async def produce(
        self, *values: bytes | None, key: bytes | None = None, headers: Headers = ()
    ) -> None:
        """Write records, in order, acknowledged. The topic is created by the consumer or here."""
        await self.tools.admin.ensure_topics(plans_for(self.spec))
        await asyncio.gather(
            *(self.producer.produce(self.topic, value, key, headers) for value in values)
        )

    async def counters(self) -> StreamCounters:
        return (await self.tools.results.counters([self.name]))[self.name]

    async def accepted(self, events: int) -> StreamCounters:
        """Wait until so many events were accepted that were not known before."""

        async def enough() -> StreamCounters | None:
            # A test may have taken Redis away: this connection finds that out once more.
            with contextlib.suppress(StoreUnavailable):
                counters = await self.counters()
                return counters if counters.accepted - counters.duplicates >= events else None
            return None

        found: StreamCounters = await until(enough, f"{events} events accepted")
        return found

    async def dead_letters(self, letters: int = 0) -> list[DeadLetter]:
        """The dead letters, as soon as there are so many."""

        async def enough() -> list[DeadLetter] | None:
            with contextlib.suppress(TopicMissing):
                found = await self._read_letters()
                return found if len(found) >= letters else None
            return None

        if not letters:
            return await self._read_letters()
        found: list[DeadLetter] = await until(enough, f"{letters} dead letters")
        return found

    async def _read_letters(self) -> list[DeadLetter]:
        found = await read_letters(self.settings, self.dead_letter_topic, newest=1000)
        return list(found.letters)

    async def committed(self) -> dict[int, int]:
        """Partition -> offset that the group has committed."""
        return await asyncio.to_thread(self._committed)

    async def committed_all(self, records: int) -> None:
        """Wait until the group has committed so many records."""

        async def enough() -> bool:
            return sum((await self.committed()).values()) >= records

        await until(enough, f"{records} records committed")

    @property
    def labels(self) -> dict[str, str]:
        """Of metrics about the source."""
        return {"stream": self.name, "topic": self.topic}

    def environment(self) -> dict[str, str]:
        """What a process of ours needs to serve this stream."""
        return {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": self.settings.kafka_bootstrap_servers or "",
            "CELERY_RESULT_BACKEND": self.settings.state_url,
            "CELERY_BROKER_URL": self.settings.broker_url,
            "EVENTSTREAM_PREFIX": self.settings.eventstream_prefix,
        }

    async def command(self, *arguments: str, **environment: str) -> Ran:
        """Run `eventstream ARGUMENTS` to its end, as a user does."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "eventstream", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.environment() | environment,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        assert b"Traceback" not in err, err.decode()
        return Ran(process.returncode, out.decode(), err.decode())

    async def consumer_process(self, **environment: str) -> asyncio.subprocess.Process:
        """`eventstream consumer` as a user runs it."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "eventstream", "consumer"),
            stderr=asyncio.subprocess.DEVNULL,
            env=self.environment() | environment,
        )

    async def holders(self) -> list[int]:
        """How many partitions each consumer of the group holds."""
        admin = admin_client(self.settings.kafka_bootstrap_servers or "")
        group = self.spec.consumer_group(self.name) or ""
        future = admin.describe_consumer_groups([group])[group]
        members = (await asyncio.wrap_future(future)).members
        return sorted(len(member.assignment.topic_partitions) for member in members)

    async def left_group(self) -> None:
        """Wait until the group has no consumer."""

        async def empty() -> bool:
            return not await self.holders()

        await until(empty, "the group is empty")

    async def set_topic(self, topic: str, name: str, value: str) -> None:
        """Change a topic's setting."""
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        admin = admin_client(self.settings.kafka_bootstrap_servers or "")
        await asyncio.wrap_future(admin.incremental_alter_configs([resource])[resource])

    async def delete_records(self, partition: int, before: int) -> None:
        """What retention does: the partition begins at the offset `before` from now on."""
        admin = admin_client(self.settings.kafka_bootstrap_servers or "")
        place = TopicPartition(self.topic, partition, before)
        await asyncio.wrap_future(admin.delete_records([place])[place])

    async def topics_there(self) -> None:
        """Wait until source and dead-letter topic exist."""

        async def there() -> bool:
            with contextlib.suppress(KafkaUnavailable):
                return {self.topic, self.dead_letter_topic} <= (
                    await self.tools.admin.topics()
                ).keys()
            return False

        await until(there, "the topics are there")

    async def delete_topic(self) -> None:
        """Delete the source topic; returns when it is gone."""
        admin = admin_client(self.settings.kafka_bootstrap_servers or "")
        await asyncio.wrap_future(admin.delete_topics([self.topic])[self.topic])

        async def gone() -> bool:
            return self.topic not in await self.tools.admin.topics()

        await until(gone, "the topic is gone")

    async def carried(self) -> dict[int, Progress | None]:
        """Partition -> what the group has committed beside its offset."""
        places = await asyncio.to_thread(self._committed_places)
        return {place.partition: Progress.unpack(place.metadata) for place in places}

    def _committed(self) -> dict[int, int]:
        return {place.partition: max(0, place.offset) for place in self._committed_places()}

    def _committed_places(self) -> list[TopicPartition]:
        assert self.spec.source is not None
        config = reader_config(self.settings) | {
            "group.id": self.spec.consumer_group(self.name),
        }
        consumer = Consumer(config)
        try:
            places = [
                TopicPartition(self.topic, number) for number in range(self.spec.source.partitions)
            ]
            return consumer.committed(places, 10)
        finally:
            consumer.close()

    async def lag(self) -> dict[str, lag.PartitionLag]:
        return await lag.read(self.tools.redis, self.tools.keys, self.name)
