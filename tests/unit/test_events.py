"""From outside bytes to events: what is taken, what is refused, and with which words."""

from __future__ import annotations

import contextlib
import hashlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from eventstream.errors import EventRefused, Reason
from eventstream.events import (
    MAX_METADATA_BYTES,
    MAX_NESTING,
    Event,
    KafkaSource,
    ProcessRequest,
    Result,
)
from eventstream.incoming import event_from_kafka, event_from_request
from eventstream.spec import Model, StreamSpec, Task, default_stream

SPEC = default_stream()
SOURCE = KafkaSource(topic="raw", partition=2, offset=7, timestamp_ms=1700)
MANY = b'{"text": "' + b"a" * 200_001 + b'"}'


def from_kafka(value: bytes | None, spec: StreamSpec = SPEC) -> Event:
    return event_from_kafka(value, SOURCE, "default", spec, 1_000_000)


def as_stored(event: Event) -> Event:
    """What a worker gets: who filled in what is asked on acceptance only."""
    return event.model_copy(update={"filled": frozenset()})


def nested(levels: int) -> bytes:
    """JSON objects inside one another, and lists in the innermost half of them."""
    lists = levels // 2
    objects = levels - lists
    return b'{"a":' * objects + b"[" * lists + b"1" + b"]" * lists + b"}" * objects


@pytest.mark.parametrize(
    ("value", "reason", "words"),
    [
        (None, Reason.NULL_VALUE, "no value"),
        (b"not json", Reason.INVALID_JSON, "not JSON"),
        (b'{"text": NaN}', Reason.INVALID_JSON, "not JSON"),
        (b'{"text": "\\ud800"}', Reason.INVALID_JSON, "not JSON"),
        (b"[" * 100_000, Reason.INVALID_JSON, "not JSON"),
        (b'["a"]', Reason.NOT_AN_OBJECT, "array"),
        (b"7", Reason.NOT_AN_OBJECT, "number"),
        (b"null", Reason.NOT_AN_OBJECT, "null"),
        (b"\xff\xfe", Reason.NOT_UTF8, "byte 0"),
        (b"{}", Reason.MISSING_TEXT, "no `text`"),
        (b'{"text": 7}', Reason.INVALID_FIELD, "text: Input should be a valid string"),
        (b'{"text": "  "}', Reason.INVALID_FIELD, "not white space"),
        (b'{"text": "a\\u0000b"}', Reason.INVALID_FIELD, "NUL"),
        (MANY, Reason.INVALID_FIELD, "at most 200000"),
        (b"x" * 1_000_001, Reason.TOO_LARGE, "1000001 bytes"),
        (b'{"text": "a", "task_type": "astrology"}', Reason.UNKNOWN_TASK_TYPE, "astrology"),
        (b'{"text": "a", "event_id": ""}', Reason.INVALID_FIELD, "event_id"),
        (b'{"text": "a", "event_id": "a\\nb"}', Reason.INVALID_FIELD, "printable"),
        (b'{"text": "a", "event_id": true}', Reason.INVALID_FIELD, "event_id"),
        (b'{"text": "a", "metadata": [1]}', Reason.INVALID_FIELD, "metadata"),
        (
            b'{"text": "a", "metadata": {"m": "' + b"x" * MAX_METADATA_BYTES + b'"}}',
            Reason.INVALID_FIELD,
            "metadata: must be at most",
        ),
        (
            b'{"text": "a", "metadata": ' + nested(MAX_NESTING + 1) + b"}",
            Reason.INVALID_FIELD,
            "metadata: must not be nested",
        ),
    ],
)
def test_a_record_that_can_not_be_read_is_refused_with_its_reason(
    value: bytes | None, reason: Reason, words: str
) -> None:
    with pytest.raises(EventRefused) as raised:
        from_kafka(value)

    assert raised.value.reason is reason
    assert words in str(raised.value)


@pytest.mark.parametrize("levels", [1, MAX_NESTING])
def test_what_may_be_nested_is_stored_and_published(levels: int) -> None:
    event = from_kafka(b'{"text": "a", "metadata": ' + nested(levels) + b"}")

    assert Event.from_json(event.to_json()) == as_stored(event)
    answer = Result(
        response="r", task_type="t", model="m", processing_time=0, from_cache=False,
        metadata={"parsed": orjson.loads(nested(levels))}, event_metadata=event.metadata,
    )  # fmt: skip
    assert Result.model_validate_json(answer.to_json()) == answer


@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_an_event_or_a_refusal(value: bytes) -> None:
    with contextlib.suppress(EventRefused):
        event = from_kafka(value)
        assert Event.from_json(event.to_json()) == as_stored(event)


def test_a_record_without_an_id_is_named_after_where_it_stood() -> None:
    assert from_kafka(b'{"text": "a"}').id == "raw-2-7-1700"
    assert from_kafka(b'{"text": "a", "event_id": 12}').id == "12"


def test_unknown_fields_of_a_record_are_left_alone() -> None:
    event = from_kafka(b'{"text": "a", "rating": 5, "metadata": {"shop": "north"}, "timestamp": 1}')

    assert (event.metadata, event.timestamp) == ({"shop": "north"}, 1)


def test_a_requests_defaults_are_the_streams() -> None:
    event = event_from_request(ProcessRequest(text="a"), SPEC)
    assert (event.task_type, event.temperature, event.max_tokens) == ("general_analysis", 0.7, 1000)

    own = StreamSpec(
        task=Task(type="triage", prompt="Sort it."), model=Model(temperature=0, max_tokens=20)
    )
    event = event_from_request(ProcessRequest(text="a", stream="own"), own)
    assert (event.task_type, event.temperature, event.max_tokens) == ("triage", 0, 20)


def test_the_documented_alias_is_the_same_task() -> None:
    event = event_from_request(ProcessRequest(text="a", task_type="sentiment"), SPEC)

    assert event.task_type == "sentiment_analysis"


def test_a_caller_does_not_pick_the_price() -> None:
    spec = StreamSpec(model=Model(provider="openai", name="small", allow=("large",)))

    assert event_from_request(ProcessRequest(text="a", model="large"), spec).model == "large"
    with pytest.raises(EventRefused, match="one of: small, large") as raised:
        event_from_request(ProcessRequest(text="a", model="largest"), spec)
    assert raised.value.field == "model"


@pytest.mark.parametrize(
    "body",
    [
        {"text": ""},
        {"text": 1},
        {"text": "a", "temperature": 2.1},
        {"text": "a", "temperature": float("nan")},
        {"text": "a", "max_tokens": 0},
        {"text": "a", "use_cache": "yes"},
        {"text": "a", "txt": "b"},
        {"text": "a", "stream": "a\x07"},
    ],
)
def test_a_wrong_request_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ProcessRequest.model_validate(body)


@pytest.mark.parametrize(
    "change",
    [
        {"text": "b"},
        {"stream": "other"},
        {"task_type": "summarization"},
        {"model": "m"},
        {"temperature": 0.1},
        {"max_tokens": 9},
        {"use_cache": False},
    ],
)
def test_other_content_is_another_digest(change: dict[str, object]) -> None:
    event = from_kafka(b'{"text": "a"}')

    assert event.model_copy(update=change).digest != event.digest
    assert event.model_copy(update={"id": "x", "metadata": {"a": 1}}).digest == event.digest


NOTHING_ASKED = ProcessRequest(text="a")


@pytest.mark.parametrize(
    "asked",
    [
        {"task_type": "general_analysis"},
        {"temperature": SPEC.model.temperature},
        {"max_tokens": SPEC.model.max_tokens},
        {"use_cache": False},
        {"text": "b"},
    ],
)
def test_what_was_sent_has_a_digest_that_no_change_of_the_spec_makes_another(
    asked: dict[str, object],
) -> None:
    changed = StreamSpec(
        task=Task(type="summarization"), model=Model(temperature=0.1, max_tokens=9)
    )
    before, after = (event_from_request(NOTHING_ASKED, spec) for spec in (SPEC, changed))
    assert before.digest != after.digest
    assert before.digest_as_sent == after.digest_as_sent
    assert from_kafka(b'{"text": "a"}', changed).digest_as_sent == before.digest_as_sent

    other = event_from_request(NOTHING_ASKED.model_copy(update=asked), SPEC)
    assert other.digest_as_sent != before.digest_as_sent


def test_both_digests_are_the_work_of_one_where_nothing_was_left_to_the_spec(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hashed: list[bytes] = []
    sha256 = hashlib.sha256

    def counted(content: bytes) -> object:
        hashed.append(content)
        return sha256(content)

    said = ProcessRequest(text="a", task_type="sentiment", temperature=0, max_tokens=9)
    events = [event_from_request(asked, SPEC) for asked in (said, NOTHING_ASKED)]
    expected = [event.digest + event.digest_as_sent for event in events]
    monkeypatch.setattr("eventstream.events.hashlib.sha256", counted)

    assert [event.digests for event in events] == expected
    assert len(hashed) == 1 + 2


def test_everything_said_leaves_nothing_to_the_spec() -> None:
    asked = ProcessRequest(text="a", task_type="sentiment", temperature=0, max_tokens=9)
    event = event_from_request(asked, SPEC)

    assert event.digest_as_sent == event.digest
    aliased = asked.model_copy(update={"task_type": "sentiment_analysis"})
    assert event_from_request(aliased, SPEC).digest_as_sent == event.digest_as_sent


def test_what_is_stored_can_be_read_back_and_rubbish_is_a_refusal() -> None:
    event = from_kafka(b'{"text": "a \xf0\x9f\x8e\x89", "metadata": {"a": [1.5, null]}}')
    assert event.to_json() == orjson.dumps(event.model_dump())
    assert Event.from_json(event.to_json()) == as_stored(event)
    with pytest.raises(EventRefused) as raised:
        Event.from_json(b"rubbish")
    assert raised.value.reason is Reason.UNREADABLE_ENTRY


def test_a_result_leaves_out_what_is_absent() -> None:
    result = Result(response="r", task_type="t", model="m", processing_time=0.1, from_cache=False)

    assert set(orjson.loads(result.to_json())) == {
        "response", "task_type", "model", "processing_time", "from_cache", "metadata",
    }  # fmt: skip
