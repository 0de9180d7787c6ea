"""The numbers of a drain, and what its longest time leaves to a call and to its end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

CLAIM_SECONDS: Final = 5.0
"""So long a run claims at least, where its end leaves no more for a call that is begun last."""


@dataclass(frozen=True, slots=True)
class DrainSettings:
    """The numbers of a drain."""

    slots: int
    lease_seconds: float
    deadline_seconds: float
    max_deliveries: int
    shutdown_seconds: float
    most_seconds: float = 60.0
    """After this long it claims no more, and ends when what it holds is finished."""
    linger_seconds: float = 0.25
    """How long it looks on when nothing waits: cheaper than a wake-up an event."""
    longest_seconds: float = math.inf
    """Then a run is over: what can't be finished by then is given back."""

    @property
    def grace_seconds(self) -> float:
        """What the end of a run leaves to what is under way."""
        return min(self.shutdown_seconds, self.longest_seconds / 4)

    @property
    def call_seconds(self) -> float:
        """Most for one event. A call that can't but be cut off would never end its event."""
        left = self.longest_seconds - self.grace_seconds - CLAIM_SECONDS
        return min(self.deadline_seconds, max(self.longest_seconds / 2, left))
