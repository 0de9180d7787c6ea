"""Reading a topic back."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Protocol

from confluent_kafka import Consumer

from tests.e2e.services import until


class HasServers(Protocol):
    """A broker."""

    @property
    def bootstrap_servers(self) -> str: ...


def records_of(kafka: HasServers, topic: str, enough: Callable[[list[bytes]], bool]) -> list[bytes]:
    """The values of a topic from its beginning, as soon as they are `enough`."""
    reader = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": uuid.uuid4().hex,
            "auto.offset.reset": "earliest",
        }
    )
    reader.subscribe([topic])
    values: list[bytes] = []

    def read() -> bool:
        for message in reader.consume(500, 0.1):
            if message.error() is None:
                values.append(message.value() or b"")
        return enough(values)

    try:
        until(read, 60, lambda: f"{len(values)} records in {topic}")
    finally:
        reader.close()
    return values
