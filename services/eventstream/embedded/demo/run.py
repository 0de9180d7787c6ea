"""Runs the demonstration against a stack that is ready: sends, watches, and says how it ended."""

import asyncio
import time
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live

from eventstream.embedded.demo.feed import Feed, HttpSender
from eventstream.embedded.demo.figures import Figures, figures
from eventstream.embedded.demo.texts import load_texts, make_events
from eventstream.embedded.demo.view import Answer, answer_of, live_panel, plain_line, summary
from eventstream.embedded.errors import StackError
from eventstream.events import TaskStatus
from eventstream.kafka.config import producer_config
from eventstream.kafka.producer import AsyncProducer
from eventstream.keys import Keys
from eventstream.llm.cost import PriceList, load_price_list
from eventstream.redis_client import connect
from eventstream.results import Results
from eventstream.settings import Settings

REFRESH_SECONDS = 0.5
PLAIN_EVERY = 2  # refreshes a plain line
LATEST_ANSWERS = 8
STANDSTILL_SECONDS = 120.0


@dataclass
class Watch:
    """Follows the demonstration's own events by their ids."""

    results: Results
    feed: Feed
    total: int
    finished: dict[str, TaskStatus] = field(default_factory=dict)
    latest: deque[Answer] = field(default_factory=lambda: deque(maxlen=LATEST_ANSWERS))

    async def look(self) -> Figures:
        """Reads the events that were not finished before; returns where all of them stand.

        Raises StoreUnavailable.
        """
        waiting = [event_id for event_id in self.feed.ids if event_id not in self.finished]
        for event_id, status in zip(waiting, await self.results.statuses(waiting), strict=True):
            if status is not None and status.status.finished:
                self.finished[event_id] = status
                self.latest.append(answer_of(self.feed.ids[event_id].text.text, status))
        self.feed.finished = len(self.finished)
        return figures(self.total, len(self.feed.ids), self.finished.values())


async def run_demo(
    settings: Settings,
    api_url: str,
    stream: str,
    topic: str,
    console: Console,
    *,
    with_kafka: bool,
) -> bool:
    """Sends all texts and returns when all are answered: True when the counts add up.

    Raises StackError when events are refused or nothing moves for two minutes.
    """
    run = time.strftime("demo-%Y%m%d-%H%M%S", time.gmtime())
    events = make_events(load_texts(), run, with_kafka=with_kafka)
    keys = settings.api_keys
    async with AsyncExitStack() as stack:
        sender = await stack.enter_async_context(
            HttpSender(api_url, keys[0].get_secret_value() if keys else None)
        )
        redis = connect(settings.state_url, timeout_seconds=settings.redis_timeout_seconds)
        stack.push_async_callback(redis.aclose)
        producer = AsyncProducer(producer_config(settings)) if with_kafka else None
        if producer is not None:
            stack.push_async_callback(producer.aclose)

        async def produce(topic: str, key: bytes, value: bytes) -> None:
            assert producer is not None
            await producer.produce(topic, value, key)

        feed = Feed(stream=stream, topic=topic, produce=produce, post=sender.post)
        watch = Watch(Results(redis, Keys(settings.eventstream_prefix)), feed, total=len(events))
        prices = load_price_list(settings.price_list)
        sending = asyncio.create_task(feed.send_all(events))
        try:
            last = await _watch(watch, sending, console, prices)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
    console.print(summary(last, prices), soft_wrap=True, highlight=False)
    return last.whole and last.failed == 0


async def _watch(
    watch: Watch, sending: "asyncio.Task[None]", console: Console, prices: PriceList
) -> Figures:
    now = await watch.look()
    moved_at, refreshes = time.monotonic(), 0
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while not now.whole:
            if sending.done():
                _raise_refusal(sending)
            await asyncio.sleep(REFRESH_SECONDS)
            before, now = now, await watch.look()
            refreshes += 1
            if console.is_terminal:
                live.update(live_panel(now, prices, list(watch.latest)), refresh=True)
            elif refreshes % PLAIN_EVERY == 0 and not now.whole:
                console.print(plain_line(now, prices), soft_wrap=True, highlight=False)
            if (now.sent, now.finished) != (before.sent, before.finished):
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > STANDSTILL_SECONDS:
                raise StackError(
                    f"The demonstration stands still: {now.backlog} events have had no answer for "
                    f"{STANDSTILL_SECONDS:g} s. The lines above say what the services do."
                )
    if console.is_terminal:
        console.print(live_panel(now, prices, list(watch.latest)))
    else:
        console.print(plain_line(now, prices), soft_wrap=True, highlight=False)
    return now


def _raise_refusal(sending: "asyncio.Task[None]") -> None:
    error = sending.exception()
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if error is not None:
        raise error
