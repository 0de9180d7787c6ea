"""What goes into the inbox and comes out of it, as plain values.

An arrival is accepted, claimed (then it is held, under a lease), and ends answered or failed, or
waits. Nothing here reads or writes: the inbox does.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, NamedTuple

from eventstream.errors import EventRefused, Reason, StoreUnavailable
from eventstream.events import Event, Failure, Result

Source = Literal["model", "exact", "semantic", "flight"]
"""Where an answer came from; `flight`: from the same question, asked at the same time."""


class Outcome(StrEnum):
    """What became of an arrival."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


_FOREIGN_KEY: Final = (
    "another program keeps something of its own in this Redis under {}: give EventStream"
    " a database or an EVENTSTREAM_PREFIX of its own"
)
FOREIGN_KEY: Final = _FOREIGN_KEY.format("the id's key")
"""What is told of such a conflict."""


def key_is_foreign(key: str) -> StoreUnavailable:
    """What is told where another program's key stands in the place of one that a queue needs."""
    return StoreUnavailable(_FOREIGN_KEY.format(key))


class Cancellation(StrEnum):
    """What `cancel` or `forget_failure` found; the last two were left alone by the latter."""

    CANCELLED = "cancelled"
    FORGOTTEN = "forgotten"
    NOT_FOUND = "not_found"
    UNFINISHED = "unfinished"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a transport hands over: the event and, from Kafka, its untouched bytes."""

    event: Event
    raw: bytes | None = None
    key: bytes | None = None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The answer to one arrival. `wake`: its queue has no wake-up under way."""

    event_id: str
    outcome: Outcome
    queue: str
    wake: bool = False
    foreign: bool = False
    """A conflict with another program's key, not with another event: FOREIGN_KEY says it."""


class Wait(NamedTuple):
    """An event to be let go of."""

    queue: str
    entry: str
    event_id: str
    seconds: float
    """0: it may be claimed again at once."""
    ending: bytes = b""
    """Kept with the event; what was kept before stays where this is empty."""
    why: str = ""
    """What it waits for, in one word, and in a sentence: for whoever asks for its status."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """An event held under a lease."""

    queue: str
    entry: str
    event: Event
    deliveries: int
    accepted_at_ms: int
    raw: bytes | None = None
    key: bytes | None = None
    acceptance: str = ""
    """Which acceptance of its id this is: the answer is none to another. Empty: an earlier
    version accepted it."""
    ending: bytes | None = None
    """How its work ended already, when only publishing that is left to do."""

    def wait(self, seconds: float, ending: bytes = b"", *, why: str = "", detail: str = "") -> Wait:
        """This event, let go of for so long (0: not at all), with its ending if it has one."""
        return Wait(self.queue, self.entry, self.event.id, seconds, ending, why, detail)

    def failed(self, reason: Reason, message: str, history: tuple[str, ...] = ()) -> Failed:
        """This event's end without an answer."""
        return Failed(
            queue=self.queue,
            entry=self.entry,
            event_id=self.event.id,
            stream=self.event.stream,
            acceptance=self.acceptance,
            failure=Failure(reason=reason, message=message, history=history),
        )


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An entry held under a lease that this process can't read, and why."""

    queue: str
    entry: str
    event_id: str
    acceptance: str
    refusal: EventRefused
    newer: bool
    """Written by a newer process: to be left to one."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What one claim brought from one queue."""

    fresh: tuple[Held, ...]
    suspects: tuple[Held, ...]
    """Events taken over from a process that let its lease end; to be run alone."""
    unreadable: tuple[Unreadable, ...]
    suspect_waits: bool
    wake: bool
    """More wait than this claim took, and no wake-up is under way: another worker is wanted."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An event's end: its result, and what is counted with it."""

    held: Held
    result: Result
    source: Source
    tokens: int = 0
    cost_microdollars: int = 0
    tokens_saved: int = 0
    saved_microdollars: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """An event's end without an answer."""

    queue: str
    entry: str
    event_id: str
    stream: str
    acceptance: str
    failure: Failure


@dataclass(frozen=True, slots=True)
class Depth:
    """How full one queue is."""

    queued: int
    in_flight: int
    deferred: int
    oldest_age_seconds: float
    """Of the oldest unfinished event, since it was accepted; 0 when there is none."""

    @property
    def length(self) -> int:
        """The documented queue length: queued + in flight."""
        return self.queued + self.in_flight

    @property
    def unfinished(self) -> int:
        """Everything that is accepted and not finished, deferred events included."""
        return self.length + self.deferred
