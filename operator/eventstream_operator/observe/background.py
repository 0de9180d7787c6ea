"""A signal that is slower than a pass: read beside the passes, its last value with its age.

A reading that fails changes nothing but the age. What is wrong is logged once, and once more when
it is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, Never, TypeVar

from eventstream.errors import EventStreamError
from eventstream.logs import get_logger

T = TypeVar("T")

log = get_logger(__name__)


class Background(Generic[T]):
    """`read` every `every_seconds`; it raises an EventStreamError when it can't."""

    def __init__(
        self,
        signal: str,
        read: Callable[[], Awaitable[T]],
        *,
        every_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self.signal = signal
        self._read = read
        self._every_seconds = every_seconds
        self._clock = clock
        self._value: T | None = None
        self._read_at: float | None = None
        self._failing = False

    @property
    def value(self) -> T | None:
        """The last good reading; None before the first."""
        return self._value

    @property
    def age_seconds(self) -> float:
        """Of that reading; infinite before the first."""
        return float("inf") if self._read_at is None else self._clock() - self._read_at

    async def refresh(self) -> None:
        """Read once."""
        began = self._clock()
        try:
            self._value = await self._read()
        except EventStreamError as error:
            if not self._failing:
                log.warning("signal_missing", signal=self.signal, problem=str(error))
            self._failing = True
            return
        except Exception as error:  # an answer that nobody thought of is no reading either
            if not self._failing:
                log.error("signal_missing", signal=self.signal, exc_info=error)
            self._failing = True
            return
        # Its age counts from before it was read: it was true no later than that.
        self._read_at = began
        if self._failing:
            log.info("signal_back", signal=self.signal)
        self._failing = False

    async def run(self) -> Never:
        """Refresh for ever."""
        while True:
            await self.refresh()
            await asyncio.sleep(self._every_seconds)
