"""Dead letters: what a record that can't be answered looks like in the dead-letter topic.

Value and key are the original bytes, untouched; everything we know about why stands in headers
whose names begin with `eventstream-`, beside the record's own headers. Pure: nothing is read or
written here.

| header                          | what it holds                                             |
|---------------------------------|-----------------------------------------------------------|
| eventstream-schema              | number of this format                                     |
| eventstream-reason              | a stable word (`errors.Reason`)                           |
| eventstream-error               | one sentence for a person                                 |
| eventstream-stream              | the stream                                                |
| eventstream-event-id            | the event's id                                            |
| eventstream-failed-at           | when it was given up, ISO 8601 in UTC                     |
| eventstream-source-topic        | where the record stood                                    |
| eventstream-source-partition    | likewise                                                  |
| eventstream-source-offset       | likewise                                                  |
| eventstream-source-timestamp    | the record's timestamp, milliseconds                      |
| eventstream-history             | JSON list of what happened before, oldest first; optional |
| eventstream-value-left-out      | size of a value that the topic did not take; rare         |
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import orjson
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from eventstream.errors import Reason
from eventstream.events import Event, EventId, Failure, KafkaSource
from eventstream.incoming import default_event_id
from eventstream.kafka.records import Headers, SourceRecord
from eventstream.keys import SCHEMA

RESERVED_PREFIX: Final = "eventstream-"
SCHEMA_HEADER: Final = "eventstream-schema"
REASON_HEADER: Final = "eventstream-reason"
ERROR_HEADER: Final = "eventstream-error"
STREAM_HEADER: Final = "eventstream-stream"
EVENT_ID_HEADER: Final = "eventstream-event-id"
FAILED_AT_HEADER: Final = "eventstream-failed-at"
SOURCE_TOPIC_HEADER: Final = "eventstream-source-topic"
SOURCE_PARTITION_HEADER: Final = "eventstream-source-partition"
SOURCE_OFFSET_HEADER: Final = "eventstream-source-offset"
SOURCE_TIMESTAMP_HEADER: Final = "eventstream-source-timestamp"
HISTORY_HEADER: Final = "eventstream-history"
VALUE_LEFT_OUT_HEADER: Final = "eventstream-value-left-out"
REPLAYED_HEADER: Final = "eventstream-replayed"
"""On a record that came back from the dead-letter topic: `partition:offset` of its dead letter."""

MAX_ERROR_CHARS: Final = 1000
_EVENT_ID: Final[TypeAdapter[str]] = TypeAdapter(EventId)


@dataclass(frozen=True, slots=True)
class Record:
    """A record to be produced."""

    value: bytes | None
    key: bytes | None
    headers: Headers

    def without_value(self) -> Record | None:
        """The same dead letter for a topic that does not take its value: the coordinates remain.

        None where that would be no smaller: the header that says so has its own size.
        """
        value = self.value or b""
        size = str(len(value)).encode()
        if len(value) <= len(VALUE_LEFT_OUT_HEADER) + len(size):
            return None
        return replace(self, value=None, headers=(*self.headers, (VALUE_LEFT_OUT_HEADER, size)))


class DeadLetter(BaseModel):
    """A dead letter as read back: the reason in our words, the record as it was."""

    model_config = ConfigDict(frozen=True)

    partition: int
    offset: int
    """Where the dead letter itself stands; `source` is where the record stood."""
    schema_number: int
    reason: str
    error: str
    stream: str
    event_id: str
    failed_at: datetime | None
    source: KafkaSource | None
    """None: written by something else than us."""
    history: tuple[str, ...] = ()
    value_left_out_bytes: int | None = None
    value: bytes | None
    key: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    """The record's own headers."""

    @property
    def position(self) -> str:
        """`partition:offset` in the dead-letter topic, the name that the command line uses."""
        return f"{self.partition}:{self.offset}"


def from_refusal(
    record: SourceRecord, stream: str, reason: Reason, error: str, now: datetime
) -> Record:
    """The dead letter of a record that was never accepted. `now` is when it was given up."""
    return _build(
        value=record.value,
        key=record.key,
        own_headers=record.headers,
        source=record.source,
        stream=stream,
        event_id=event_id_of(record),
        failure=Failure(reason=reason, message=error),
        now=now,
    )


def from_failure(
    event: Event, raw: bytes | None, key: bytes | None, failure: Failure, now: datetime
) -> Record:
    """The dead letter of an accepted event that failed; the event must have come from Kafka.

    `raw` and `key` are the original bytes, as the inbox kept them. The record's own headers are
    not kept beyond acceptance; the source coordinates lead to them.
    """
    if event.source is None:
        raise ValueError(f"event {event.id!r} did not come from Kafka")
    return _build(
        value=raw,
        key=key,
        own_headers=(),
        source=event.source,
        stream=event.stream,
        event_id=event.id,
        failure=failure,
        now=now,
    )


def event_id_of(record: SourceRecord) -> str:
    """The id of a record's event, as far as it can be told from bytes that may be anything.

    The order is that of acceptance: the document's own id, the one that a replay carries along,
    the coordinates.
    """
    try:
        document = orjson.loads(record.value or b"")
        if isinstance(document, dict) and document.get("event_id") is not None:
            return _EVENT_ID.validate_python(document["event_id"], strict=True)
    except (orjson.JSONDecodeError, ValidationError):
        pass  # Not even an id can be read: the coordinates name the record.
    return replayed_event_id(record) or default_event_id(record.source)


def replayed_event_id(record: SourceRecord) -> str | None:
    """The id that a replayed record keeps although its bytes hold none; None for any other."""
    headers = dict(record.headers)
    carried = headers.get(EVENT_ID_HEADER)
    if REPLAYED_HEADER not in headers or carried is None:
        return None
    try:
        return _EVENT_ID.validate_python(carried.decode("utf-8", "replace"))
    except ValidationError:
        return None


def parse(record: SourceRecord) -> DeadLetter:
    """A record of a dead-letter topic as a DeadLetter; what is missing reads as "" or None.

    `record.source` is where it stands in the dead-letter topic. Never raises: a dead-letter topic
    may hold what others wrote.
    """
    ours = {name: value for name, value in record.headers if name.startswith(RESERVED_PREFIX)}

    def text(name: str) -> str:
        return (ours.get(name) or b"").decode("utf-8", "replace")

    return DeadLetter(
        partition=record.source.partition,
        offset=record.source.offset,
        schema_number=_number(text(SCHEMA_HEADER)) or 0,
        reason=text(REASON_HEADER),
        error=text(ERROR_HEADER),
        stream=text(STREAM_HEADER),
        event_id=text(EVENT_ID_HEADER),
        failed_at=_time(text(FAILED_AT_HEADER)),
        source=_source(
            text(SOURCE_TOPIC_HEADER),
            _number(text(SOURCE_PARTITION_HEADER)),
            _number(text(SOURCE_OFFSET_HEADER)),
            _number(text(SOURCE_TIMESTAMP_HEADER)),
        ),
        history=_history(ours.get(HISTORY_HEADER)),
        value_left_out_bytes=_number(text(VALUE_LEFT_OUT_HEADER)),
        value=record.value,
        key=record.key,
        headers=_own(record.headers),
    )


def replayed(letter: DeadLetter) -> Record:
    """The record to produce to the source topic again: original bytes, key and headers.

    The event keeps its id also where its bytes hold none, so that its status goes on under it and
    a second replay of the same dead letter is a duplicate.
    """
    headers: Headers = (*letter.headers, (REPLAYED_HEADER, letter.position.encode()))
    if letter.event_id:
        headers = (*headers, (EVENT_ID_HEADER, letter.event_id.encode()))
    return Record(value=letter.value, key=letter.key, headers=headers)


def _build(
    *,
    value: bytes | None,
    key: bytes | None,
    own_headers: Headers,
    source: KafkaSource,
    stream: str,
    event_id: str,
    failure: Failure,
    now: datetime,
) -> Record:
    ours: dict[str, str] = {
        SCHEMA_HEADER: str(SCHEMA),
        REASON_HEADER: failure.reason.value,
        ERROR_HEADER: failure.message[:MAX_ERROR_CHARS],
        STREAM_HEADER: stream,
        EVENT_ID_HEADER: event_id,
        FAILED_AT_HEADER: now.astimezone(UTC).isoformat(timespec="milliseconds"),
        SOURCE_TOPIC_HEADER: source.topic,
        SOURCE_PARTITION_HEADER: str(source.partition),
        SOURCE_OFFSET_HEADER: str(source.offset),
        SOURCE_TIMESTAMP_HEADER: str(source.timestamp_ms),
    }
    if failure.history:
        ours[HISTORY_HEADER] = orjson.dumps(failure.history).decode()
    encoded = tuple((name, text.encode("utf-8", "replace")) for name, text in ours.items())
    return Record(value=value, key=key, headers=(*_own(own_headers), *encoded))


def _own(headers: Headers) -> Headers:
    return tuple((name, value) for name, value in headers if not name.startswith(RESERVED_PREFIX))


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _source(
    topic: str, partition: int | None, offset: int | None, timestamp_ms: int | None
) -> KafkaSource | None:
    if not topic or partition is None or offset is None:
        return None
    return KafkaSource(
        topic=topic, partition=partition, offset=offset, timestamp_ms=timestamp_ms or 0
    )


def _history(packed: bytes | None) -> tuple[str, ...]:
    try:
        lines = orjson.loads(packed or b"[]")
    except orjson.JSONDecodeError:
        return ()
    return tuple(str(line) for line in lines) if isinstance(lines, list) else ()
