"""What the cache's modules share about talking to its Redis, one server or a cluster."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from redis.asyncio import RedisCluster
from redis.exceptions import RedisClusterException, RedisError

REDIS_FAILURES: Final = (RedisError, RedisClusterException, OSError, TimeoutError)
"""Everything that a Redis which is away, slow or refusing makes the client raise."""

RELEASE_SCRIPT: Final = (
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"
)
"""Give a lock up, if it is still one's own: KEYS the lock, ARGV one's token."""

RENEW_SCRIPT: Final = (
    "if redis.call('get', KEYS[1]) == ARGV[1] then"
    " return redis.call('pexpire', KEYS[1], ARGV[2]) end return 0"
)
"""Keep a lock, if it is still one's own: KEYS the lock, ARGV one's token and milliseconds."""


PAUSE_SECONDS: Final = 1.0
"""How long a server that did not answer is left alone."""


class BoundedPipelines:
    """Runs pipelines within a time-out and never raises what Redis raises.

    After a failure the server is left alone for a moment, so that one which hangs costs an event
    the time-out once and not at every step.
    """

    def __init__(
        self, client: Any, *, timeout_seconds: float, monotonic: Callable[[], float]
    ) -> None:
        self._client = client
        self._timeout_seconds = timeout_seconds
        self._monotonic = monotonic
        self._paused_until = float("-inf")
        self._problem = ""

    def new(self) -> Any:
        """An empty pipeline, no transaction."""
        return self._client.pipeline(transaction=False)

    async def execute(self, pipeline: Any) -> tuple[list[Any] | None, str]:
        """The replies, errors among them; or None and why there are none."""
        if self._monotonic() < self._paused_until:
            return None, self._problem
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await pipeline.execute(raise_on_error=False), ""
        except REDIS_FAILURES as error:
            self._problem = unavailable(error)
            self._paused_until = self._monotonic() + PAUSE_SECONDS
            return None, self._problem


def unavailable(error: BaseException) -> str:
    """Why the cache could not do its work, for `CacheAnswer.unavailable`."""
    return f"cache_unavailable: {str(error) or type(error).__name__}"


async def search_node(client: Any) -> dict[str, Any]:
    """Where a command on an index goes, which has no key to tell: options of `execute_command`.

    In a cluster any node answers for all of them; one fixed node sees its own changes at once.
    """
    if not isinstance(client, RedisCluster):
        return {}
    await client.initialize()
    return {"target_nodes": client.get_default_node()}
