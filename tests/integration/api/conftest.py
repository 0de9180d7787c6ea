"""The API as a client sees it: real Redis, the whole application, httpx in front."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from eventstream.api import create_app
from eventstream.claims import Answered, Held
from eventstream.events import Result
from eventstream.inbox import Inbox
from eventstream.settings import Settings

Open = Callable[..., Any]


class RecordedCache:
    """Stands for the semantic cache: remembers what it was asked to clear."""

    def __init__(self) -> None:
        self.asked: list[tuple[str | None, str | None]] = []

    async def clear(self, task_type: str | None = None, stream: str | None = None) -> int:
        self.asked.append((task_type, stream))
        return 3


@pytest.fixture
def recorded_cache() -> RecordedCache:
    return RecordedCache()


@pytest.fixture
def settings_for(
    cache_url: str, broker_url: str, state_url: str, prefix: str
) -> Callable[..., Settings]:
    """Settings on the test's Redis, under a prefix of its own; keywords change them."""

    def make(**changes: Any) -> Settings:
        given: dict[str, Any] = {
            "redis_url": cache_url,
            "celery_broker_url": broker_url,
            "celery_result_backend": state_url,
            "eventstream_prefix": prefix,
            "redis_timeout_seconds": 2,
            **changes,
        }
        return Settings(**given)

    return make


class Client(httpx.AsyncClient):
    """An HTTP client that can wait until the application behind it is ready."""

    async def ready(self) -> None:
        while (await self.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.01)


@asynccontextmanager
async def client_of(
    settings: Settings, cache: RecordedCache, *, wait_until_ready: bool = True
) -> AsyncIterator[Client]:
    """A client of a running application."""
    app = create_app(settings, cache=cache)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with Client(transport=transport, base_url="http://localhost") as client:
            if wait_until_ready:
                await client.ready()
            yield client


@pytest.fixture
def open_client(settings_for: Callable[..., Settings], recorded_cache: RecordedCache) -> Open:
    """`async with open_client(api_keys="...") as client:` with settings of the test's choice."""

    def open_(*, wait_until_ready: bool = True, **changes: Any) -> Any:
        settings = settings_for(**changes)
        return client_of(settings, recorded_cache, wait_until_ready=wait_until_ready)

    return open_


@pytest.fixture
async def client(open_client: Open) -> AsyncIterator[Client]:
    """A client of an API with default settings: loopback, no keys."""
    async with open_client() as client:
        yield client


@pytest.fixture
def answer(inbox: Inbox) -> Callable[..., Awaitable[list[Held]]]:
    """Does a worker's part: claims what waits in a queue and finishes it."""

    async def finish(queue: str = "ai_processing", response: str = "positive") -> list[Held]:
        claim = await inbox.claim(queue, "test-worker", 100)
        await inbox.finish(
            [
                Answered(
                    held,
                    Result(
                        response=response,
                        task_type=held.event.task_type,
                        model="test/model",
                        processing_time=0.25,
                        from_cache=False,
                        metadata={"tokens_used": 12},
                    ),
                    "model",
                    tokens=12,
                )
                for held in claim.fresh
            ]
        )
        return list(claim.fresh)

    return finish
