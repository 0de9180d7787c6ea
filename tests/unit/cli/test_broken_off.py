"""What `send --kafka` does when the broker goes away in the middle: on a producer that is told to.

A real one takes a whole delivery time-out to say so, once for each record.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from confluent_kafka import KafkaError

from eventstream.cli import transports
from eventstream.cli.common import Unreachable
from eventstream.cli.texts import Text
from eventstream.cli.transports import KafkaTransport
from eventstream.events import KafkaMessage
from eventstream.settings import Settings
from eventstream.spec import StreamSpec

TOPIC = "reviews.raw"
Report = Callable[[KafkaError | None, Any], None]


class LeavingProducer:
    """A producer whose broker refuses all that goes together and goes away after `takes` alone."""

    def __init__(self, config: dict[str, Any], takes: int = 1) -> None:
        self._takes = takes
        self._waiting: list[Report] = []
        self.asked: list[str] = []

    def list_topics(self, timeout: float) -> SimpleNamespace:
        return SimpleNamespace(topics={TOPIC: None})

    def produce(self, topic: str, value: bytes, *, key: bytes, on_delivery: Report) -> None:
        self.asked.append(orjson.loads(value)["text"])
        self._waiting.append(on_delivery)

    def flush(self, timeout: float) -> int:
        error: KafkaError | None = None
        if len(self._waiting) > 1:
            error = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
        elif self._takes:
            self._takes -= 1
        else:
            error = KafkaError(KafkaError._MSG_TIMED_OUT)
        for report in self._waiting:
            report(error, SimpleNamespace(partition=lambda: 0, offset=lambda: 0))
        self._waiting.clear()
        return 0


def test_a_broker_that_goes_away_among_texts_sent_one_by_one_is_asked_no_further(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[LeavingProducer] = []

    def make(config: dict[str, Any]) -> LeavingProducer:
        made.append(LeavingProducer(config))
        return made[-1]

    monkeypatch.setattr(transports, "Producer", make)
    settings = Settings(kafka_bootstrap_servers="127.0.0.1:9092")
    transport = KafkaTransport(settings, TOPIC, StreamSpec())
    texts = [Text(line, KafkaMessage(text=text)) for line, text in enumerate("abcd", 1)]

    receipts = transport.send(texts)

    assert [receipt.line for receipt in next(receipts)] == [1]
    with pytest.raises(Unreachable, match="did not take the texts"):
        next(receipts)
    [producer] = made
    assert producer.asked == [*"abcd", "a", "b"]
