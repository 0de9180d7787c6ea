"""A call to a provider, made well: limits, budget, retries, cost, metrics.

One attempt sets money aside, takes its turn in the shared limit, calls, and settles both with what
was really used. What may pass is tried again with jittered exponential back-off until the tries or
the event's deadline are used up; then the event is deferred, not failed: a provider that is away
for a minute costs no event (`patience` says when it does). docs/models.md has the table of what
follows from what.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from typing import Final, TypeVar

from eventstream import metrics
from eventstream.errors import Reason, StoreUnavailable
from eventstream.keys import Keys
from eventstream.llm.call_spec import CallSpec, Tally
from eventstream.llm.contract import CallDeferred, CallFailed
from eventstream.llm.cost import PriceList, Tokens
from eventstream.llm.failures import ErrorKind, ProviderError
from eventstream.llm.limits import Freeze, Limiter, Refused, Reservation
from eventstream.llm.patience import Patience
from eventstream.llm.settling import Attempt, Settling
from eventstream.llm.spending import BudgetState, Hold, Spending
from eventstream.llm.transport import Sending
from eventstream.llm.wire import Answered
from eventstream.logs import get_logger
from eventstream.redis_client import AsyncRedis
from eventstream.spec import Budget

log = get_logger(__name__)

MAX_ATTEMPTS: Final = 5
ATTEMPT_TIMEOUT_SECONDS: Final = 60.0
FIRST_BACK_OFF_SECONDS: Final = 0.5
MAX_BACK_OFF_SECONDS: Final = 8.0
AWAY_SECONDS: Final = 15.0
QUOTA_SECONDS: Final = 60.0
MAX_RETRY_AFTER_SECONDS: Final = 300.0
BUDGET_CHECK_SECONDS: Final = 120.0
"""A held event looks again after this long: a budget may be raised before midnight."""
BUDGET_IN_FLIGHT_SECONDS: Final = 2.0
_LEAST_SECONDS: Final = 0.05

A = TypeVar("A", bound=Answered)


class Calls:
    """Makes calls. `clock` is monotonic seconds, `jitter` gives numbers in [0, 1)."""

    def __init__(
        self,
        redis: AsyncRedis,
        keys: Keys,
        prices: PriceList,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        jitter: Callable[[], float],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._prices = prices
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._now = now
        self._limiter = Limiter(redis, keys)
        self._spending = Spending(redis, keys, now=now)
        self._settling = Settling(prices, self._spending, self._limiter)
        self._patience = Patience(redis, keys)

    async def record_local(self, stream: str, tokens: Tokens) -> None:
        """Count a call that needed neither limit nor budget: the local model's."""
        await self._settling.record_local(stream, tokens)

    async def leave(self, spec: CallSpec) -> None:
        """Give back a place in line that the holder will not come back for."""
        with suppress(StoreUnavailable):  # it lapses by itself
            await self._limiter.leave(spec.bucket, spec.in_line)

    async def aclose(self) -> None:
        """Tell what Redis could not be told of calls that were made."""
        await self._spending.aclose()

    async def run(
        self,
        spec: CallSpec,
        estimate: Tokens,
        send: Callable[[float, Sending], Awaitable[A]],
        tally: Tally,
    ) -> A:
        """What `send(timeout_seconds, sending)` brings in the end. `estimate`: most it may use.

        Raises CallDeferred, CallFailed, StoreUnavailable.
        """
        for number in range(1, MAX_ATTEMPTS + 1):
            hold = await self._hold(spec, estimate)
            try:
                reservation = await self._turn(spec, estimate)
            except (Exception, asyncio.CancelledError):
                # There is no call. Where Redis is away, it is told of that later.
                with suppress(StoreUnavailable):
                    await asyncio.shield(self._spending.release(hold))
                raise
            tally.attempts += 1
            attempt = Attempt(spec, estimate, hold, reservation, tally)
            started, sending = self._clock(), Sending()
            try:
                answer = await send(self._timeout(spec), sending)
            except asyncio.CancelledError:
                if sending.begun:
                    await self._settling.cut_off(attempt)
                else:
                    await self._settling.not_sent(attempt)
                raise
            except ProviderError as error:
                self._measure(spec, started, error.kind.value)
                wait = await self._after_error(attempt, number, error)
            else:
                self._measure(spec, started, "")
                await self._settling.answered(attempt, answer)
                return answer
            if wait is None:
                break
            await self._sleep(wait)
        raise await self._deferral(spec, AWAY_SECONDS, ErrorKind.SERVER, tally.history)

    # -- before a call -------------------------------------------------------------------------

    async def _hold(self, spec: CallSpec, estimate: Tokens) -> Hold:
        if spec.budget is None:
            return self._spending.no_hold(spec.stream)
        cost = self._prices.cost_microdollars(spec.endpoint.facts.name, spec.model, estimate)
        assert cost is not None  # Models.plan refuses a budget without a price
        gauge, slept = metrics.BUDGET_EXHAUSTED.labels(spec.stream), 0.0
        while True:
            held = await self._spending.hold(spec.stream, spec.budget.microdollars, cost)
            if isinstance(held, Hold):
                gauge.set(0)
                return held
            if held is BudgetState.SPENT:
                gauge.set(1)
                raise self._spent(spec.stream, spec.budget)
            wait = self._spread(BUDGET_IN_FLIGHT_SECONDS)
            if self._is_too_long(spec, slept, wait):
                raise CallDeferred(
                    wait,
                    "budget",
                    f"calls under way may use up the day's budget of stream {spec.stream!r}",
                )
            await self._sleep(wait)
            slept += wait

    def _spent(self, stream: str, budget: Budget) -> CallDeferred | CallFailed:
        message = (
            f"the budget of stream {stream!r}, {budget.usd:g} dollars a UTC day,"
            " leaves too little for this call"
        )
        if budget.on_exhausted == "Fail":
            return CallFailed(Reason.BUDGET_EXHAUSTED, message)
        wait = min(self._spread(BUDGET_CHECK_SECONDS), self._until_midnight() + 1)
        return CallDeferred(wait, "budget", message)

    def _until_midnight(self) -> float:
        now = self._now().astimezone(UTC)
        tomorrow = datetime.combine(now.date() + timedelta(days=1), time(), UTC)
        return (tomorrow - now).total_seconds()

    async def _turn(self, spec: CallSpec, estimate: Tokens) -> Reservation:
        slept = 0.0
        while True:
            got = await self._limiter.reserve(
                spec.bucket, spec.limit, tokens=estimate.total, holder=spec.in_line
            )
            if isinstance(got, Reservation):
                return got
            if slept == 0.0:
                metrics.LIMIT_WAITS.labels(
                    f"{spec.endpoint.facts.name}:{spec.model}", got.shortage
                ).inc()
            wait = max(got.wait_seconds, 0.001)
            if got.shortage == "frozen" and got.why in (ErrorKind.AUTH, ErrorKind.QUOTA):
                raise await self._deferral(spec, wait, ErrorKind(got.why), [], called=False)
            if self._is_too_long(spec, slept, wait):
                if not spec.patient:
                    await self._limiter.leave(spec.bucket, spec.in_line)
                raise CallDeferred(
                    # Who has a place in line comes back for it; the others spread.
                    wait if got.shortage != "frozen" else self._spread(wait),
                    "rate_limit",
                    self._shortage(spec, got),
                )
            await self._sleep(wait)
            slept += wait

    def _shortage(self, spec: CallSpec, got: Refused) -> str:
        if got.shortage == "frozen":
            return f"{spec.who} asked all workers to wait {got.wait_seconds:.1f} s"
        return f"the {got.shortage} limit of {spec.who} is free in {got.wait_seconds:.1f} s"

    # -- after a call --------------------------------------------------------------------------

    async def _after_error(
        self, attempt: Attempt, number: int, error: ProviderError
    ) -> float | None:
        """Seconds until the next attempt; None: no more. Raises what ends the call."""
        spec, tally = attempt.spec, attempt.tally
        tally.history.append(f"attempt {tally.attempts}: {error.message}")
        freeze = self._freeze(error, number)
        counted = await self._settling.failed(attempt, error, freeze)
        log.info(
            "a model call failed",
            stream=spec.stream,
            provider=spec.endpoint.facts.name,
            model=spec.model,
            kind=error.kind.value,
            attempt=number,
            reason=error.message,
            counted=counted,
        )
        if error.kind in (ErrorKind.AUTH, ErrorKind.QUOTA):
            assert freeze is not None
            log.error(
                "the provider refuses the key or its account is spent: events wait",
                stream=spec.stream,
                provider=spec.endpoint.facts.name,
                model=spec.model,
                reason=error.message,
            )
            raise await self._deferral(spec, freeze.seconds, error.kind, tally.history)
        if error.kind is ErrorKind.RATE_LIMITED:
            assert freeze is not None
            if freeze.seconds > spec.longest_wait_seconds or number == MAX_ATTEMPTS:
                raise CallDeferred(
                    self._spread(freeze.seconds),
                    "rate_limit",
                    f"{spec.who} asked to wait {freeze.seconds:.1f} s",
                )
            self._retry(spec, error.kind)
            # The frozen bucket makes this event wait like all others, a little spread.
            return self._jitter() * FIRST_BACK_OFF_SECONDS
        if not error.kind.passing:
            raise CallFailed(
                Reason.PROVIDER_REFUSED,
                f"{spec.who} refused the request, {error.message}",
                tuple(tally.history),
            )
        wait = self._back_off(number, error.retry_after_seconds)
        if number == MAX_ATTEMPTS or wait > self._left(spec) - 1:
            return None
        self._retry(spec, error.kind)
        return wait

    def _freeze(self, error: ProviderError, number: int) -> Freeze | None:
        if error.kind is ErrorKind.RATE_LIMITED:
            asked = error.retry_after_seconds
            seconds = self._back_off(number, None) if asked is None else asked
            return Freeze(min(max(seconds, _LEAST_SECONDS), MAX_RETRY_AFTER_SECONDS), error.kind)
        if error.kind is ErrorKind.AUTH:
            return Freeze(AWAY_SECONDS, error.kind)
        if error.kind is ErrorKind.QUOTA:
            return Freeze(QUOTA_SECONDS, error.kind)
        return None

    async def _deferral(
        self,
        spec: CallSpec,
        wait_seconds: float,
        kind: ErrorKind,
        history: list[str],
        *,
        called: bool = True,
    ) -> CallDeferred | CallFailed:
        refused = kind in (ErrorKind.AUTH, ErrorKind.QUOTA)
        return await self._patience.deferral(
            spec, self._spread(wait_seconds), history, refused=refused, called=called
        )

    # -- small things --------------------------------------------------------------------------

    def _is_too_long(self, spec: CallSpec, slept: float, wait: float) -> bool:
        return slept + wait > spec.longest_wait_seconds or wait > self._left(spec) - 1

    def _left(self, spec: CallSpec) -> float:
        return spec.deadline - self._clock()

    def _timeout(self, spec: CallSpec) -> float:
        return max(_LEAST_SECONDS, min(ATTEMPT_TIMEOUT_SECONDS, self._left(spec)))

    def _back_off(self, number: int, asked_seconds: float | None) -> float:
        """Full jitter over the upper half: half to all of 0.5, 1, 2, 4, 8 s; longer if asked."""
        longest = min(MAX_BACK_OFF_SECONDS, math.ldexp(FIRST_BACK_OFF_SECONDS, number - 1))
        return max(longest * (0.5 + 0.5 * self._jitter()), asked_seconds or 0.0)

    def _spread(self, seconds: float) -> float:
        """Up to a quarter more, so that those who wait do not all come back at once."""
        return seconds * (1 + 0.25 * self._jitter())

    def _retry(self, spec: CallSpec, kind: ErrorKind) -> None:
        metrics.MODEL_RETRIES.labels(spec.stream, kind.value).inc()

    def _measure(self, spec: CallSpec, started: float, error_type: str) -> None:
        metrics.GEN_AI_DURATION.labels(
            spec.operation, spec.endpoint.facts.metric_name, spec.model, error_type
        ).observe(max(0.0, self._clock() - started))
