"""Fixtures for tests against a mock provider. Other folders import them from here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime

import pytest

from eventstream.keys import Keys
from eventstream.llm.models import Models
from eventstream.llm.spending import Spending
from eventstream.redis_client import AsyncRedis
from eventstream.settings import Settings
from tests.providers.aimock import AiMock
from tests.providers.spender import NOON


@pytest.fixture(scope="session")
def aimock_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AiMock]:
    """One mock provider for the whole run."""
    with AiMock(tmp_path_factory.mktemp("aimock")) as server:
        yield server


@pytest.fixture
def aimock(aimock_server: AiMock) -> AiMock:
    """The mock provider without answers, faults or a past."""
    aimock_server.clear()
    return aimock_server


MakeModels = Callable[..., Models]


@pytest.fixture
async def make_models(
    aimock: AiMock, redis_client: AsyncRedis, keys: Keys
) -> AsyncIterator[MakeModels]:
    """Models whose OpenAI, Gemini and Hugging Face are the mock; closed after the test."""
    made: list[Models] = []

    def make(
        environment: dict[str, str] | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        **settings: object,
    ) -> Models:
        defaults: dict[str, object] = {
            "openai_api_key": "sk-test",
            "openai_base_url": aimock.openai_url,
            "gemini_base_url": aimock.gemini_url,
            "huggingface_base_url": aimock.openai_url,
        }
        models = Models(
            Settings(**{**defaults, **settings}),  # type: ignore[arg-type]
            redis_client,
            keys,
            local=None,
            environment=environment or {},
            now=now,
            sleep=sleep,
        )
        made.append(models)
        return models

    yield make
    for models in made:
        await models.aclose()


@pytest.fixture
def spending(redis_client: AsyncRedis, keys: Keys) -> Spending:
    """What the streams use, always at the same noon."""
    return Spending(redis_client, keys, now=lambda: NOON)
