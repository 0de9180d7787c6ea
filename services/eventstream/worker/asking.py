"""The pipeline, held to its time: what one event does there ends that event alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from eventstream.claims import Failed, Held
from eventstream.errors import Reason, StoreUnavailable
from eventstream.logs import get_logger
from eventstream.pipeline import Ask, Deferral, Ending

log = get_logger(__name__)


class Pipelined(Protocol):
    """Events to endings: what a worker needs of the pipeline."""

    async def look_up(self, claim: Sequence[Held]) -> list[Ending | Ask]:
        """One outcome an event, in order; an Ask still needs the model."""
        ...

    async def ask(self, ask: Ask, *, deadline: float) -> Ending:
        """Ask the model; `deadline` in monotonic seconds."""
        ...


class Asking:
    """Looks up and asks; an event that does not end in `call_seconds` (of `clock`) has failed."""

    def __init__(
        self, pipeline: Pipelined, *, call_seconds: float, clock: Callable[[], float]
    ) -> None:
        self._pipeline = pipeline
        self._call_seconds = call_seconds
        self._clock = clock

    async def look_up(self, claim: Sequence[Held]) -> list[Ending | Ask]:
        """One outcome an event, in order, whatever happens."""
        try:
            async with asyncio.timeout(self._call_seconds):
                return await self._pipeline.look_up(claim)
        except TimeoutError:
            message = "the look-up did not end in time"
            return [held.failed(Reason.DEADLINE_EXCEEDED, message) for held in claim]
        except StoreUnavailable as error:
            wait = Deferral(error.retry_after_seconds, "store", str(error))
            return [wait for _ in claim]
        except Exception as error:  # noqa: BLE001  # a defect must not cross events
            if len(claim) > 1:
                # One of them is to blame: look each up by itself, so that only that one fails.
                return [outcome for held in claim for outcome in await self.look_up([held])]
            [held] = claim
            return [defect(held, error)]

    async def ask(self, held: Held, ask: Ask) -> Ending:
        """What the model says, or that it did not in time."""
        seconds = self._call_seconds
        try:
            # The pipeline keeps the deadline itself; this is for a call that does not.
            async with asyncio.timeout(seconds + 5):
                return await self._pipeline.ask(ask, deadline=self._clock() + seconds)
        except TimeoutError:
            return held.failed(
                Reason.DEADLINE_EXCEEDED, f"no answer within {seconds:g} s; send it again"
            )


def defect(held: Held, error: Exception) -> Failed:
    """An event's end by an error that nobody foresaw."""
    log.error("event_defect", event_id=held.event.id, stream=held.event.stream, exc_info=error)
    return held.failed(Reason.INTERNAL_ERROR, f"an unexpected {type(error).__name__}; see the log")
