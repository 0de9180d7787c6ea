"""Every record becomes an arrival or a dead letter."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
from hypothesis import given
from hypothesis import strategies as st

from eventstream.claims import Acceptance, Outcome
from eventstream.consumer.parsing import conflicts, parse
from eventstream.errors import Reason
from eventstream.events import KafkaSource
from eventstream.kafka.dead_letters import DeadLetter, from_refusal, replayed
from eventstream.kafka.dead_letters import parse as parse_letter
from eventstream.kafka.records import Headers, SourceRecord
from eventstream.spec import Source, StreamSpec

NOW = datetime(2026, 11, 23, tzinfo=UTC)
SPEC = StreamSpec(source=Source(topic="reviews.raw"))


def record(offset: int, value: bytes | None, headers: Headers = ()) -> SourceRecord:
    source = KafkaSource(topic="reviews.raw", partition=0, offset=offset, timestamp_ms=5)
    return SourceRecord(source, value, b"key", headers)


def test_good_and_bad_are_sorted_in_order() -> None:
    records = [record(0, b'{"text": "a"}'), record(1, b"bad"), record(2, b'{"text": "b"}')]

    parsed = parse(records, "reviews", SPEC, max_bytes=1000, now=NOW)

    assert [arrival.event.text for arrival in parsed.arrivals] == ["a", "b"]
    assert [arrival.raw for arrival in parsed.arrivals] == [b'{"text": "a"}', b'{"text": "b"}']
    assert [arrival.key for arrival in parsed.arrivals] == [b"key", b"key"]
    assert [each.source.offset for each in parsed.good] == [0, 2]
    [refused] = parsed.refused
    assert (refused.reason, refused.letter.value) == (Reason.INVALID_JSON, b"bad")


@given(
    st.lists(
        st.none()
        | st.binary(max_size=60)
        | st.builds(
            orjson.dumps,
            st.recursive(
                st.none() | st.booleans() | st.floats() | st.text(max_size=5),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(
                        st.sampled_from(["text", "event_id", "task_type", "metadata", "x"]), inner
                    )
                ),
                max_leaves=8,
            ),
        ),
        max_size=8,
    )
)
def test_nothing_is_lost_whatever_the_bytes(values: list[bytes | None]) -> None:
    records = [record(offset, value) for offset, value in enumerate(values)]

    parsed = parse(records, "reviews", SPEC, max_bytes=1000, now=NOW)

    seen = [each.source.offset for each in parsed.good]
    seen += [refused.record.source.offset for refused in parsed.refused]
    assert sorted(seen) == list(range(len(values)))
    assert all(each.letter.value == each.record.value for each in parsed.refused)
    assert not [each for each in parsed.refused if each.reason is Reason.INTERNAL_ERROR]


def test_a_conflict_is_a_dead_letter_with_its_own_bytes() -> None:
    parsed = parse(
        [
            record(0, b'{"text": "a", "event_id": "x"}'),
            record(1, b'{"text": "b", "event_id": "x"}'),
        ],
        "reviews",
        SPEC,
        max_bytes=1000,
        now=NOW,
    )
    answers = [
        Acceptance("x", Outcome.ACCEPTED, "reviews"),
        Acceptance("x", Outcome.CONFLICT, "reviews"),
    ]

    [refused] = conflicts(parsed, answers, "reviews", NOW)

    assert (refused.reason, refused.record.source.offset) == (Reason.ID_CONFLICT, 1)


def test_a_replayed_record_without_an_id_keeps_the_one_it_had() -> None:
    first = record(0, b'{"text": "a"}')
    letter = from_refusal(first, "reviews", Reason.PROVIDER_REFUSED, "no", NOW)
    again = replayed(_stored(letter.value, letter.headers))

    parsed = parse([record(9, again.value, again.headers)], "reviews", SPEC, max_bytes=99, now=NOW)

    assert parsed.arrivals[0].event.id == "reviews.raw-0-0-5"


def test_an_id_in_the_bytes_wins_over_the_one_that_a_replay_carries() -> None:
    headers = (("eventstream-replayed", b"0:0"), ("eventstream-event-id", b"carried"))

    parsed = parse(
        [record(9, b'{"text": "a", "event_id": "own"}', headers)],
        "reviews",
        SPEC,
        max_bytes=99,
        now=NOW,
    )

    assert parsed.arrivals[0].event.id == "own"


def _stored(value: bytes | None, headers: Headers) -> DeadLetter:
    place = KafkaSource(topic="reviews.raw.dlq", partition=0, offset=0)
    return parse_letter(SourceRecord(place, value, b"key", headers))
