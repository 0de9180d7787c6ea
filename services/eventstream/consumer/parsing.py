"""Records -> events and dead letters. Pure, and total: every record becomes one or the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from eventstream.claims import FOREIGN_KEY, Acceptance, Arrival, Outcome
from eventstream.errors import EventRefused, Reason
from eventstream.events import Event
from eventstream.incoming import default_event_id, event_from_kafka
from eventstream.kafka import dead_letters
from eventstream.kafka.dead_letters import Record
from eventstream.kafka.records import SourceRecord
from eventstream.logs import get_logger
from eventstream.spec import StreamSpec

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that can't be accepted, and its dead letter."""

    record: SourceRecord
    reason: Reason
    event_id: str
    letter: Record


@dataclass(frozen=True, slots=True)
class Parsed:
    """A batch, sorted. `good` and `arrivals` go together, in the order of the records."""

    good: tuple[SourceRecord, ...]
    arrivals: tuple[Arrival, ...]
    refused: tuple[Refused, ...]


def parse(
    records: Sequence[SourceRecord],
    stream: str,
    spec: StreamSpec,
    *,
    max_bytes: int,
    now: datetime,
) -> Parsed:
    """Sort records into arrivals for the inbox and refusals. Never raises for a record."""
    good: list[SourceRecord] = []
    arrivals: list[Arrival] = []
    refused: list[Refused] = []
    for record in records:
        try:
            event = _event(record, stream, spec, max_bytes)
        except EventRefused as refusal:
            refused.append(refuse(record, stream, refusal.reason, str(refusal), now))
            continue
        except Exception:
            # A record that we did not foresee must not stop the good ones behind it.
            log.exception("record_unreadable", stream=stream, source=record.source.model_dump())
            refused.append(
                refuse(record, stream, Reason.INTERNAL_ERROR, "the record can't be read", now)
            )
            continue
        good.append(record)
        arrivals.append(Arrival(event=event, raw=record.value, key=record.key))
    return Parsed(tuple(good), tuple(arrivals), tuple(refused))


def refuse(record: SourceRecord, stream: str, reason: Reason, error: str, now: datetime) -> Refused:
    """A refusal with its dead letter."""
    letter = dead_letters.from_refusal(record, stream, reason, error, now)
    return Refused(record, reason, dead_letters.event_id_of(record), letter)


def conflicts(
    parsed: Parsed, acceptances: Sequence[Acceptance], stream: str, now: datetime
) -> list[Refused]:
    """The dead letters of those whose id is taken: by other content, or by another program."""
    return [
        refuse(
            record,
            stream,
            Reason.ID_CONFLICT,
            FOREIGN_KEY
            if acceptance.foreign
            else f"the id {acceptance.event_id!r} was used for another text or task before",
            now,
        )
        for record, acceptance in zip(parsed.good, acceptances, strict=True)
        if acceptance.outcome is Outcome.CONFLICT
    ]


def _event(record: SourceRecord, stream: str, spec: StreamSpec, max_bytes: int) -> Event:
    event = event_from_kafka(record.value, record.source, stream, spec, max_bytes)
    carried = dead_letters.replayed_event_id(record)
    if carried is not None and event.id == default_event_id(record.source):
        # A replayed dead letter goes on under the id that it had.
        return event.model_copy(update={"id": carried})
    return event
