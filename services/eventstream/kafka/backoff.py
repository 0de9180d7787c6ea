"""How long to wait before trying again, and waiting that ends early when we are asked to stop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable


class Backoff:
    """Doubling waits with jitter: `first_seconds`, up to `most_seconds`.

    Jitter is half to all of the wait, so that many processes do not come back at once.
    """

    def __init__(
        self,
        first_seconds: float = 0.2,
        most_seconds: float = 5.0,
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._first_seconds = first_seconds
        self._most_seconds = most_seconds
        self._jitter = jitter
        self.tries = 0

    def next_seconds(self) -> float:
        """The wait before the next try; longer each time, until `reset`."""
        # 2 ** 30 is beyond any `most_seconds`, and no number grows without end.
        wait = min(self._most_seconds, self._first_seconds * 2.0 ** min(self.tries, 30))
        self.tries += 1
        return wait * (0.5 + 0.5 * self._jitter())

    def reset(self) -> None:
        """It worked: the next failure begins again with the first wait."""
        self.tries = 0


async def wait_or_stop(stop: asyncio.Event, seconds: float) -> bool:
    """Wait `seconds`, or until `stop` is set. Returns whether it is set."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True
