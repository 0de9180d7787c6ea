"""What the demonstration shows, computed from the statuses of its own events: pure functions."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eventstream.events import State, TaskStatus
from eventstream.llm.cost import PriceList, Tokens

REFERENCE_MODEL = "gpt-4o-mini"
"""Whose price stands in for the local model's, which costs nothing."""


@dataclass(frozen=True)
class Spending:
    """Model calls that were made or spared, and what they took or would have taken."""

    calls: int = 0
    tokens: int = 0
    microdollars: int = 0

    def at_reference(self, prices: PriceList) -> int:
        """Micro-dollars of the tokens at the reference model's input price: a lower bound.

        For the local model, which costs nothing; what was answered costs more than what was read.
        """
        return prices.cost_microdollars("openai", REFERENCE_MODEL, Tokens(prompt=self.tokens)) or 0


@dataclass(frozen=True)
class Figures:
    """Where the demonstration stands."""

    total: int
    sent: int
    answered: int
    failed: int
    hits: int
    used: Spending
    saved: Spending
    p50_seconds: float | None
    p95_seconds: float | None
    models: tuple[str, ...] = ()

    @property
    def finished(self) -> int:
        """Events that have their answer or their reason."""
        return self.answered + self.failed

    @property
    def backlog(self) -> int:
        """Events on their way: in the broker, in the inbox or with a worker."""
        return self.sent - self.finished

    @property
    def hit_rate(self) -> float:
        """Share of the answers that came from the cache, 0 to 1."""
        return self.hits / self.answered if self.answered else 0.0

    @property
    def whole(self) -> bool:
        """Whether every event was sent and is finished: the counts add up."""
        return self.sent == self.total == self.finished


def figures(total: int, sent: int, statuses: Iterable[TaskStatus]) -> Figures:
    """The figures of `sent` events out of `total`, from the statuses that are known."""
    done = [status for status in statuses if status.status.finished]
    results = [status.result for status in done if status.result is not None]
    hits = [result for result in results if result.from_cache]
    misses = [result for result in results if not result.from_cache]
    seconds = sorted(_latencies(done))
    return Figures(
        total=total,
        sent=sent,
        answered=sum(1 for status in done if status.status is State.SUCCESS),
        failed=sum(1 for status in done if status.status is State.FAILURE),
        hits=len(hits),
        used=_spending([result.metadata for result in misses], "tokens_used", "cost_microdollars"),
        saved=_spending([result.metadata for result in hits], "tokens_saved", "saved_microdollars"),
        p50_seconds=quantile(seconds, 0.50),
        p95_seconds=quantile(seconds, 0.95),
        models=tuple(sorted({result.model for result in results})),
    )


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that `share` (0 to 1) of the ordered values do not exceed."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _latencies(done: Iterable[TaskStatus]) -> Iterable[float]:
    for status in done:
        times = status.progress or {}
        if "accepted_at" in times and "finished_at" in times:
            yield max(0.0, float(times["finished_at"]) - float(times["accepted_at"]))


def _spending(metadata: Sequence[dict[str, object]], tokens: str, microdollars: str) -> Spending:
    def total(name: str) -> int:
        return sum(int(str(values.get(name) or 0)) for values in metadata)

    return Spending(len(metadata), total(tokens), total(microdollars))
