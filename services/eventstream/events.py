"""Wire models: what comes in, what waits in the inbox, what comes out.

`ProcessRequest` is the HTTP body, `KafkaMessage` the Kafka value; both become an `Event`, the one
form that everything behind the transports knows (`incoming` makes it). No input or output happens
here.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Annotated, Any, Final

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from eventstream.errors import EventRefused, Reason
from eventstream.keys import SCHEMA, Via

MAX_TEXT_CHARS: Final = 200_000
MAX_ID_CHARS: Final = 256
MAX_METADATA_BYTES: Final = 16_384
MAX_NESTING: Final = 100
"""Of JSON from outside. Parsers and writers of JSON end at 200 to 255 levels, ours among them, and
what is stored and published stands a level or two deeper than what came."""
MAX_OUTPUT_TOKENS: Final = 100_000


def _clean_text(value: str) -> str:
    if not value.strip():
        raise ValueError("must hold at least one character that is not white space")
    if "\x00" in value:
        raise ValueError("must not hold the NUL character (U+0000)")
    return value


def _clean_name(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must hold printable characters only")
    if value != value.strip():
        raise ValueError("must not begin or end with white space")
    return value


def _id_from_number(value: object) -> object:
    if value == "":
        raise ValueError("must not be empty: leave it out, and the event gets one")
    # Producers often send numeric ids; as text they mean the same.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


def is_nested_too_deeply(value: object) -> bool:
    """Whether JSON in memory has more than `MAX_NESTING` arrays and objects inside one another."""
    level = [value]
    for _ in range(MAX_NESTING):
        inner: list[object] = []
        for each in level:
            if isinstance(each, dict):
                inner += each.values()
            elif isinstance(each, list):
                inner += each
        level = [each for each in inner if isinstance(each, dict | list)]
        if not level:
            return False
    return True


def _bounded_metadata(value: dict[str, Any]) -> dict[str, Any]:
    if is_nested_too_deeply(value):
        raise ValueError(f"must not be nested more than {MAX_NESTING} levels deep")
    try:
        size = len(orjson.dumps(value))
    except (TypeError, ValueError) as error:
        raise ValueError("must be plain JSON") from error
    if size > MAX_METADATA_BYTES:
        raise ValueError(f"must be at most {MAX_METADATA_BYTES} bytes of JSON, is {size}")
    return value


Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARS), AfterValidator(_clean_text)]
EventId = Annotated[
    str,
    BeforeValidator(_id_from_number),
    Field(min_length=1, max_length=MAX_ID_CHARS),
    AfterValidator(_clean_name),
]
Name = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_clean_name)]
Metadata = Annotated[dict[str, Any], AfterValidator(_bounded_metadata)]


class State(StrEnum):
    """Celery's states, upper case, as `GET /task/{id}` shows them."""

    PENDING = "PENDING"
    STARTED = "STARTED"
    RETRY = "RETRY"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen to the event."""
        return self in (State.SUCCESS, State.FAILURE)


class ProcessRequest(BaseModel):
    """Body of `POST /process`.

    `temperature` and `max_tokens` left out take the stream's values (0.7 and 1000 in `default`);
    `task_type` left out takes the stream's (general_analysis in `default`).
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "text": "The parcel came two days late, but the support was lovely.",
                    "task_type": "sentiment_analysis",
                }
            ]
        },
    )

    text: Text
    task_type: Name | None = None
    use_cache: bool = True
    model: Name | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=MAX_OUTPUT_TOKENS)] | None = None
    stream: Name = "default"


class KafkaMessage(BaseModel):
    """Value of a source topic's record. Fields that it does not know are left alone."""

    model_config = ConfigDict(extra="ignore", strict=True)

    text: Text
    event_id: EventId | None = None
    task_type: Name | None = None
    metadata: Metadata = Field(default_factory=dict)
    timestamp: str | int | Annotated[float, Field(allow_inf_nan=False)] | None = None


class KafkaSource(BaseModel):
    """Where a record stood."""

    model_config = ConfigDict(frozen=True)

    topic: str
    partition: int
    offset: int
    timestamp_ms: int = 0


class Event(BaseModel):
    """An accepted event, as it waits in the inbox. Everything is decided: no defaults are left."""

    model_config = ConfigDict(frozen=True)

    schema_number: int = SCHEMA
    id: str
    stream: str
    via: Via
    text: str
    task_type: str
    use_cache: bool = True
    model: str | None = None
    """The model the caller named, one of the stream's `allow`; None: the stream's own."""
    temperature: float
    max_tokens: int
    metadata: dict[str, Any] = Field(default_factory=dict)
    timestamp: str | int | float | None = None
    source: KafkaSource | None = None
    filled: frozenset[str] = Field(default=frozenset(), exclude=True)
    """Which fields the sender left to the stream's spec. Not stored: asked on acceptance only."""

    @property
    def digest(self) -> str:
        """Digest of text, task, stream and parameters: what makes a repeated id a duplicate."""
        return self._digest(frozenset())

    @property
    def digest_as_sent(self) -> str:
        """The same without what was filled in: no change of the stream's spec makes it another."""
        return self._digest(self.filled)

    @property
    def digests(self) -> str:
        """Both, one behind the other; the text is gone through once where they are the same."""
        digest = self.digest
        return digest + (self.digest_as_sent if self.filled else digest)

    def _digest(self, left_out: frozenset[str]) -> str:
        content = orjson.dumps(
            [
                self.stream,
                None if "task_type" in left_out else self.task_type,
                self.text,
                self.use_cache,
                self.model,
                None if "temperature" in left_out else float(self.temperature),
                None if "max_tokens" in left_out else self.max_tokens,
            ]
        )
        return hashlib.sha256(content).hexdigest()[:32]

    def to_json(self) -> bytes:
        """The event as it is stored in the inbox."""
        # What model_dump and orjson would write, in a third of the time.
        fields = self.__dict__.copy()
        del fields["filled"]
        return orjson.dumps(fields, default=vars)

    @classmethod
    def from_json(cls, stored: bytes) -> Event:
        """Read a stored event; raises EventRefused (`unreadable_entry`) for what it can't read."""
        try:
            return cls.model_validate_json(stored)
        except ValidationError as error:
            raise EventRefused(
                Reason.UNREADABLE_ENTRY, f"the inbox entry can't be read: {first_problem(error)[1]}"
            ) from error


class Result(BaseModel):
    """An answer, the same fields from the model and from the cache (a hit adds `similarity`)."""

    response: str
    task_type: str
    model: str
    processing_time: float
    """Seconds of work on this event, waiting in queues not included."""
    from_cache: bool
    metadata: dict[str, Any] = Field(default_factory=dict)
    """tokens_used, prompt_tokens, completion_tokens, cost_microdollars, finish_reason, ..."""
    similarity: float | None = None
    """The documented scale: 1 - cosine distance / 2. Only on a hit."""
    event_id: str | None = None
    event_metadata: dict[str, Any] | None = None

    def to_json(self) -> bytes:
        """The result as it is stored and published: absent fields are left out."""
        return orjson.dumps(self.model_dump(exclude_none=True))


class Failure(BaseModel):
    """Why an event has no answer: a stable reason and a sentence."""

    model_config = ConfigDict(frozen=True)

    reason: Reason
    message: str
    history: tuple[str, ...] = ()
    """What happened before, oldest first: deliveries, attempts."""


class TaskStatus(BaseModel):
    """Body of `GET /task/{id}`."""

    task_id: str
    status: State
    result: Result | None = None
    error: str | None = None
    progress: dict[str, Any] | None = None
    """stream, queue, accepted_at, started_at, finished_at (seconds), deliveries; reason: why it
    failed, or with `detail` what it waits for."""


def first_problem(error: ValidationError) -> tuple[str, str]:
    """(field, sentence) of the first thing that a validation found wrong."""
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    return field, f"{field or 'the body'}: {message}"
