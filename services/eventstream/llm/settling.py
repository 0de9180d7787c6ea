"""What a call took, put in place of what was set aside for it: money and the shared limit.

However a call ends, its hold and its reservation end here. What became of it stands, whether Redis
hears of it or not: so nothing here raises StoreUnavailable. What was set aside is told of later
(`spending`), and what was reserved of the limit lapses by itself.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Literal

from eventstream import metrics
from eventstream.errors import StoreUnavailable
from eventstream.llm.call_spec import CallSpec, Tally
from eventstream.llm.cost import PriceList, Tokens
from eventstream.llm.failures import ProviderError
from eventstream.llm.limits import Freeze, Limiter, Reservation
from eventstream.llm.spending import Hold, Spending
from eventstream.llm.wire import Answered
from eventstream.logs import get_logger

log = get_logger(__name__)


@dataclass(frozen=True)
class Attempt:
    """One call that may be made now."""

    spec: CallSpec
    estimate: Tokens
    """The most that it may use."""
    hold: Hold
    reservation: Reservation
    tally: Tally


class Settling:
    """Ends attempts."""

    def __init__(self, prices: PriceList, spending: Spending, limiter: Limiter) -> None:
        self._prices = prices
        self._spending = spending
        self._limiter = limiter

    async def answered(self, attempt: Attempt, answer: Answered) -> None:
        """Count what an answer took."""
        await self._pay(attempt, answer.tokens)
        await _tell_if_redis_is_there(
            attempt.spec.stream,
            self._limiter.settle(attempt.reservation, tokens=answer.tokens.total, said=answer.said),
        )

    async def failed(
        self, attempt: Attempt, error: ProviderError, freeze: Freeze | None
    ) -> Literal["usage", "estimate", "nothing"]:
        """Count what a call without an answer took, and say by what that is known.

        `freeze`: for how long nobody may call.
        """
        tokens = error.counts_as(attempt.estimate)
        if tokens.total:
            await self._pay(attempt, tokens, guessed=error.estimated)
        else:
            await _tell_if_redis_is_there(attempt.spec.stream, self._spending.release(attempt.hold))
        await _tell_if_redis_is_there(
            attempt.spec.stream,
            self._limiter.settle(
                attempt.reservation, tokens=tokens.total, said=error.said, freeze=freeze
            ),
        )
        if error.estimated:
            return "estimate"
        return "usage" if tokens.total else "nothing"

    async def record_local(self, stream: str, tokens: Tokens) -> None:
        """Count a call that needs neither limit nor budget: the local model's."""
        hold = self._spending.no_hold(stream)
        await _tell_if_redis_is_there(
            stream, self._spending.record(hold, calls=1, tokens=tokens, cost=0)
        )

    async def cut_off(self, attempt: Attempt) -> None:
        """Count a call that nobody waits for any more: the provider bills it all the same.

        What it reserved of the limit stays counted. Cut off once more, the hold is told of later.
        """
        _say_cut_off(attempt.spec, counted="estimate")
        await self._pay(attempt, attempt.estimate, guessed=True)

    async def not_sent(self, attempt: Attempt) -> None:
        """Let go of what was meant for a call that was cut off before any of it was sent."""
        _say_cut_off(attempt.spec, counted="nothing")
        await _tell_if_redis_is_there(attempt.spec.stream, self._spending.release(attempt.hold))
        await _tell_if_redis_is_there(
            attempt.spec.stream, self._limiter.settle(attempt.reservation, tokens=0)
        )

    async def _pay(self, attempt: Attempt, tokens: Tokens, *, guessed: bool = False) -> None:
        """Count what a call has used, wherever usage is counted."""
        spec, tally = attempt.spec, attempt.tally
        cost = self._prices.cost_microdollars(spec.endpoint.facts.name, spec.model, tokens)
        (tally.guess if guessed else tally.add)(tokens, cost)
        labels = (spec.operation, spec.endpoint.facts.metric_name, spec.model)
        metrics.GEN_AI_TOKEN_USAGE.labels(*labels, "input").observe(tokens.prompt)
        if spec.operation == "chat":
            metrics.GEN_AI_TOKEN_USAGE.labels(*labels, "output").observe(tokens.completion)
        if cost:
            metrics.MODEL_COST.labels(spec.stream).inc(cost)
        telling = self._spending.record(attempt.hold, calls=1, tokens=tokens, cost=cost)
        await _tell_if_redis_is_there(spec.stream, telling)


async def _tell_if_redis_is_there(stream: str, telling: Awaitable[None]) -> None:
    """Tell Redis of a call; what it did not hear is told later, or lapses by itself."""
    try:
        await telling
    except StoreUnavailable as error:
        log.warning("a call's usage could not be recorded", stream=stream, why=str(error))


def _say_cut_off(spec: CallSpec, *, counted: str) -> None:
    log.info(
        "a model call was cut off",
        stream=spec.stream,
        provider=spec.endpoint.facts.name,
        model=spec.model,
        counted=counted,
    )
