"""Claimed entries of an inbox, as they are stored, read as events that are held.

What a newer process wrote is left to one, whether or not it can be read here: what its new fields
ask for would be left out, and nobody would know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from eventstream.claims import Held, Unreadable
from eventstream.errors import EventRefused, Reason
from eventstream.events import Event
from eventstream.keys import SCHEMA


def read_entries(
    queue: str, entries: Sequence[Sequence[Any]]
) -> tuple[list[Held], list[Unreadable]]:
    """What claim.lua gave out: {entry id, deliveries, accepted_at ms, fields} each, in order."""
    held: list[Held] = []
    unreadable: list[Unreadable] = []
    for entry, deliveries, accepted_at_ms, flat in entries:
        fields: dict[bytes, bytes] = dict(zip(flat[::2], flat[1::2], strict=True))
        acceptance = fields.get(b"acceptance", b"").decode("utf-8", "replace")
        stored = fields.get(b"event", b"")
        try:
            event = _read(stored)
        except EventRefused as refusal:
            unreadable.append(
                Unreadable(
                    queue=queue,
                    entry=entry.decode(),
                    event_id=fields.get(b"id", b"").decode("utf-8", "replace"),
                    acceptance=acceptance,
                    refusal=refusal,
                    newer=_schema_of(stored) > SCHEMA,
                )
            )
            continue
        held.append(
            Held(
                queue=queue,
                entry=entry.decode(),
                event=event,
                deliveries=deliveries,
                accepted_at_ms=accepted_at_ms,
                acceptance=acceptance,
                raw=fields.get(b"raw"),
                key=fields.get(b"key"),
                ending=fields.get(b"ending"),
            )
        )
    return held, unreadable


def _read(stored: bytes) -> Event:
    event = Event.from_json(stored)
    if event.schema_number > SCHEMA:
        raise EventRefused(
            Reason.UNREADABLE_ENTRY,
            f"the inbox entry is of a newer version (schema {event.schema_number})",
        )
    return event


def _schema_of(stored: bytes) -> int:
    try:
        document = orjson.loads(stored)
    except orjson.JSONDecodeError:
        return 0
    number = document.get("schema_number", 0) if isinstance(document, dict) else 0
    return number if isinstance(number, int) else 0
