"""A stream's use of its provider's limits and of its budget, from the day's counted usage.

The shared bucket itself is named by a digest of the account's key, which the operator has no right
to know; what was counted after each call tells the same, less what other streams use of a shared
account.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from eventstream.results import StreamCounters
from eventstream.spec import Limits
from eventstream_operator.observe.observation import (
    Allowance,
    BudgetUse,
    InboxDepth,
    ProviderUse,
)

MINUTE_SECONDS: Final = 60.0
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


class LastMinute:
    """Calls and tokens of the last minute, from counters that begin anew at midnight."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int, int]] = deque()
        self._last = DayUsage()
        self._calls = self._tokens = 0
        self._started = False

    def add(self, now: float, usage: DayUsage) -> tuple[int, int]:
        """(calls, tokens) since a minute before `now` (monotonic), as far as they were seen."""
        if self._started:
            anew = usage.calls < self._last.calls or usage.tokens < self._last.tokens
            base = DayUsage() if anew else self._last
            self._calls += usage.calls - base.calls
            self._tokens += usage.tokens - base.tokens
        self._started = True
        self._last = usage
        self._samples.append((now, self._calls, self._tokens))
        while len(self._samples) > 1 and self._samples[1][0] <= now - MINUTE_SECONDS:
            self._samples.popleft()
        _, calls, tokens = self._samples[0]
        return self._calls - calls, self._tokens - tokens


def provider_use(
    limits: Limits, used: tuple[int, int], inbox: InboxDepth, *, budget_spent: bool
) -> ProviderUse:
    """What the last minute took of the configured limits, and what waits for them now."""
    calls, tokens = used
    return ProviderUse(
        requests_per_minute=Allowance(limits.requests_per_minute, calls)
        if limits.requests_per_minute
        else None,
        tokens_per_minute=Allowance(limits.tokens_per_minute, tokens)
        if limits.tokens_per_minute
        else None,
        # An event is put back for a limit or for the budget; where that is not spent, for a limit.
        throttled=0 if budget_spent else inbox.deferred,
    )


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
