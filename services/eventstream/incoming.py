"""What comes in, read as events: an HTTP request's body, a Kafka record's bytes.

What the sender left out is taken from the stream's spec here, and what can't be an event is refused
with the reason that it is told with. No input or output happens here.
"""

from __future__ import annotations

import math
import uuid
from typing import Final

import orjson
from pydantic import ValidationError

from eventstream.errors import EventRefused, Reason
from eventstream.events import Event, KafkaMessage, KafkaSource, ProcessRequest, first_problem
from eventstream.keys import Via
from eventstream.spec import BUILT_IN_TASK_TYPES, TASK_TYPE_ALIASES, StreamSpec

_FROM_SPEC: Final = frozenset({"task_type", "temperature", "max_tokens"})


def decide_task_type(asked: str | None, spec: StreamSpec) -> str:
    """The task type of an event: the stream's own if none was asked for.

    Raises EventRefused (`unknown_task_type`) naming what would be right.
    """
    if asked is None:
        return spec.task.type
    name = TASK_TYPE_ALIASES.get(asked, asked)
    if name in BUILT_IN_TASK_TYPES or name == spec.task.type:
        return name
    known = ", ".join(sorted({*BUILT_IN_TASK_TYPES, spec.task.type}))
    raise EventRefused(
        Reason.UNKNOWN_TASK_TYPE, f"task_type: {asked!r} is not one of {known}", "task_type"
    )


def event_from_request(
    request: ProcessRequest,
    spec: StreamSpec,
    *,
    event_id: str | None = None,
    via: Via = "http",
) -> Event:
    """An HTTP (or Celery client's) request as an event of its stream.

    Raises EventRefused: `unknown_task_type`, `model_not_allowed`.
    """
    if request.model is not None and not spec.model.allows(request.model):
        allowed = ", ".join(spec.model.allowed_names())
        others = f" or name one of: {allowed}" if allowed else ": it allows no other (model.allow)"
        raise EventRefused(
            Reason.MODEL_NOT_ALLOWED,
            f"model: stream {request.stream!r} does not allow {request.model!r};"
            f" leave it out{others}",
            "model",
        )
    return Event(
        id=event_id or str(uuid.uuid4()),
        stream=request.stream,
        via=via,
        text=request.text,
        task_type=decide_task_type(request.task_type, spec),
        use_cache=request.use_cache,
        model=request.model,
        temperature=spec.model.temperature if request.temperature is None else request.temperature,
        max_tokens=spec.model.max_tokens if request.max_tokens is None else request.max_tokens,
        filled=frozenset(name for name in _FROM_SPEC if getattr(request, name) is None),
    )


def event_from_kafka(
    value: bytes | None, source: KafkaSource, stream: str, spec: StreamSpec, max_bytes: int
) -> Event:
    """A record as an event of its stream.

    Raises EventRefused with the reason for the dead-letter topic.
    """
    if value is None:
        raise EventRefused(Reason.NULL_VALUE, "the record has no value (a tombstone)")
    if len(value) > max_bytes:
        raise EventRefused(
            Reason.TOO_LARGE, f"the record is {len(value)} bytes, at most {max_bytes} are taken"
        )
    try:
        text_of_record = value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EventRefused(
            Reason.NOT_UTF8, f"the record is not UTF-8: byte {error.start} can't be read"
        ) from error
    try:
        document = orjson.loads(text_of_record)
    except orjson.JSONDecodeError as error:
        raise EventRefused(Reason.INVALID_JSON, f"the record is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise EventRefused(
            Reason.NOT_AN_OBJECT,
            f"the record is a JSON {_json_kind(document)}, not an object with a `text`",
        )
    if "text" not in document:
        raise EventRefused(Reason.MISSING_TEXT, "the record has no `text`", "text")
    try:
        message = KafkaMessage.model_validate(document)
    except ValidationError as error:
        field, sentence = first_problem(error)
        raise EventRefused(Reason.INVALID_FIELD, sentence, field) from error
    return Event(
        id=message.event_id or default_event_id(source),
        stream=stream,
        via="kafka",
        text=message.text,
        task_type=decide_task_type(message.task_type, spec),
        temperature=spec.model.temperature,
        max_tokens=spec.model.max_tokens,
        metadata=message.metadata,
        timestamp=message.timestamp,
        source=source,
        filled=_FROM_SPEC if message.task_type is None else _FROM_SPEC - {"task_type"},
    )


def default_event_id(source: KafkaSource) -> str:
    """The id of a record that brought none: `topic-partition-offset-timestamp`."""
    return f"{source.topic}-{source.partition}-{source.offset}-{source.timestamp_ms}"


def _json_kind(document: object) -> str:
    if document is None:
        return "null"
    if isinstance(document, bool):
        return "boolean"
    if isinstance(document, str):
        return "string"
    if isinstance(document, list):
        return "array"
    if isinstance(document, float) and not math.isfinite(document):
        return "NaN"
    return "number"
