"""The drain: one pool process's work, from claim to finished, on one event loop.

It claims events under leases, has the whole claim looked up at once, finishes the hits, runs the
misses in its slots, renews what it holds, claims again as slots free, and ends when nothing waits
or its time is over. It knows leases, slots, deadlines and shutdown; it does not know Celery, what
a cache or a model is, or where results are published.

What earlier processes let go of again and again (their leases ended) is run alone in the end, one
event at a time, so that the event which kills its process is found and not the ones around it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Final

from eventstream.claims import Answered, Failed, Held
from eventstream.errors import StoreUnavailable
from eventstream.inbox import Inbox
from eventstream.logs import get_logger
from eventstream.metrics import CLAIM_SIZE, EVENTS_GIVEN_BACK, STORE_UNAVAILABLE
from eventstream.pipeline import Ask, Deferral, Ending
from eventstream.tasks import end
from eventstream.worker.asking import Asking, Pipelined, defect
from eventstream.worker.drain_settings import DrainSettings
from eventstream.worker.ending import LONGEST_BACK_OFF_SECONDS, MOST_AT_ONCE, Endings
from eventstream.worker.kept import unpack
from eventstream.worker.order import claim_order
from eventstream.worker.successors import Successors
from eventstream.worker.suspects import Suspects

log = get_logger(__name__)

IDLE_POLL_SECONDS: Final = 0.025
STOP_POLL_SECONDS: Final = 0.1
STORING_AT_ONCE: Final = 2
"""Claims whose hits are being stored while the next one is looked up."""


@dataclass(slots=True)
class DrainCounts:
    """What a process has done and holds."""

    finished: int = 0
    held: int = 0
    busy_seconds: float = 0.0


class Drain:
    """One process's drain; `run` again and again in the same event loop."""

    def __init__(
        self,
        inbox: Inbox,
        pipeline: Pipelined,
        endings: Endings,
        *,
        consumer: str,
        queues: Callable[[], Sequence[str]],
        settings: DrainSettings,
        stopping: Callable[[], bool],
        wake: Callable[[Sequence[str]], None],
        report: Callable[[DrainCounts], None] = lambda counts: None,
        takes_over_from: Callable[[], float] = lambda: 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inbox = inbox
        self._asking = Asking(pipeline, call_seconds=settings.call_seconds, clock=clock)
        self._endings = endings
        self._consumer = consumer
        self._queues = queues
        self._settings = settings
        self._stopping = stopping
        self._successors = Successors(inbox, queues=queues, wake=wake, clock=clock)
        self._report = report
        self._suspects = Suspects(
            inbox,
            endings,
            consumer=consumer,
            queues=queues,
            lease_seconds=settings.lease_seconds,
            takes_over_from=takes_over_from,
            clock=clock,
        )
        self._clock = clock
        self._slots = asyncio.Semaphore(settings.slots)
        self._held: dict[tuple[str, str], tuple[Held, asyncio.Task[None] | None]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._storing: set[asyncio.Task[None]] = set()
        self._turn = 0
        self._miss_share = 1.0
        self._winds_down_at = math.inf
        self.counts = DrainCounts()

    async def run(self, *, ends_at: float = math.inf) -> None:
        """Work until nothing waits, the time is over, or the worker stops.

        By `ends_at` (on the clock), or after the longest time, it is over.
        """
        settings, started = self._settings, self._clock()
        ends_at = min(ends_at, started + settings.longest_seconds)
        self._winds_down_at = ends_at - settings.grace_seconds
        # A call that is begun last has its time, too.
        last_call = self._winds_down_at - settings.call_seconds
        claims_until = min(started + settings.most_seconds, last_call)
        self._successors.begin()
        renewal = asyncio.create_task(self._renew_forever())
        try:
            await self._work(claims_until)
            if self._stopping():
                left = max(0.0, ends_at - self._clock())
                await self._wind_down(min(settings.shutdown_seconds, left))
                await self._successors.leave_to_all()
            elif self._must_end():
                await self._wind_down(settings.grace_seconds)
                await self._successors.leave_to_all()
        finally:
            await end(renewal, *self._running)
            # Whatever is still held was cut off: its lease ends, and somebody takes it over.
            self._held.clear()
            self.counts.busy_seconds += self._clock() - started
            self._tell()

    def _must_end(self) -> bool:
        return self._stopping() or self._clock() >= self._winds_down_at

    # -- claiming ----------------------------------------------------------------------------

    async def _work(self, claims_until: float) -> None:
        last_seen = self._clock()
        back_off = 0.05
        while not self._must_end():
            over = self._clock() > claims_until
            if over and not self._running:
                await self._successors.leave_to_one()
                return
            try:
                if over:
                    found = False
                elif await self._suspects.wait():
                    await self._run_suspects()
                    last_seen = self._clock()
                    continue
                else:
                    found = await self._claim_and_start()
                back_off = 0.05
            except StoreUnavailable as error:
                STORE_UNAVAILABLE.labels("claim").inc()
                log.warning("claim_failed", error=str(error))
                self._suspects.hold_off()
                if not self._running:
                    return
                await self._pause(back_off)
                back_off = min(back_off * 2, LONGEST_BACK_OFF_SECONDS)
                continue
            if found:
                last_seen = self._clock()
            elif not self._running and self._clock() - last_seen > self._settings.linger_seconds:
                return
            else:
                await self._pause(IDLE_POLL_SECONDS)
            if self._free_slots() <= 0:
                await self._pause(STOP_POLL_SECONDS)

    def _free_slots(self) -> int:
        return self._settings.slots - len(self._running)

    async def _claim_and_start(self) -> bool:
        """Claim once over all queues and start what came; whether anything came."""
        room = self._claim_size()
        found = False
        order = claim_order(self._queues(), self._turn)
        self._turn += 1
        for queue in order:
            if room <= 0:
                break
            begins = self._successors.is_first_claim(queue)
            claim = await self._inbox.claim(queue, self._consumer, room, begins=begins)
            self._successors.claimed(queue, wanted=claim.wake)
            for entry in claim.unreadable:
                await self._endings.end_unreadable(entry)
            if not claim.fresh:
                continue
            found = True
            room -= len(claim.fresh)
            CLAIM_SIZE.labels(claim.fresh[0].event.stream).observe(len(claim.fresh))
            await self._start(claim.fresh)
        return found

    def _claim_size(self) -> int:
        """As many as the free slots will take, counting on the recent share of misses."""
        free = self._free_slots()
        if free <= 0 or len(self._storing) >= STORING_AT_ONCE:
            return 0
        return max(1, min(MOST_AT_ONCE, int(free / max(self._miss_share, free / MOST_AT_ONCE))))

    async def _start(self, claim: Sequence[Held]) -> None:
        unanswered: list[Held] = []
        for held in claim:
            self._held[held.queue, held.entry] = (held, None)
            kept = unpack(held)
            if kept is None:
                unanswered.append(held)
            else:
                self._spawn(held, self._end(held, kept))
        self._tell()
        began = self._clock()
        outcomes = await self._asking.look_up(unanswered) if unanswered else []
        misses = 0
        together: list[tuple[Held, Answered | Failed]] = []
        for held, outcome in zip(unanswered, outcomes, strict=True):
            if isinstance(outcome, Ask):
                misses += 1
                self._spawn(held, self._ask_in_a_slot(held, outcome))
            elif not isinstance(outcome, Deferral) and await self._endings.is_only_stored(
                held, outcome
            ):
                together.append((held, outcome))
            else:
                self._spawn(held, self._end(held, outcome))
        if together:
            task = asyncio.create_task(self._store_together(together))
            for group in (self._storing, self._running):
                group.add(task)
                task.add_done_callback(group.discard)
        self._miss_share = 0.7 * self._miss_share + 0.3 * (misses / len(claim))
        log.debug("looked_up", events=len(claim), misses=misses, seconds=self._clock() - began)

    async def _ask_in_a_slot(self, held: Held, ask: Ask) -> None:
        async with self._slots:
            await self._end(held, await self._asking.ask(held, ask))

    async def _store_together(self, ended: Sequence[tuple[Held, Answered | Failed]]) -> None:
        """Store what a claim's look-up answered: one task and one step for all of it."""
        try:
            await self._endings.store_all(ended)
        except asyncio.CancelledError:
            raise
        except Exception:
            # One of them is to blame: one after the other, so that only that one fails.
            log.exception("storing_together_failed", events=len(ended))
            for held, ending in ended:
                await self._guarded(held, self._end(held, ending))
            return
        for held, _ in ended:
            self._held.pop((held.queue, held.entry), None)
        self._tell()

    def _spawn(self, held: Held, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(self._guarded(held, work))
        self._held[held.queue, held.entry] = (held, task)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _guarded(self, held: Held, work: Coroutine[object, object, None]) -> None:
        """Nothing that one event does may reach another: a defect here ends that event alone."""
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  # likewise
            await self._end(held, defect(held, error))

    # -- suspects ----------------------------------------------------------------------------

    async def _run_suspects(self) -> None:
        """Run what was let go of: nothing new beside it, and in the end each event alone."""
        for queue in self._queues():
            if self._suspects.may_have_predecessor(queue) and not self._holds(queue):
                # What stands under this process's name was left by a predecessor in its slot.
                await self._run_suspects_of(queue, own=True)
                self._suspects.has_no_predecessor(queue)
            await self._run_suspects_of(queue, own=False)

    def _holds(self, queue: str) -> bool:
        return any(held_queue == queue for held_queue, _ in self._held)

    async def _run_suspects_of(self, queue: str, *, own: bool) -> None:
        while not self._must_end():
            held = await self._suspects.take(queue, own=own)
            if held is None:
                return
            if (held.queue, held.entry) in self._held:
                # It runs here, and its renewal was late: the lease is ours again.
                if not self._running:
                    return
                await self._until_fewer_run(len(self._running))
                continue
            self._hold(held)
            self._suspects.tell_of(held)
            if not own and held.deliveries < self._settings.max_deliveries:
                # It is most likely not to blame, or it comes again: side by side, or what a killed
                # worker held would take as long as all its calls in a row. (What stands under our
                # own name is found again as long as it runs.)
                await self._start([held])
                await self._until_fewer_run(self._settings.slots)
                continue
            await self._until_fewer_run(1)
            if self._must_end():
                # It is still held, and given back with the rest.
                return
            if held.deliveries > self._settings.max_deliveries:
                self._spawn(held, self._end_too_often(held))
            else:
                await self._start([held])
            await self._until_fewer_run(1)

    async def _end_too_often(self, held: Held) -> None:
        await self._end(held, await self._suspects.delivered_too_often(held))

    async def _until_fewer_run(self, count: int) -> None:
        """Wait until fewer than `count` run, or the worker stops."""
        while len(self._running) >= count and not self._must_end():
            await asyncio.wait(
                self._running, timeout=STOP_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )

    async def _end(self, held: Held, ending: Ending) -> None:
        # From here on a lost lease stops nothing: most likely the lease ended with the event, and
        # the script that ends it looks for itself.
        self._held[held.queue, held.entry] = (held, None)
        await self._endings.end(held, ending)
        self._let_go(held)

    # -- leases, shutdown ----------------------------------------------------------------------

    def _hold(self, held: Held) -> None:
        self._held[held.queue, held.entry] = (held, None)
        self._tell()

    def _let_go(self, held: Held) -> None:
        self._held.pop((held.queue, held.entry), None)
        self._tell()

    def _tell(self) -> None:
        self.counts.held = len(self._held)
        self.counts.finished = self._endings.finished
        self._report(self.counts)

    async def _renew_forever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.lease_seconds / 6)
            by_queue: dict[str, list[str]] = defaultdict(list)
            for queue, entry in self._held:
                by_queue[queue].append(entry)
            for queue, entries in by_queue.items():
                try:
                    lost = await self._inbox.renew(queue, self._consumer, entries)
                except StoreUnavailable as error:
                    STORE_UNAVAILABLE.labels("renew").inc()
                    log.warning("renew_failed", error=str(error))
                    continue
                for entry in lost:
                    self._lose(queue, entry)

    def _lose(self, queue: str, entry: str) -> None:
        held, task = self._held.pop((queue, entry), (None, None))
        if held is None or task is None or task.done():
            return
        log.warning("lease_lost", event_id=held.event.id, stream=held.event.stream)
        task.cancel()

    async def _wind_down(self, seconds: float) -> None:
        """Finish what ends in time, give the rest back at once."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        await end(*self._running)
        rest = [held for held, _ in self._held.values()]
        if not rest:
            return
        try:
            answers = await self._inbox.put_back(self._consumer, [held.wait(0.0) for held in rest])
        except StoreUnavailable as error:
            # Their leases end by themselves: later, but nothing is lost.
            log.warning("give_back_failed", events=len(rest), error=str(error))
            return
        refusals = [answer for answer in answers if isinstance(answer, StoreUnavailable)]
        if refusals:
            log.warning("give_back_failed", events=len(refusals), error=str(refusals[0]))
        for held, answer in zip(rest, answers, strict=True):
            if not isinstance(answer, StoreUnavailable):
                EVENTS_GIVEN_BACK.labels(held.event.stream).inc()
        log.info("events_given_back", events=len(rest) - len(refusals))
        self._held.clear()
        self._tell()

    async def _pause(self, seconds: float) -> None:
        """Wait, but no longer than until a slot frees."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(seconds)
