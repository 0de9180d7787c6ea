"""Single flight: the same question, asked twice at once, is asked of the model once.

The first to claim a question leads; the others wait until the leader has stored its answer or is
gone, and then look into the cache again. A lead is a key with a short life that its process keeps
renewing, so a leader that dies is replaced within that life. One task a process renews all leads
and watches all waits, in one pipeline a tick. A Redis that does not answer in time may only be
slow, so it is asked again for a moment before anyone asks the model a second time. Where it is
away each process leads for itself: an event is never held up for long by the cache.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final

from eventstream.cache.keys import CacheKeys
from eventstream.cache.server import RELEASE_SCRIPT, BoundedPipelines
from eventstream.tasks import end

LEASE_SECONDS: Final = 5.0
LONGEST_WAIT_SECONDS: Final = 120.0
TICK_SECONDS: Final = 0.05
_HOLD_SCRIPT: Final = (
    "local holder = redis.call('get', KEYS[1])"
    " if holder == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end"
    " if not holder then redis.call('set', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1 end return 0"
)
"""Keep a lead, or take it (again) where nobody has it: KEYS the lead, ARGV token, milliseconds."""


@dataclass(eq=False)
class _Landing:
    """What those who wait in this process are told."""

    done: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: object | None = None


@dataclass(eq=False)
class FlightLease:
    """The right to ask the model this question; leave its block once the answer is stored."""

    key: str
    _flights: "Flights"
    _token: str
    _renew_at: float
    _landing: _Landing = field(default_factory=_Landing)

    def land(self, outcome: object) -> None:
        """Hand this to those who wait in this process, whatever becomes of the cache.

        The answer, or whatever else the leader has to say; nobody here looks into it.
        """
        self._landing.outcome = outcome

    async def release(self) -> None:
        """Let the others look for the answer; doing it twice does no harm. Never raises."""
        await self._flights._release(self)

    async def __aenter__(self) -> "FlightLease":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.release()


@dataclass(eq=False)
class FlightWait:
    """Somebody else asks this question now."""

    key: str
    _longest_seconds: float
    _token: bytes
    _landing: _Landing

    @property
    def outcome(self) -> object | None:
        """What the leader landed, where it was in this process and landed anything."""
        return self._landing.outcome

    async def wait(self) -> bool:
        """Wait for the leader; whether it landed (or died) in time.

        True: take `outcome`, or look into the cache again, and claim again if it is still a miss.
        False: it took too long, ask the model yourself.
        """
        try:
            async with asyncio.timeout(self._longest_seconds):
                await self._landing.done.wait()
        except TimeoutError:
            return False
        return True


class Flights:
    """All leads and waits of this process."""

    def __init__(
        self,
        pipelines: BoundedPipelines,
        keys: CacheKeys,
        *,
        clock: Callable[[], float],
        lease_seconds: float = LEASE_SECONDS,
        longest_wait_seconds: float = LONGEST_WAIT_SECONDS,
        tick_seconds: float = TICK_SECONDS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._pipelines = pipelines
        self._keys = keys
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._longest_wait_seconds = longest_wait_seconds
        self._tick_seconds = tick_seconds
        self._sleep = sleep
        self._leads: dict[str, FlightLease] = {}
        self._waits: dict[str, FlightWait] = {}
        self._tending: asyncio.Task[None] | None = None

    async def claim(self, keys: Sequence[str]) -> list[FlightLease | FlightWait]:
        """A lead or a wait for each key, in order, in one round trip; never raises an error.

        Claim right before asking: a lead that waits for a free slot holds up those who have one.
        """
        outcomes, _ = await self._claim(keys, None)
        return outcomes

    async def claim_and_read(
        self, key: str, append: Callable[[Any], None]
    ) -> tuple["FlightLease | FlightWait", Any]:
        """`claim` of one key, and the reply of the command that `append` queues after it.

        The reply is None where there was no need to ask, or Redis is away.
        """
        [outcome], replies = await self._claim([key], append)
        return outcome, replies[0] if replies else None

    async def _claim(
        self, keys: Sequence[str], append: Callable[[Any], None] | None
    ) -> tuple[list[FlightLease | FlightWait], Sequence[Any]]:
        fresh: list[FlightLease] = []
        read: Sequence[Any] = ()
        outcomes: list[FlightLease | FlightWait] = []
        for key in keys:
            lead = self._leads.get(key)
            if lead is not None:
                outcomes.append(self._wait_for(key, lead._token.encode(), lead._landing))
            elif key in self._waits:
                outcomes.append(self._waits[key])
            else:
                lead = FlightLease(key, self, secrets.token_hex(8), self._next_renewal())
                # Known before the round trip, so that a claim meanwhile finds it.
                self._leads[key] = lead
                fresh.append(lead)
                outcomes.append(lead)
        if fresh:
            try:
                taken, read = await self._take(fresh, append)
            except BaseException:
                for lease in fresh:
                    self._forget(lease)
                raise
            outcomes = [
                self._follow(outcome, taken[outcome.key])
                if isinstance(outcome, FlightLease) and outcome.key in taken
                else outcome
                for outcome in outcomes
            ]
        self._tend()
        return outcomes, read

    async def aclose(self) -> None:
        """Give up every lead and end the background task."""
        for lease in list(self._leads.values()):
            await lease.release()
        if self._tending is not None:
            await end(self._tending)
            self._tending = None

    def _next_renewal(self) -> float:
        return self._clock() + self._lease_seconds / 3

    def _wait_for(self, key: str, token: bytes, landing: _Landing) -> FlightWait:
        return FlightWait(key, self._longest_wait_seconds, token, landing)

    def _follow(self, lease: FlightLease, holder: bytes) -> FlightWait:
        """Turn a lead that another process was faster with into a wait."""
        del self._leads[lease.key]
        # Those who waited for this lead meanwhile share its landing.
        wait = self._wait_for(lease.key, holder, lease._landing)
        self._waits[lease.key] = wait
        return wait

    def _forget(self, lease: FlightLease) -> None:
        self._leads.pop(lease.key, None)
        lease._landing.done.set()

    async def _take(
        self, leases: list[FlightLease], append: Callable[[Any], None] | None
    ) -> tuple[dict[str, bytes], Sequence[Any]]:
        """Set the keys of `leases`; key -> the holder's token where another process was faster.

        And the replies of what `append` queues behind.
        """
        milliseconds = int(self._lease_seconds * 1000)

        def build() -> Any:
            pipeline = self._pipelines.new()
            for lease in leases:
                key = self._keys.flight(lease.key)
                pipeline.set(key, lease._token, nx=True, px=milliseconds)
                pipeline.get(key)
            if append is not None:
                append(pipeline)
            return pipeline

        replies, _ = await self._pipelines.execute_patiently(build)
        if replies is None:
            return {}, ()
        holders = replies[1 : 2 * len(leases) : 2]
        taken = {
            lease.key: holder
            for lease, holder in zip(leases, holders, strict=True)
            if isinstance(holder, bytes) and holder != lease._token.encode()
        }
        return taken, replies[2 * len(leases) :]

    async def _release(self, lease: FlightLease) -> None:
        if self._leads.get(lease.key) is not lease:
            return
        self._forget(lease)
        pipeline = self._pipelines.new()
        self.append_release(pipeline, lease)
        await self._pipelines.execute(pipeline)

    def append_release(self, pipeline: Any, lease: FlightLease) -> None:
        """Queue what gives the lead up in Redis; `released` is to follow."""
        pipeline.eval(RELEASE_SCRIPT, 1, self._keys.flight(lease.key), lease._token)

    def released(self, lease: FlightLease) -> None:
        """The lead was given up in Redis: those who wait in this process may look."""
        if self._leads.get(lease.key) is lease:
            self._forget(lease)

    def _tend(self) -> None:
        if (self._leads or self._waits) and (self._tending is None or self._tending.done()):
            self._tending = asyncio.create_task(self._tend_all(), name="cache-flights")

    async def _tend_all(self) -> None:
        while self._leads or self._waits:
            await self._sleep(self._tick_seconds)
            await self._tick()

    async def _tick(self) -> None:
        now = self._clock()
        due = [lease for lease in self._leads.values() if lease._renew_at <= now]
        waits = list(self._waits.values())
        if not due and not waits:
            return
        pipeline = self._pipelines.new()
        for lease in due:
            lease._renew_at = self._next_renewal()
            key = self._keys.flight(lease.key)
            pipeline.eval(_HOLD_SCRIPT, 1, key, lease._token, int(self._lease_seconds * 1000))
        for wait in waits:
            pipeline.get(self._keys.flight(wait.key))
        replies, _ = await self._pipelines.execute(pipeline)
        await self._release_again([each for each in due if self._leads.get(each.key) is not each])
        if replies is None and not self._pipelines.away:
            return
        for position, wait in enumerate(waits):
            # Without Redis nobody can tell: let them go and ask.
            if replies is None or replies[len(due) + position] != wait._token:
                self._waits.pop(wait.key, None)
                wait._landing.done.set()

    async def _release_again(self, leases: Sequence[FlightLease]) -> None:
        """Give up in Redis what was given up while it was renewed: nobody has these any more."""
        if leases:
            pipeline = self._pipelines.new()
            for lease in leases:
                self.append_release(pipeline, lease)
            await self._pipelines.execute(pipeline)
