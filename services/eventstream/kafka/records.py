"""A Kafka record as the rest of the project sees it: plain and immutable, no client behind it."""

from __future__ import annotations

from dataclasses import dataclass
from operator import methodcaller

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Message

from eventstream.events import KafkaSource
from eventstream.logs import get_logger

log = get_logger(__name__)

_CALL_HEADERS = methodcaller("headers")
"""Calls it with a check of what comes back. Where a name is not UTF-8 the client returns a broken
list and sets an error as well. Python's own fast calls do not look: the error comes up somewhere
later, and whoever touches the list ends the process.
"""

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One record with its coordinates; `value` None is a tombstone."""

    source: KafkaSource
    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()

    @property
    def size_bytes(self) -> int:
        """Bytes of value and key."""
        return len(self.value or b"") + len(self.key or b"")


def record_from(message: Message) -> SourceRecord:
    """A consumed message as a record; the message must not be an error."""
    kind, timestamp_ms = message.timestamp()
    return SourceRecord(
        source=KafkaSource(
            topic=message.topic() or "",
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            timestamp_ms=0 if kind == TIMESTAMP_NOT_AVAILABLE else timestamp_ms,
        ),
        value=message.value(),
        key=message.key(),
        headers=_headers(message),
    )


def _headers(message: Message) -> Headers:
    try:
        found = _CALL_HEADERS(message)
    except SystemError:
        # A name that is not UTF-8: brokers take it, the client can't give it. The rest is whole.
        log.warning(
            "headers_unreadable",
            topic=message.topic(),
            partition=message.partition(),
            offset=message.offset(),
        )
        return ()
    pairs = found.items() if isinstance(found, dict) else found or ()
    return tuple(
        (name, value.encode() if isinstance(value, str) else value) for name, value in pairs
    )
