"""A stream that spends its budget on a day in March."""

from __future__ import annotations

from datetime import UTC, datetime

from eventstream.llm.spending import Hold, Spending

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BUDGET = 1000


async def held(spending: Spending, estimate: int) -> Hold:
    """What is set aside of the budget, which must have as much left."""
    hold = await spending.hold("reviews", BUDGET, estimate)
    assert isinstance(hold, Hold)
    return hold
