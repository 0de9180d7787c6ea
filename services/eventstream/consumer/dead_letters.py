"""Dead letters for the command line: reading them, and sending them through the stream again.

A dead letter stays where it is: the topic is a log. What became of its event since is asked of the
results, so nothing is replayed that is under way or answered.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from eventstream.claims import Cancellation
from eventstream.consumer.stream import Tools
from eventstream.errors import Reason
from eventstream.events import State, TaskStatus
from eventstream.kafka.config import reader_config
from eventstream.kafka.dead_letters import DeadLetter, parse, replayed
from eventstream.kafka.ranges import Range, RangeReader
from eventstream.results import Results
from eventstream.settings import Settings


class Fate(StrEnum):
    """What a replay did with a dead letter, or would do."""

    REPLAYED = "replayed"
    UNDER_WAY = "under_way"
    ANSWERED = "answered"
    ID_IN_USE = "id_in_use"
    NEWER_ONE = "newer_one"
    VALUE_LEFT_OUT = "value_left_out"

    @property
    def sentence(self) -> str:
        """What it means, for a person."""
        return _SENTENCES[self]


_SENTENCES = {
    Fate.REPLAYED: "sent to the source topic again",
    Fate.UNDER_WAY: "left: its event waits or is being answered",
    Fate.ANSWERED: "left: its event has an answer",
    Fate.ID_IN_USE: "left: its id still belongs to another event, so it would be refused again",
    Fate.NEWER_ONE: "left: a newer dead letter holds the same bytes under the same id",
    Fate.VALUE_LEFT_OUT: "left: its value was too large for the dead-letter topic",
}


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters are meant. Criteria of one kind widen, of different kinds narrow."""

    reasons: frozenset[str] = frozenset()
    event_ids: frozenset[str] = frozenset()
    positions: frozenset[str] = frozenset()

    def holds(self, letter: DeadLetter) -> bool:
        """Whether the dead letter is meant."""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.event_ids or letter.event_id in self.event_ids)
            and (not self.positions or letter.position in self.positions)
        )


@dataclass(frozen=True, slots=True)
class Found:
    """Dead letters, oldest first, and how many there were of which these are the newest."""

    letters: tuple[DeadLetter, ...]
    total: int


async def read_letters(
    settings: Settings, topic: str, selection: Selection | None = None, *, newest: int
) -> Found:
    """The `newest` dead letters of a topic that `selection` holds.

    No more than these are kept in memory. Raises KafkaUnavailable, TopicMissing.
    """
    letters: list[DeadLetter] = []
    total = 0
    async with RangeReader(reader_config(settings), topic) as reader:
        async for batch in _selected(reader, await reader.whole(), selection or Selection()):
            total += len(batch)
            letters = sorted([*letters, *batch], key=_age)[-newest:]
    return Found(tuple(letters), total)


async def statuses(results: Results, letters: Sequence[DeadLetter]) -> list[TaskStatus | None]:
    """What became of each letter's event since. Raises StoreUnavailable."""
    return await results.statuses([letter.event_id for letter in letters])


async def replay_letters(
    tools: Tools, topic: str, source_topic: str, selection: Selection, *, dry_run: bool = False
) -> AsyncIterator[list[tuple[DeadLetter, Fate]]]:
    """Send selected letters of `topic` through the stream again; yields what was done, in batches.

    A failed event is forgotten first, so that its id can be accepted anew: until the consumer has
    it again its status is unknown. The topic is read twice, so that of several letters with the
    same id and bytes only the newest counts, and only a batch is in memory. Raises
    KafkaUnavailable, TopicMissing, StoreUnavailable; to be run again is safe.
    """
    async with RangeReader(reader_config(tools.settings), topic) as reader:
        ranges = await reader.whole()
        newest: dict[bytes, str] = {}
        async for letters in _selected(reader, ranges, selection):
            newest.update({_content(letter): letter.position for letter in letters})
        async for letters in _selected(reader, ranges, selection):
            became = await statuses(tools.results, letters)
            fates = [
                (letter, _fate(letter, status, newest.get(_content(letter))))
                for letter, status in zip(letters, became, strict=True)
            ]
            if not dry_run:
                known = {status.task_id for status in became if status is not None}
                fates = [
                    (letter, await _freed(tools, letter))
                    if fate is Fate.REPLAYED and letter.event_id in known
                    else (letter, fate)
                    for letter, fate in fates
                ]
                again = [letter for letter, fate in fates if fate is Fate.REPLAYED]
                await asyncio.gather(*(_produce(tools, source_topic, each) for each in again))
            yield fates


async def _freed(tools: Tools, letter: DeadLetter) -> Fate:
    """Forget the failure, unless another replay has done so and the event has gone on since."""
    found = await tools.inbox.forget_failure(letter.event_id)
    return {
        Cancellation.UNFINISHED: Fate.UNDER_WAY,
        Cancellation.ANSWERED: Fate.ANSWERED,
    }.get(found, Fate.REPLAYED)


async def _produce(tools: Tools, source_topic: str, letter: DeadLetter) -> None:
    record = replayed(letter)
    await tools.producer.produce(source_topic, record.value, record.key, record.headers)


async def _selected(
    reader: RangeReader, ranges: dict[int, Range], selection: Selection
) -> AsyncIterator[list[DeadLetter]]:
    async for records in reader.read(_narrowed(ranges, selection)):
        letters = [letter for letter in map(parse, records) if selection.holds(letter)]
        if letters:
            yield letters


def _age(letter: DeadLetter) -> tuple[datetime, int]:
    return letter.failed_at or datetime.min.replace(tzinfo=UTC), letter.offset


def _content(letter: DeadLetter) -> bytes:
    """What makes two dead letters ones of the same event."""
    value = b"-" if letter.value is None else b"+" + letter.value
    return hashlib.sha256(letter.event_id.encode() + b"\0" + value).digest()


def _fate(letter: DeadLetter, status: TaskStatus | None, newest: str | None) -> Fate:
    if letter.value_left_out_bytes is not None:
        return Fate.VALUE_LEFT_OUT
    if letter.position != newest:
        return Fate.NEWER_ONE
    if status is None:
        return Fate.REPLAYED
    if letter.reason == Reason.ID_CONFLICT:
        return Fate.ID_IN_USE
    if status.status is State.SUCCESS:
        return Fate.ANSWERED
    return Fate.REPLAYED if status.status.finished else Fate.UNDER_WAY


def _narrowed(ranges: dict[int, Range], selection: Selection) -> dict[int, Range]:
    """Only the positions asked for, where nothing but positions was."""
    if not selection.positions:
        return ranges
    narrowed: dict[int, Range] = {}
    for position in selection.positions:
        partition, offset = (int(part) for part in position.split(":"))
        place = ranges.get(partition)
        if place is None or not place.first <= offset < place.end:
            continue
        before = narrowed.get(partition, Range(offset, offset + 1))
        narrowed[partition] = Range(min(before.first, offset), max(before.end, offset + 1))
    return narrowed
