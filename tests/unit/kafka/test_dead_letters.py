"""Dead letters say why and from where, and leave the bytes alone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.events import an_event

from eventstream.errors import Reason
from eventstream.events import Failure, KafkaSource
from eventstream.kafka import dead_letters
from eventstream.kafka.dead_letters import (
    DeadLetter,
    Record,
    event_id_of,
    from_failure,
    from_refusal,
    parse,
    replayed,
)
from eventstream.kafka.records import Headers, SourceRecord

NOW = datetime(2026, 11, 23, 12, 0, 0, 125_000, tzinfo=UTC)
SOURCE = KafkaSource(topic="reviews.raw", partition=2, offset=17, timestamp_ms=1_700_000_000_000)
ITS_OWN_PLACE = KafkaSource(topic="reviews.raw.dlq", partition=0, offset=3)

any_bytes = st.none() | st.binary(max_size=200)
any_headers = st.lists(st.tuples(st.text(min_size=1, max_size=30), any_bytes), max_size=5)


def a_record(value: bytes | None = b"not json", headers: Headers = ()) -> SourceRecord:
    return SourceRecord(source=SOURCE, value=value, key=b"\xff\x00", headers=headers)


def read_back(record: Record) -> DeadLetter:
    """A dead letter after its way through Kafka."""
    return parse(SourceRecord(ITS_OWN_PLACE, record.value, record.key, record.headers))


def test_a_refusal_names_reason_error_and_coordinates() -> None:
    letter = read_back(
        from_refusal(a_record(), "reviews", Reason.INVALID_JSON, "the record is not JSON", NOW)
    )

    assert (letter.reason, letter.error) == ("invalid_json", "the record is not JSON")
    assert (letter.stream, letter.source, letter.failed_at) == ("reviews", SOURCE, NOW)
    assert letter.event_id == "reviews.raw-2-17-1700000000000"
    assert (letter.schema_number, letter.position) == (1, "0:3")


def test_a_failure_of_an_accepted_event_keeps_its_history() -> None:
    event = an_event("e-1", stream="reviews", via="kafka", source=SOURCE)
    failure = Failure(
        reason=Reason.DELIVERED_TOO_OFTEN, message="gave up", history=("worker-1 died", "again")
    )

    letter = read_back(from_failure(event, b'{"text": 1}', b"k", failure, NOW))

    assert (letter.event_id, letter.reason) == ("e-1", "delivered_too_often")
    assert letter.history == ("worker-1 died", "again")
    assert (letter.value, letter.key, letter.source) == (b'{"text": 1}', b"k", SOURCE)


def test_only_events_from_kafka_have_a_dead_letter() -> None:
    failure = Failure(reason=Reason.CANCELLED, message="cancelled")

    with pytest.raises(ValueError, match="did not come from Kafka"):
        from_failure(an_event("e-1"), None, None, failure, NOW)


@given(value=any_bytes, key=any_bytes, headers=any_headers, error=st.text(max_size=2000))
def test_bytes_key_and_headers_come_back_as_they_were(
    value: bytes | None, key: bytes | None, headers: list[tuple[str, bytes | None]], error: str
) -> None:
    record = SourceRecord(SOURCE, value, key, tuple(headers))

    letter = read_back(from_refusal(record, "reviews", Reason.INVALID_JSON, error, NOW))

    assert (letter.value, letter.key) == (value, key)
    assert letter.headers == tuple(
        (name, content) for name, content in headers if not name.startswith("eventstream-")
    )


@given(value=any_bytes, headers=any_headers)
def test_anything_can_be_read_as_a_dead_letter(
    value: bytes | None, headers: list[tuple[str, bytes | None]]
) -> None:
    hostile = (*headers, *((name, b"\xff") for name in OUR_HEADERS))

    letter = parse(SourceRecord(ITS_OWN_PLACE, value, None, hostile))

    assert letter.source is None
    assert letter.failed_at is None


OUR_HEADERS = [
    value
    for name, value in vars(dead_letters).items()
    if name.endswith("_HEADER") and isinstance(value, str)
]


@pytest.mark.parametrize(
    ("value", "event_id"),
    [
        (b'{"event_id": "e-1", "task_type": "telepathy"}', "e-1"),
        (b'{"event_id": 7}', "7"),
        (b'{"event_id": ""}', "reviews.raw-2-17-1700000000000"),
        (b'{"event_id": ["e-1"]}', "reviews.raw-2-17-1700000000000"),
        (b'["e-1"]', "reviews.raw-2-17-1700000000000"),
        (b"\xff", "reviews.raw-2-17-1700000000000"),
        (None, "reviews.raw-2-17-1700000000000"),
    ],
)
def test_the_id_is_the_best_that_can_be_told(value: bytes | None, event_id: str) -> None:
    assert event_id_of(a_record(value)) == event_id


def test_a_replayed_record_goes_on_under_the_id_that_it_had() -> None:
    letter = read_back(from_refusal(a_record(), "reviews", Reason.INVALID_JSON, "no", NOW))

    again = replayed(letter)
    failed_again = SourceRecord(
        SOURCE.model_copy(update={"offset": 99}), again.value, again.key, again.headers
    )

    assert (again.value, again.key) == (b"not json", b"\xff\x00")
    assert dict(again.headers)["eventstream-replayed"] == b"0:3"
    assert event_id_of(failed_again) == letter.event_id
    assert dead_letters.replayed_event_id(failed_again) == letter.event_id


def test_an_id_in_a_header_counts_only_on_a_replayed_record() -> None:
    forged = a_record(headers=(("eventstream-event-id", b"somebody-else"),))

    assert dead_letters.replayed_event_id(forged) is None


def test_headers_do_not_pile_up_over_replays() -> None:
    record = a_record(headers=(("trace", b"7"),))
    for _ in range(3):
        again = replayed(read_back(from_refusal(record, "reviews", Reason.INVALID_JSON, "no", NOW)))
        record = SourceRecord(SOURCE, again.value, again.key, again.headers)

    assert [name for name, _ in record.headers] == [
        "trace",
        "eventstream-replayed",
        "eventstream-event-id",
    ]


def test_a_value_that_is_too_large_for_the_topic_is_left_out_and_said() -> None:
    letter = from_refusal(a_record(b"x" * 99), "reviews", Reason.TOO_LARGE, "large", NOW)

    without = letter.without_value()
    assert without is not None
    shorter = read_back(without)
    assert (shorter.value, shorter.value_left_out_bytes) == (None, 99)
    assert from_refusal(
        a_record(b"x" * 9), "reviews", Reason.TOO_LARGE, "large", NOW
    ).without_value() is None  # fmt: skip
    assert shorter.source == SOURCE
