"""What a stream used: calls and tokens of the last minute, and its budget, from the day's usage."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from eventstream.results import StreamCounters
from eventstream.spec import Limits
from eventstream_operator.observe.observation import BudgetUse, InboxDepth

_NEARLY_SPENT: Final = 0.02
"""Events wait for money and no more than this share is left: less than a call may cost."""


@dataclass(frozen=True, slots=True)
class DayUsage:
    """What was used on one UTC day."""

    calls: int = 0
    tokens: int = 0
    cost_microdollars: int = 0


def read_usage(stored: Mapping[bytes, bytes]) -> DayUsage:
    """A `usage:{stream}:{day}` hash."""
    numbers = {name: int(value) for name, value in stored.items()}
    return DayUsage(
        calls=numbers.get(b"calls", 0),
        tokens=numbers.get(b"prompt_tokens", 0) + numbers.get(b"completion_tokens", 0),
        cost_microdollars=numbers.get(b"cost_microdollars", 0),
    )


class Window:
    """How much a counter grew within the last minute, however often it began anew."""

    SECONDS: Final = 60.0

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()
        self._last: int | None = None
        self.total = 0
        """All growth since the first look."""

    def add(self, now: float, count: int) -> int:
        """The growth since a minute before `now` (monotonic), as far as it was seen."""
        if self._last is not None:
            # Less than before: it began anew.
            self.total += count - self._last if count >= self._last else count
        self._last = count
        self._samples.append((now, self.total))
        while len(self._samples) > 1 and self._samples[1][0] <= now - self.SECONDS:
            self._samples.popleft()
        return self.total - self._samples[0][1]


class LastMinute:
    """Calls and tokens of the last minute, from counters that begin anew at midnight."""

    def __init__(self) -> None:
        self._calls, self._tokens = Window(), Window()

    def add(self, now: float, usage: DayUsage) -> tuple[int, int]:
        """(calls, tokens) since a minute before `now` (monotonic), as far as they were seen."""
        return self._calls.add(now, usage.calls), self._tokens.add(now, usage.tokens)

    @property
    def calls(self) -> int:
        """All calls since the first look."""
        return self._calls.total


def budget_use(
    limits: Limits, usage: DayUsage, inbox: InboxDepth, counters: StreamCounters, failed_before: int
) -> BudgetUse | None:
    """The budget's use; None without a budget. `failed_before`: `budget_failures` of last time."""
    if limits.budget is None:
        return None
    limit = limits.budget.microdollars
    left = limit - usage.cost_microdollars
    call = usage.cost_microdollars / usage.calls if usage.calls else 0.0
    waits_for_money = inbox.deferred > 0 and left < limit * _NEARLY_SPENT
    return BudgetUse(
        spent_microdollars=usage.cost_microdollars,
        limit_microdollars=limit,
        exhausted=left <= call or waits_for_money or budget_failures(counters) > failed_before,
    )


def budget_failures(counters: StreamCounters) -> int:
    """Events that failed because the budget was spent."""
    return counters.failed_by_reason.get("budget_exhausted", 0)
