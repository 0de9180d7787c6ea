"""Records out of what the client hands over."""

from __future__ import annotations

from typing import Any, cast

from confluent_kafka import TIMESTAMP_CREATE_TIME, Message

from eventstream.kafka.records import record_from


class WithAStrangeHeader:
    """What the client gives of a record with a header name that is not UTF-8: brokers take it."""

    def __getattr__(self, name: str) -> Any:
        given = {
            "topic": "raw",
            "partition": 2,
            "offset": 7,
            "value": b"v",
            "key": b"k",
            "timestamp": (TIMESTAMP_CREATE_TIME, 5),
        }
        return lambda: given[name]

    def headers(self) -> None:
        raise SystemError("<method 'headers'> returned a result with an exception set")


def test_a_record_whose_headers_cannot_be_read_is_read_without_them() -> None:
    record = record_from(cast(Message, WithAStrangeHeader()))

    assert (record.source.partition, record.source.offset) == (2, 7)
    assert (record.value, record.key, record.headers) == (b"v", b"k", ())
