"""The two ways in, for `eventstream send`: the HTTP API, or a stream's Kafka topic.

Both take a batch of texts and say what became of each. A transport never waits by itself: when the
other side is busy it raises `Busy`, and what has no receipt yet may be handed in again.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, NamedTuple, Protocol

import orjson
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from pydantic import BaseModel

from eventstream.cli.client import Answer, ApiClient
from eventstream.cli.common import Unreachable, say
from eventstream.cli.texts import Text
from eventstream.errors import ConfigurationError, EventRefused, EventStreamError, Reason
from eventstream.incoming import decide_task_type
from eventstream.kafka.config import describe, producer_config
from eventstream.kafka.errors import TOO_LARGE, kafka_error, reason_of
from eventstream.settings import Settings
from eventstream.spec import StreamSpec

NewKey = Callable[[], str]
BROKER_ANSWER_SECONDS: Final = 5.0
FLUSH_SLICE_SECONDS: Final = 0.2
MAX_KEY_CHARS: Final = 255
AWAY_SECONDS: Final = 2.0
PLACE_IN_BATCH: Final = re.compile(r"events\.(\d+)\.?")


class Busy(EventStreamError):
    """Not now: come back after `retry_after_seconds` with the texts that have no receipt."""

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Place(NamedTuple):
    """Where a record stands in its topic."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one line: `task_id` when it was taken, `reason` and `message` when not.

    `event_id` is the id that the line brought, if it did. `place` is there through Kafka only.
    """

    line: int
    event_id: str | None = None
    task_id: str | None = None
    duplicate: bool = False
    reason: str = ""
    message: str = ""
    place: Place | None = None


class Transport(Protocol):
    """One way in."""

    def send(self, batch: Sequence[Text]) -> Iterator[list[Receipt]]:
        """Hand in a batch; a receipt a text, in order: those together that are certain together.

        Raises Busy, Unreachable, ConfigurationError.
        """
        ...


class _Piece(NamedTuple):
    """Texts that are on their way in one request: how many, and under which Idempotency-Key."""

    length: int
    key: str


class _Error(BaseModel):
    """What the API says is wrong with one event."""

    field: str = ""
    reason: str = "refused"
    message: str = "was refused"


class _Outcome(BaseModel):
    """What became of one event of a batch."""

    task_id: str | None
    duplicate: bool
    errors: list[_Error] = []


class _Accepted(BaseModel):
    """A batch of which something was accepted."""

    outcomes: list[_Outcome]


class _Problem(BaseModel):
    """A batch that was refused as a whole."""

    reason: str
    detail: str
    errors: list[_Error] = []


def random_key() -> str:
    """An id that nobody has."""
    return str(uuid.uuid4())


class HttpTransport:
    """Sends through `POST /process/batch`; a text with an id of its own as a batch of its own.

    That id becomes the Idempotency-Key, so that the same id and text sent again is the same event.
    Lines without go in pieces: the whole batch, and its halves where it is too large. A piece keeps
    its lines and its key until it is answered, so that a repeat after Busy never counts twice.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        stream: str,
        task_type: str | None,
        use_cache: bool,
        new_key: NewKey = random_key,
    ) -> None:
        self._client = client
        self._stream = stream
        self._task_type = task_type
        self._use_cache = use_cache
        self._new_key = new_key
        self._pieces: dict[int, _Piece] = {}  # By their first line.
        self._has_answered = False
        self._metadata_left_out = False

    def send(self, batch: Sequence[Text]) -> Iterator[list[Receipt]]:
        """See Transport."""
        for has_id, group in groupby(batch, lambda text: text.message.event_id is not None):
            if has_id:
                for text in group:
                    key = _header_value(str(text.message.event_id))
                    yield self._receipts([text], self._post([text], key))
            else:
                yield from self._send_in_pieces(list(group))

    def _send_in_pieces(self, texts: list[Text]) -> Iterator[list[Receipt]]:
        while texts:
            first = texts[0].line
            # A piece that was sent before may have been accepted without a word: cut at another
            # place, or under another key, its texts would be accepted once more.
            piece = self._pieces.setdefault(first, _Piece(len(texts), self._new_key()))
            together = texts[: piece.length]
            answer = self._post(together, piece.key)
            del self._pieces[first]
            if answer.status == 413 and piece.length > 1:
                middle = piece.length // 2
                self._pieces[first] = _Piece(middle, self._new_key())
                self._pieces[texts[middle].line] = _Piece(piece.length - middle, self._new_key())
            else:
                yield self._receipts(together, answer)
                texts = texts[piece.length :]

    def _receipts(self, texts: Sequence[Text], answer: Answer) -> list[Receipt]:
        if answer.status != 202:
            return list(self._refused(texts, answer))
        outcomes = self._client.read(_Accepted, answer).outcomes
        if len(outcomes) != len(texts):
            raise self._client.stranger()
        return [self._receipt(*each) for each in zip(texts, outcomes, strict=True)]

    def _post(self, texts: Sequence[Text], key: str) -> Answer:
        body = {"events": [self._body(text) for text in texts]}
        try:
            answer = self._client.post("/process/batch", body, key)
        except Unreachable as error:
            if not self._has_answered:
                raise
            # It was there a moment ago: a restart, most likely.
            raise Busy(error.message, AWAY_SECONDS) from error
        self._has_answered = True
        if answer.busy:
            raise Busy(answer.sentence, answer.wait_seconds)
        return answer

    def _body(self, text: Text) -> dict[str, Any]:
        body: dict[str, Any] = {"text": text.message.text, "stream": self._stream}
        if task_type := text.message.task_type or self._task_type:
            body["task_type"] = task_type
        if not self._use_cache:
            body["use_cache"] = False
        if text.message.metadata and not self._metadata_left_out:
            self._metadata_left_out = True
            say("metadata travels through Kafka only: it is left out here, the texts are sent")
        return body

    def _receipt(self, text: Text, outcome: _Outcome) -> Receipt:
        if outcome.task_id is not None:
            return Receipt(
                text.line,
                text.message.event_id,
                task_id=outcome.task_id,
                duplicate=outcome.duplicate,
            )
        return _refused(text, next(iter(outcome.errors), _Error()))

    def _refused(self, batch: Sequence[Text], answer: Answer) -> Iterator[Receipt]:
        """Receipts for a batch that was refused as a whole."""
        problem = self._client.read(_Problem, answer)
        reasons = {problem.reason, *(error.reason for error in problem.errors)}
        if "stream_not_found" in reasons:
            # True of every line, so it is said once.
            raise ConfigurationError(
                "--stream",
                f"there is no stream {self._stream!r}",
                "`eventstream streams` lists those that exist",
            )
        of_place = {
            place[1]: error
            for error in problem.errors
            if (place := PLACE_IN_BATCH.match(error.field)) is not None
        }
        general = _Error(reason=problem.reason, message=problem.detail)
        for index, text in enumerate(batch):
            # The answer names an error of each; where it should not, its general sentence stands.
            yield _refused(text, of_place.get(str(index), general))


class KafkaTransport:
    """Writes records to a topic: JSON with the fields of a Kafka event, keyed by event id.

    What the stream would refuse for its task type is refused here: it would become a dead letter.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        spec: StreamSpec,
        *,
        task_type: str | None = None,
        new_id: NewKey = random_key,
    ) -> None:
        try:
            decide_task_type(task_type, spec)
        except EventRefused as refusal:
            problem = str(refusal).removeprefix("task_type: ")
            raise ConfigurationError("--task-type", problem, "Name one of these") from refusal
        self._where = describe(settings)
        self._spec = spec
        self._topic = topic
        self._task_type = task_type
        self._new_id = new_id
        self._trouble = ""
        self._producer = Producer(producer_config(settings) | {"error_cb": self._remember})
        self._check_topic()

    def send(self, batch: Sequence[Text]) -> Iterator[list[Receipt]]:
        """See Transport."""
        reports: dict[int, Receipt | KafkaError] = {}
        for text in batch:
            try:
                decide_task_type(text.message.task_type, self._spec)
            except EventRefused as refusal:
                reports[text.line] = _not_sent(text, refusal.reason, str(refusal))
            else:
                self._produce(text, reports)
        self._flush()
        for text in batch:
            if _too_large(reports[text.line]):
                # What goes together is refused together: only by itself it is known to be it.
                self._produce(text, reports)
                self._flush()
            if _too_large(reports[text.line]):
                sentence = "is larger than the topic's records may be"
                reports[text.line] = _not_sent(text, "too_large", sentence)
            elif isinstance(reports[text.line], KafkaError):
                # Whatever comes behind it has no receipt, and would wait as long for its own.
                break
        certain: list[Receipt] = []
        for text in batch:
            report = reports[text.line]
            if isinstance(report, KafkaError):
                if certain:
                    yield certain
                raise self._unreachable(self._trouble or reason_of(report))
            certain.append(report)
        yield certain

    def _flush(self) -> None:
        while self._producer.flush(FLUSH_SLICE_SECONDS):
            # In slices, so that Ctrl-C gets a turn.
            pass

    def _produce(self, text: Text, reports: dict[int, Receipt | KafkaError]) -> None:
        event_id = text.message.event_id or self._new_id()
        value = self._value(text, event_id)

        def delivered(error: KafkaError | None, record: Message) -> None:
            if error is not None:
                reports[text.line] = error
                return
            place = Place(record.partition() or 0, record.offset() or 0)
            reports[text.line] = Receipt(
                text.line, text.message.event_id, task_id=event_id, place=place
            )

        while True:
            try:
                self._producer.produce(
                    self._topic, value, key=event_id.encode(), on_delivery=delivered
                )
            except BufferError:
                self._producer.poll(FLUSH_SLICE_SECONDS)
            except KafkaException as error:
                reports[text.line] = kafka_error(error)
                return
            else:
                return

    def _value(self, text: Text, event_id: str) -> bytes:
        document = text.message.model_dump(exclude_none=True, exclude_defaults=True)
        document["event_id"] = event_id
        if self._task_type and "task_type" not in document:
            document["task_type"] = self._task_type
        return orjson.dumps(document)

    def _check_topic(self) -> None:
        try:
            topics = self._producer.list_topics(timeout=BROKER_ANSWER_SECONDS).topics
        except KafkaException as error:
            self._producer.poll(0)
            raise self._unreachable(self._trouble or reason_of(error)) from error
        if self._topic not in topics:
            raise ConfigurationError(
                "--kafka",
                f"there is no topic {self._topic!r} at {self._where}",
                "`eventstream consumer` creates the topics of its streams",
            )

    def _remember(self, error: KafkaError) -> None:
        self._trouble = reason_of(error)

    def _unreachable(self, why: str) -> Unreachable:
        return Unreachable(
            f"Kafka at {self._where} did not take the texts: {why}. Check KAFKA_BOOTSTRAP_SERVERS"
        )


def _too_large(report: Receipt | KafkaError) -> bool:
    return isinstance(report, KafkaError) and report.code() in TOO_LARGE


def _not_sent(text: Text, reason: str, message: str) -> Receipt:
    return Receipt(text.line, text.message.event_id, reason=reason, message=message)


def _refused(text: Text, error: _Error) -> Receipt:
    own_id = text.message.event_id
    if error.reason == Reason.ID_CONFLICT and own_id is not None:
        # The API speaks of a key, which is how its id travelled.
        sentence = f"event_id: {own_id!r} was used for other content; give this text its own"
        return _not_sent(text, error.reason, sentence)
    return _not_sent(text, error.reason, _plain(error.message))


def _plain(message: str) -> str:
    """An error's sentence without the place in our own request that it begins with."""
    return PLACE_IN_BATCH.sub("", message, count=1)


def _header_value(event_id: str) -> str:
    """An id as an Idempotency-Key: as it is where a header can hold it, else a digest of it."""
    if event_id.isascii() and len(event_id) <= MAX_KEY_CHARS:
        return event_id
    return hashlib.sha256(event_id.encode()).hexdigest()
