"""A real Redis for every test that wants one: started once a run, a key prefix a test.

And nothing is skipped: what a test needs and does not find is a failure of the run.
"""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import hypothesis
import pytest

from eventstream.inbox import Inbox
from eventstream.keys import Keys
from eventstream.redis_client import AsyncRedis, connect
from eventstream.registry import Registry
from eventstream.results import Results
from tests.support.redis_server import RedisServer

# A run that was started in the background ignores SIGINT, and so would every process that a test
# starts and interrupts. A handler of our own is reset to the default when they are executed.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes is never asserted. A run tries the same examples as the last one, so
# that it fails for what was changed; `--hypothesis-profile=search` looks for new ones.
hypothesis.settings.register_profile("same", deadline=None, derandomize=True)
hypothesis.settings.register_profile("search", deadline=None)
hypothesis.settings.load_profile("same")

# Settings of the machine must not leak into tests.
for _name in (
    "REDIS_URL",
    "KAFKA_BOOTSTRAP_SERVERS",
    "OPENAI_API_KEY",
    "GOOGLE_API_KEY",
    "HF_TOKEN",
):
    os.environ.pop(_name, None)


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and reporter.stats.get("skipped"):
        reporter.write_line("\na test was skipped (why: below), so this run has failed", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis with vector search for the whole run."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def cache_url(redis_server: RedisServer) -> str:
    """Database 0: the cache's."""
    return redis_server.url(0)


@pytest.fixture(scope="session")
def broker_url(redis_server: RedisServer) -> str:
    """Database 1: Celery's."""
    return redis_server.url(1)


@pytest.fixture(scope="session")
def state_url(redis_server: RedisServer) -> str:
    """Database 2: results, inbox and metadata."""
    return redis_server.url(2)


@pytest.fixture
def prefix() -> str:
    """A key prefix that no other test has."""
    return f"t{uuid.uuid4().hex[:12]}:"


@pytest.fixture
def keys(prefix: str) -> Keys:
    return Keys(prefix)


@pytest.fixture
async def redis_client(state_url: str) -> AsyncIterator[AsyncRedis]:
    """A client of the state database."""
    client = connect(state_url, timeout_seconds=5)
    yield client
    await client.aclose()


@pytest.fixture
def inbox(redis_client: AsyncRedis, keys: Keys) -> Inbox:
    return Inbox(redis_client, keys, result_ttl_seconds=3600, lease_seconds=30)


@pytest.fixture
def results(redis_client: AsyncRedis, keys: Keys) -> Results:
    return Results(redis_client, keys)


@pytest.fixture
def registry(redis_client: AsyncRedis, keys: Keys) -> Registry:
    return Registry(redis_client, keys, max_age_seconds=0)
