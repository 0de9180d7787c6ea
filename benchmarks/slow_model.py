"""A slow model: events a second of one worker, all misses, beside one call a process.

The peer is what the documented design says: a Celery task an event, one call of the openai package
in it, four prefork processes. Ours is one worker of four processes too, with 32 and with 128 slots
each. The model takes 1,000 ms, or (`long tail`) a log-normal time whose 99th percentile is ten
times its median: there one slow call must not hold up the others of its claim.
"""

from __future__ import annotations

import itertools
import time

from benchmarks.figures import Figure, Pairs, Section, Spread, at_least, in_turns, number, side
from benchmarks.options import Options
from benchmarks.parts import Parts, RedisServer, parts
from benchmarks.peers.celery_load import CeleryLoad
from benchmarks.processes import cpu_seconds
from benchmarks.profiles import profile_of
from benchmarks.provider import TAIL_SIGMA
from benchmarks.streams import KEYS, Answers, register, texts
from eventstream.claims import Arrival
from eventstream.events import ProcessRequest
from eventstream.inbox import Inbox
from eventstream.incoming import event_from_request
from eventstream.redis_client import connect
from eventstream.settings import Settings
from eventstream.spec import StreamSpec
from eventstream.wakeup import WakeUps

PROCESSES = 4
WHERE = (
    "the model's second is nearly all of an event's time, so the rate is the slots' as long as the"
    " CPU lasts. Beside the call an event that misses costs its share of a claim and a look-up,"
    " five round trips to Redis (the lead with a look, the limit before, usage and settlement"
    " after, the answer stored) and its ending. At 32 slots the first and the last of eight rounds,"
    " where slots fill and empty, are what is missing. At 128 the worker shares two cores with"
    " Redis and the provider, and how fast they are decides: where an event took 4.2 ms of CPU"
    " (an AMD EPYC of the same day) the same code came to 27.1 and 58.7, out of reach. The first"
    " pair, on cold connections, is the lowest"
)
WHERE_TAIL = (
    "a slot that is free takes the next event, whatever the others of its claim wait for; what is"
    " missing to the ideal is the same work beside the call as with the slow model"
)


class Misses:
    """Hands texts that were never seen to one worker's stream, and times the answers."""

    def __init__(self, made: Parts, state: RedisServer, stream: str) -> None:
        self._state = state
        self._stream = stream
        self._first = 0
        self._runs = itertools.count()
        self._worker = made.children[stream].pid
        self._wake_ups = WakeUps(
            Settings(celery_broker_url=state.url(1), celery_result_backend=state.url(2))
        )
        made.stack.callback(self._wake_ups.close)
        self.cpu_ms: list[float] = []

    async def run(self, events: int, left_out: int = 0) -> float:
        """Events a second until all but the last `left_out` are answered; then waits for those."""
        answers = Answers(self._state, self._stream)
        given = texts(events, self._first)
        self._first += events
        tag = f"{self._stream}-{next(self._runs)}"
        arrivals = [
            Arrival(
                event_from_request(
                    ProcessRequest(text=text, task_type="sentiment_analysis", stream=self._stream),
                    StreamSpec(),
                    event_id=f"{tag}-{index}",
                )
            )
            for index, text in enumerate(given)
        ]
        client = connect(self._state.url(2), timeout_seconds=30)
        inbox = Inbox(client, KEYS, result_ttl_seconds=600, lease_seconds=30)
        before, cpu = answers.count(), cpu_seconds(self._worker)
        began = time.perf_counter()
        for at in range(0, events, 256):
            await inbox.accept(arrivals[at : at + 256])
            self._wake_ups.send([self._stream])
        ended = answers.wait_for(before + events - left_out)
        answers.wait_for(before + events)
        self.cpu_ms.append((cpu_seconds(self._worker) - cpu) / events * 1000)
        await client.aclose()
        return (events - left_out) / (ended - began)


async def run_slow(options: Options) -> Section:
    """The model that takes a second."""
    pairs, waves, p50_ms = options.pick((3, 8, 1000), (1, 4, 1000), (1, 2, 100))
    with parts() as made:
        _, state = made.stores()
        made.provider("--p50-ms", str(p50_ms))
        await register(state, s32=StreamSpec(), s128=StreamSpec())
        for slots in (32, 128):
            made.worker(f"s{slots}", WORKER_SLOTS=str(slots), WORKER_STREAMS=f"s{slots}")
        peer = CeleryLoad(made, state.url(1), "ask")
        ours = {slots: Misses(made, state, f"s{slots}") for slots in (32, 128)}
        for side_of in ours.values():
            await side_of.run(PROCESSES * 8)
            side_of.cpu_ms.clear()
        peer.run(PROCESSES)
        measured = {slots: Pairs() for slots in ours}
        for _ in range(pairs):
            theirs = peer.run(PROCESSES * waves)
            for slots, side_of in ours.items():
                measured[slots].add(await side_of.run(PROCESSES * slots * waves), theirs)
        profile = await _profile(made, ours[128], PROCESSES * 128 * max(1, waves // 2), options)
    return Section(
        name="slow_model",
        title="Slow model: 1,000 ms a call, all misses",
        figures=tuple(
            Figure(
                f"events/s at {slots} slots ÷ one call a process",
                pairs_of.ratio,
                len(pairs_of),
                reach=at_least(reach),
                ours=side(pairs_of.ours, "events/s", f"at most {PROCESSES * slots}"),
                theirs=side(pairs_of.theirs, "tasks/s", f"at most {PROCESSES}"),
                beside=f"{number(Spread.of(ours[slots].cpu_ms).median)} ms of CPU an event",
            )
            for (slots, pairs_of), reach in zip(measured.items(), (28.0, 90.0), strict=True)
        ),
        conditions=(
            f"one worker of {PROCESSES} processes a side, {waves} calls one after the other a slot,"
            f" from the first event accepted to the last answer stored; the model takes {p50_ms} ms"
        ),
        where_the_time_goes=WHERE,
        profile=profile,
    )


async def run_tail(options: Options) -> Section:
    """The model with a long tail."""
    pairs, tasks, events, p50_ms = options.pick(
        (4, 48, 1600, 400), (2, 24, 800, 400), (1, 8, 160, 40)
    )
    slots = 32
    with parts() as made:
        _, state = made.stores()
        made.provider("--p50-ms", str(p50_ms), "--sigma", str(TAIL_SIGMA))
        await register(state, tail=StreamSpec())
        made.worker("tail", WORKER_SLOTS=str(slots), WORKER_STREAMS="tail")
        peer = CeleryLoad(made, state.url(1), "ask")
        ours = Misses(made, state, "tail")
        await ours.run(PROCESSES * 8)
        peer.run(PROCESSES)

        async def our_side() -> float:
            return await ours.run(events, left_out=PROCESSES * slots)

        async def their_side() -> float:
            return peer.run(tasks, left_out=PROCESSES)

        measured = await in_turns(pairs, our_side, their_side)
    return Section(
        name="long_tail",
        title="Long tail: log-normal model, p99 = 10 x p50",
        figures=(
            Figure(
                f"events/s at {slots} slots ÷ one call a process",
                measured.ratio,
                len(measured),
                reach=at_least(20),
                ours=side(measured.ours, "events/s"),
                theirs=side(measured.theirs, "tasks/s"),
            ),
        ),
        conditions=(
            f"median {p50_ms} ms, {events:,} events and {tasks} tasks a run; each side's rate while"
            " all its slots are busy: the last events, one a slot, are waited for and not timed"
        ),
        where_the_time_goes=WHERE_TAIL,
    )


async def _profile(made: Parts, ours: Misses, events: int, options: Options) -> str:
    import asyncio

    def under_load() -> None:
        asyncio.run(ours.run(events))

    pids = {"worker": [made.children["s128"].pid]}
    return await asyncio.to_thread(profile_of, pids, under_load, options)
