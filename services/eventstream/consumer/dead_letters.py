"""Dead letters for the command line: reading them, and sending them through the stream again.

A dead letter stays where it is: the topic is a log. What became of its event since is asked of the
results, so nothing is replayed that is under way or answered.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

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


async def read_letters(
    settings: Settings, topic: str, selection: Selection | None = None
) -> list[DeadLetter]:
    """The dead letters of a topic that `selection` holds, oldest first.

    Raises KafkaUnavailable, TopicMissing.
    """
    wanted = selection or Selection()
    letters: list[DeadLetter] = []
    async with RangeReader(reader_config(settings), topic) as reader:
        ranges = await reader.whole()
        async for records in reader.read(_narrowed(ranges, wanted)):
            letters += [letter for letter in map(parse, records) if wanted.holds(letter)]
    letters.sort(key=lambda letter: (letter.failed_at is not None, letter.failed_at, letter.offset))
    return letters


async def statuses(results: Results, letters: Sequence[DeadLetter]) -> list[TaskStatus | None]:
    """What became of each letter's event since. Raises StoreUnavailable."""
    return await results.statuses([letter.event_id for letter in letters])


async def replay_letters(
    tools: Tools, source_topic: str, letters: Sequence[DeadLetter], *, dry_run: bool = False
) -> AsyncIterator[tuple[DeadLetter, Fate]]:
    """Send letters through the stream again, in order; yields what was done with each.

    A failed event is forgotten first, so that its id can be accepted anew: until the consumer has
    it again its status is unknown. Raises StoreUnavailable; to be run again is safe.
    """
    newest = {(letter.event_id, letter.value): letter.position for letter in letters}
    for letter in letters:
        [status] = await statuses(tools.results, [letter])
        fate = _fate(letter, status, newest[letter.event_id, letter.value])
        if fate is Fate.REPLAYED and not dry_run:
            if status is not None:
                await tools.inbox.cancel(letter.event_id)
            record = replayed(letter)
            await tools.producer.produce(source_topic, record.value, record.key, record.headers)
        yield letter, fate


def _fate(letter: DeadLetter, status: TaskStatus | None, newest: str) -> Fate:
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
