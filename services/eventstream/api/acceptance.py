"""`POST /process` and `POST /process/batch`: from a body to a durable event.

The hot path: parse, decide, hand to the batcher, answer. 202 means that the event is in the inbox;
what can't be made sure of is a 503 that says when to come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, Final, TypeVar

import orjson
from prometheus_client import Counter
from starlette.requests import Request

from eventstream.api.context import context_of
from eventstream.api.parameters import idempotent_id, wait_seconds
from eventstream.api.parsing import read_model
from eventstream.api.parts import Parts, parts_of
from eventstream.api.problems import MAX_ERRORS, FieldError, HttpReason, Problem
from eventstream.api.replies import Reply, json_reply
from eventstream.api.schemas import (
    MAX_BATCH_EVENTS,
    BatchAccepted,
    BatchError,
    BatchOutcome,
    BatchRequest,
)
from eventstream.api.waiting import finished_within, status_reply
from eventstream.claims import FOREIGN_KEY, Acceptance, Arrival, Outcome
from eventstream.errors import EventRefused, Reason, StoreUnavailable
from eventstream.events import Event, ProcessRequest
from eventstream.incoming import event_from_request
from eventstream.metrics import EVENTS_ACCEPTED, EVENTS_DUPLICATE, EVENTS_REFUSED

VALIDATED_AT_ONCE: Final = 100
"""Events of a batch that are validated before other requests get a turn."""

UNKNOWN_STREAM: Final = "unknown"
"""Label of refusals that never got as far as a stream that exists."""

Answer = TypeVar("Answer")
_accepted: dict[str, Counter] = {}


async def process(request: Request) -> Reply:
    """Accept one event; with `?wait=` stay for its result."""
    parts = parts_of(request)
    context = context_of(request)
    stream = UNKNOWN_STREAM
    try:
        wait = wait_seconds(request)
        event_id = idempotent_id(request, context.principal)
        document = await parts.body.read_json(request)
        event = await _event(parts, read_model(ProcessRequest, document), event_id)
        stream = event.stream
        context.name_event(event.id)
        _refuse_when_full(parts)
        acceptance = await _in_time(parts, parts.acceptor.submit(Arrival(event)))
        if acceptance.outcome is Outcome.CONFLICT:
            raise _conflict(acceptance)
    except (Problem, EventRefused, StoreUnavailable) as refusal:
        _count_refused(stream, refusal)
        raise
    _count_accepted(stream, acceptance)
    if wait:
        status = await finished_within(request, event.id, wait)
        if status is not None and status.status.finished:
            return status_reply(status)
    return Reply(
        202,
        orjson.dumps(
            {
                "task_id": event.id,
                "status": "pending",
                "message": "Accepted. GET /task/{task_id} has the result",
                "estimated_time": parts.watch.estimated_seconds(stream),
            }
        ),
    )


async def process_batch(request: Request) -> Reply:
    """Accept up to 1,000 events in one atomic step; each gets its own outcome, in order.

    What is wrong with one event does not hold up the others. Where nothing at all can be accepted
    the answer is a problem that names every event's error; 503 where one of them may be tried
    again as it is.
    """
    parts = parts_of(request)
    try:
        read = await _read_batch(request, parts)
        events = [event for event in read if isinstance(event, Event)]
        if events:
            _refuse_when_full(parts)
        answers = await _in_time(parts, parts.accept([Arrival(event) for event in events]))
    except (Problem, StoreUnavailable) as refusal:
        # As a whole, once: of a body that can't be read nobody knows how many events it holds.
        _count_refused(UNKNOWN_STREAM, refusal)
        raise
    acceptances = iter(answers)
    outcomes = [
        _refused(index, problem_or_event)
        if isinstance(problem_or_event, Problem)
        else _outcome(index, problem_or_event, next(acceptances))
        for index, problem_or_event in enumerate(read)
    ]
    accepted = sum(outcome.status == "pending" for outcome in outcomes)
    if not accepted:
        for answer in answers:
            if isinstance(answer, StoreUnavailable):
                raise answer
        raise Problem(
            HttpReason.NOTHING_ACCEPTED,
            f"None of the {len(outcomes)} events was accepted; `errors` says why",
            errors=_errors_of_all(outcomes),
        )
    return json_reply(
        BatchAccepted(
            accepted=accepted,
            refused=len(outcomes) - accepted,
            outcomes=outcomes,
            estimated_time=max(
                parts.watch.estimated_seconds(stream) for stream in {e.stream for e in events}
            ),
        ),
        status=202,
    )


async def _read_batch(request: Request, parts: Parts) -> list[Event | Problem]:
    """What is in a batch, or what is wrong with it, in order. Raises Problem."""
    principal = context_of(request).principal
    read: list[Event | Problem] = []
    for index, item in enumerate(_batch_items(await parts.body.read_json(request))):
        if index and index % VALIDATED_AT_ONCE == 0:
            await asyncio.sleep(0)
        event_id = idempotent_id(request, principal, str(index))
        read.append(await _batch_event(parts, item, f"events.{index}", event_id))
    return read


def _batch_items(document: Any) -> Sequence[Any]:
    """The events of a batch body, each still to be validated by itself. Raises Problem."""
    items = document.get("events") if isinstance(document, dict) else None
    if (
        isinstance(items, list)
        and 0 < len(items) <= MAX_BATCH_EVENTS
        and document.keys() == {"events"}
    ):
        return items
    placeholder = {"text": "-"}  # Only the envelope is asked about here.
    if isinstance(items, list):
        document = {**document, "events": [placeholder] * len(items)}
    read_model(BatchRequest, document)
    raise AssertionError("the envelope's model and this function disagree")


async def _event(parts: Parts, asked: ProcessRequest, event_id: str | None) -> Event:
    spec = await parts.watch.find_stream(asked.stream)
    if spec is None:
        raise EventRefused(
            Reason.STREAM_NOT_FOUND,
            f"There is no stream {asked.stream!r}; GET /streams lists those that exist",
            "stream",
        )
    return event_from_request(asked, spec, event_id=event_id)


async def _batch_event(
    parts: Parts, item: Any, where: str, event_id: str | None
) -> Event | Problem:
    try:
        return await _event(parts, read_model(ProcessRequest, item, where), event_id)
    except Problem as problem:
        return problem
    except EventRefused as refusal:
        field = f"{where}.{refusal.field}" if refusal.field else where
        return Problem(
            refusal.reason,
            str(refusal),
            errors=[FieldError(field, refusal.reason, str(refusal))],
        )


def _outcome(index: int, event: Event, acceptance: Acceptance | StoreUnavailable) -> BatchOutcome:
    if isinstance(acceptance, StoreUnavailable):
        reason, message = HttpReason.STORE_UNAVAILABLE, str(acceptance)
        errors = [FieldError(f"events.{index}", reason, message)]
        return _refused(index, Problem(reason, message, errors=errors), event)
    if acceptance.outcome is Outcome.CONFLICT:
        conflict = _conflict(acceptance)
        where = FieldError(f"events.{index}", conflict.reason, conflict.detail)
        return _refused(index, Problem(conflict.reason, conflict.detail, errors=[where]), event)
    _count_accepted(event.stream, acceptance)
    return BatchOutcome(
        index=index,
        status="pending",
        task_id=event.id,
        duplicate=acceptance.outcome is Outcome.DUPLICATE,
        errors=[],
    )


def _refused(index: int, problem: Problem, event: Event | None = None) -> BatchOutcome:
    _count_refused(event.stream if event else UNKNOWN_STREAM, problem)
    return BatchOutcome(
        index=index,
        status="refused",
        task_id=None,
        duplicate=False,
        errors=[
            BatchError(field=error.field, reason=error.reason, message=error.message)
            for error in problem.errors
        ],
    )


def _errors_of_all(outcomes: Sequence[BatchOutcome]) -> list[FieldError]:
    """As many errors as an answer holds, in order; each event's first before any second."""
    ranked = [
        (rank, outcome.index, error)
        for outcome in outcomes
        for rank, error in enumerate(outcome.errors)
    ]
    ranked.sort(key=lambda each: each[0])
    kept = sorted(ranked[:MAX_ERRORS], key=lambda each: (each[1], each[0]))
    return [FieldError(error.field, error.reason, error.message) for _, _, error in kept]


async def _in_time(parts: Parts, accepting: Awaitable[Answer]) -> Answer:
    """What accepting answers; raises StoreUnavailable when Redis hangs."""
    try:
        # One time-out for the batch that is under way, one for ours.
        async with asyncio.timeout(2 * parts.settings.redis_timeout_seconds):
            return await accepting
    except TimeoutError:
        raise StoreUnavailable("Redis did not confirm in time that the event is stored") from None


def _refuse_when_full(parts: Parts) -> None:
    if parts.watch.full:
        raise Problem(
            HttpReason.BACKLOG_FULL,
            f"More than {parts.settings.api_max_backlog} events wait (API_MAX_BACKLOG)."
            " Try again when workers have caught up",
            retry_after_seconds=10,
        )


def _conflict(acceptance: Acceptance) -> Problem:
    message = (
        f"{acceptance.event_id}: {FOREIGN_KEY}"
        if acceptance.foreign
        else "This Idempotency-Key was used for other content. Use a new key for a new request, or"
        " repeat the first one exactly"
    )
    return Problem(
        Reason.ID_CONFLICT,
        message,
        errors=[FieldError("Idempotency-Key", Reason.ID_CONFLICT, message)],
    )


def _count_refused(stream: str, refusal: Problem | EventRefused | StoreUnavailable) -> None:
    reason = (
        HttpReason.STORE_UNAVAILABLE if isinstance(refusal, StoreUnavailable) else refusal.reason
    )
    EVENTS_REFUSED.labels(stream, "http", reason).inc()


def _count_accepted(stream: str, acceptance: Acceptance) -> None:
    counter = _accepted.get(stream)
    if counter is None:
        counter = _accepted[stream] = EVENTS_ACCEPTED.labels(stream, "http")
    counter.inc()
    if acceptance.outcome is Outcome.DUPLICATE:
        EVENTS_DUPLICATE.labels(stream, "http").inc()
