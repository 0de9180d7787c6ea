"""The command's environment: the settings that a person would have exported."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from tests.integration.cli.live import LiveCommand


class Live(Protocol):
    """Starts a command as a process of its own; it is ended with the test."""

    async def __call__(self, *arguments: str, env: dict[str, str]) -> LiveCommand: ...


@pytest.fixture
def env(cache_url: str, prefix: str) -> dict[str, str]:
    """REDIS_URL (the others follow from it) and a prefix of this test's own."""
    return {"REDIS_URL": cache_url, "EVENTSTREAM_PREFIX": prefix}


@pytest.fixture
async def live() -> AsyncIterator[Live]:
    started: list[LiveCommand] = []

    async def start(*arguments: str, env: dict[str, str]) -> LiveCommand:
        started.append(await LiveCommand.start(*arguments, env=env))
        return started[-1]

    yield start
    for command in started:
        await command.kill()
