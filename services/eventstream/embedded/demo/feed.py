"""Sends the demonstration's events, most through Kafka and some through HTTP, at a steady pace.

It knows a Kafka producer and the API's address, nothing of what is behind them.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import aiohttp

from eventstream.embedded.demo.texts import DemoEvent
from eventstream.embedded.errors import StackError

EVENTS_PER_SECOND = 30.0
# On a slow machine the feed waits for answers: a repeated text is a hit only once the first one
# has its answer, and a latency that is all waiting would say nothing.
MAX_BACKLOG = 40
HTTP_TIMEOUT_SECONDS = 30.0

Produce = Callable[[str, bytes, bytes], Awaitable[None]]
Post = Callable[[dict[str, object], str], Awaitable[str]]
Sleep = Callable[[float], Awaitable[None]]


@dataclass
class Feed:
    """Sends events in order; `ids` holds the id of each event that was taken."""

    stream: str
    topic: str
    produce: Produce
    """(topic, key, value) -> when Kafka has it."""
    post: Post
    """(body of POST /process, idempotency key) -> the event's id."""
    sleep: Sleep = asyncio.sleep
    events_per_second: float = EVENTS_PER_SECOND
    max_backlog: int = MAX_BACKLOG
    finished: int = 0
    """Events that are answered, as far as is known: whoever watches keeps it up to date."""
    ids: dict[str, DemoEvent] = field(default_factory=dict)

    async def send_all(self, events: Sequence[DemoEvent]) -> None:
        """Sends everything; returns when the last one was taken."""
        async with asyncio.TaskGroup() as group:
            for sent, event in enumerate(events):
                while sent - self.finished >= self.max_backlog:
                    await self.sleep(1.0 / self.events_per_second)
                group.create_task(self._send(event))
                await self.sleep(1.0 / self.events_per_second)

    async def _send(self, event: DemoEvent) -> None:
        if event.via == "http":
            body: dict[str, object] = {"text": event.text.text, "stream": self.stream}
            self.ids[await self.post(body, event.event_id)] = event
        else:
            value = {
                "event_id": event.event_id,
                "text": event.text.text,
                "metadata": {"lang": event.text.lang},
            }
            packed = json.dumps(value, ensure_ascii=False).encode()
            await self.produce(self.topic, event.event_id.encode(), packed)
            self.ids[event.event_id] = event


class HttpSender:
    """POST /process of the stack's own API."""

    def __init__(self, api_url: str, api_key: str | None) -> None:
        self._url = f"{api_url}/process"
        self._headers = {"X-API-Key": api_key} if api_key else {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "HttpSender":
        self._session = aiohttp.ClientSession(
            headers=self._headers, timeout=aiohttp.ClientTimeout(total=HTTP_TIMEOUT_SECONDS)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, body: dict[str, object], idempotency_key: str) -> str:
        """Sends one event and returns its id; raises StackError when it was not accepted."""
        assert self._session is not None
        headers = {"Idempotency-Key": idempotency_key}
        try:
            async with self._session.post(self._url, json=body, headers=headers) as response:
                answer = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise StackError(f"The API at {self._url} did not take an event: {error}") from error
        if response.status != 202:
            raise StackError(
                f"The API at {self._url} refused an event: {answer.get('detail', response.status)}"
            )
        return str(answer["task_id"])
