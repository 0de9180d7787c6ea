"""Ten thousand texts through Apache Kafka, bad ones among them, one worker killed on the way."""

from __future__ import annotations

import os
import signal
import uuid
from pathlib import Path
from typing import cast

import orjson
import pytest
import redis
from confluent_kafka import Consumer, Producer, TopicPartition

from eventstream.embedded.apache_kafka import ApacheKafka
from eventstream.keys import Keys
from eventstream.results import StreamCounters, read_counters
from tests.e2e.services import Deployment, until

TEXTS = 10_000
DIFFERENT_TEXTS = 400
BAD_EVERY = 250
STREAM = "reviews"
BAD_VALUES: tuple[bytes | None, ...] = (
    b"not json",
    b'["not", "an", "object"]',
    b'{"no_text": true}',
    None,
    b'\xff\xfe{"text": "not utf-8"}',
    b'{"text": "known text", "task_type": "astrology"}',
    b'{"text": "   "}',
    b'{"text": 7}',
)

pytestmark = pytest.mark.timeout(420)


class Stream:
    """The stream under test: its file, its topics, its counts."""

    def __init__(self, deployment: Deployment, kafka: ApacheKafka, folder: Path) -> None:
        self.topic = f"raw-{uuid.uuid4().hex[:8]}"
        self.sink = f"{self.topic}-scored"
        self.dead_letters = f"{self.topic}.dlq"
        self.servers = kafka.bootstrap_servers
        self.redis = redis.Redis.from_url(deployment.state.url(2))
        self.file = folder / "stream.yaml"
        self.file.write_text(
            f"""
apiVersion: ai-eventstream.io/v1alpha1
kind: EventStream
metadata: {{name: {STREAM}}}
spec:
  source: {{topic: {self.topic}, partitions: 3}}
  sink: {{topic: {self.sink}}}
  task: {{type: sentiment_analysis}}
"""
        )

    def counters(self) -> StreamCounters:
        stored = self.redis.hgetall(Keys().counters(STREAM))
        return read_counters(cast(dict[bytes, bytes], stored))

    def send(self) -> tuple[list[str], int]:
        """Produce everything; the ids of the good ones, and how many were bad."""
        producer = Producer({"bootstrap.servers": self.servers, "linger.ms": 20})
        ids = []
        bad = 0
        for number in range(TEXTS):
            if number % BAD_EVERY == BAD_EVERY - 1:
                producer.produce(self.topic, BAD_VALUES[bad % len(BAD_VALUES)])
                bad += 1
                continue
            event_id = f"review-{number}"
            ids.append(event_id)
            text = f"Review {number % DIFFERENT_TEXTS}: the parcel was late and the box was broken."
            producer.produce(self.topic, orjson.dumps({"text": text, "event_id": event_id}))
            if number % 1000 == 0:
                # A producer that was not sure sends once more: the same id, the same content.
                producer.produce(self.topic, orjson.dumps({"text": text, "event_id": event_id}))
            producer.poll(0)
        assert producer.flush(60) == 0
        return ids, bad

    def count_in(self, topic: str) -> int:
        reader = Consumer({"bootstrap.servers": self.servers, "group.id": uuid.uuid4().hex})
        try:
            partitions = reader.list_topics(topic, timeout=20).topics[topic].partitions
            ends = [
                reader.get_watermark_offsets(TopicPartition(topic, number), timeout=20)[1]
                for number in partitions
            ]
        finally:
            reader.close()
        return sum(ends)


def test_nothing_is_lost_and_nothing_is_answered_twice(
    deployment: Deployment, kafka: ApacheKafka, tmp_path: Path
) -> None:
    stream = Stream(deployment, kafka, tmp_path)
    servers = {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
    assert deployment.run("streams", "apply", "-f", str(stream.file)).wait() == 0
    deployment.run("consumer", **servers)
    doomed = deployment.run("worker", **servers, WORKER_CONCURRENCY="2")
    deployment.run("worker", **servers, WORKER_CONCURRENCY="2")
    ids, bad = stream.send()
    duplicates = TEXTS // 1000

    until(lambda: stream.counters().answered > 1500, 120, lambda: str(stream.counters()))
    doomed.kill()
    at_the_kill = stream.counters()
    # Making good: another worker in its place.
    replacement = deployment.run("worker", **servers, WORKER_CONCURRENCY="2")
    expected = len(ids) + duplicates
    until(
        lambda: (
            (now := stream.counters()).accepted == expected
            and now.open == 0
            and stream.count_in(stream.dead_letters) >= bad
        ),
        60 + 60 * (TEXTS - at_the_kill.answered) / 4000,
        lambda: str(stream.counters()),
    )

    counters = stream.counters()
    assert counters.accepted == counters.answered + counters.failed + counters.duplicates
    assert (counters.failed, counters.duplicates) == (0, duplicates)
    # One result an id, and an empty inbox.
    pipe = stream.redis.pipeline(transaction=False)
    for event_id in ids:
        pipe.exists(Keys().result(event_id))
    assert sum(pipe.execute()) == len(ids)
    assert stream.redis.xlen(Keys().inbox(STREAM)) == 0
    # The sink is at least once; every bad record is in the dead-letter topic.
    assert stream.count_in(stream.sink) >= len(ids)
    assert stream.count_in(stream.dead_letters) == bad
    assert replacement.stop() == 0


def test_killed_pool_processes_cost_nothing(
    deployment: Deployment, kafka: ApacheKafka, tmp_path: Path
) -> None:
    stream = Stream(deployment, kafka, tmp_path)
    servers = {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
    assert deployment.run("streams", "apply", "-f", str(stream.file)).wait() == 0
    deployment.run("consumer", **servers)
    worker = deployment.run("worker", **servers, WORKER_CONCURRENCY="2")
    ids, _ = stream.send()
    for goal in (500, 1500):
        until(
            lambda goal=goal: stream.counters().answered > goal,  # type: ignore[misc]
            120,
            lambda: str(stream.counters()),
        )
        os.kill(worker.children()[0], signal.SIGKILL)

    until(lambda: stream.counters().answered == len(ids), 150, lambda: str(stream.counters()))

    assert stream.counters().failed == 0
    assert worker.stop() == 0
