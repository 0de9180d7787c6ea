"""What the cache's modules share about talking to its Redis, one server or a cluster."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from redis.asyncio import RedisCluster
from redis.exceptions import RedisClusterException, RedisError

from eventstream.logs import get_logger
from eventstream.redis_wire import close_free

log = get_logger(__name__)

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
PATIENCE_SECONDS: Final = 2.0
"""So long after its first failure a server may only have been slow; then it is away."""
_TRY_AGAIN_SECONDS: Final = 0.2
_MOST_TRIES: Final = 10


class BoundedPipelines:
    """Runs pipelines within a time-out and never raises what Redis raises.

    After a failure the server is left alone for a moment, so that one which hangs costs an event
    the time-out once and not at every step.
    """

    def __init__(
        self, client: Any, *, timeout_seconds: float, monotonic: Callable[[], float]
    ) -> None:
        self._client = client
        self._clustered = isinstance(client, RedisCluster)
        self._timeout_seconds = timeout_seconds
        self._monotonic = monotonic
        self._paused_until = float("-inf")
        self._problem = ""
        self._failing_since = float("-inf")
        self._failed_at: float | None = None

    def new(self) -> Any:
        """An empty pipeline, no transaction."""
        return self._client.pipeline(transaction=False)

    async def execute(self, pipeline: Any) -> tuple[list[Any] | None, str]:
        """The replies, errors among them; or None and why there are none."""
        if self.paused:
            return None, self._problem
        return await self._try(pipeline)

    async def execute_aside(self, pipeline: Any) -> tuple[list[Any] | None, str]:
        """`execute` of what no event waits for: if it fails, the next one's look-up goes all the
        same. The caller looks first whether the server is `paused`.
        """
        return await self._try(pipeline, aside=True)

    async def execute_patiently(self, build: Callable[[], Any]) -> tuple[list[Any] | None, str]:
        """`execute`, tried again while the server may only be slow; `build` makes the pipeline.

        For what would cost a second model call if it were given up at once. What is tried may be
        carried out twice. Takes `PATIENCE_SECONDS` and a time-out at most, once an outage: a server
        that has been away for longer is tried like in `execute`.
        """
        replies, problem = await self.execute(build())
        for _ in range(_MOST_TRIES):
            if replies is not None or self.away:
                break
            await asyncio.sleep(_TRY_AGAIN_SECONDS)
            replies, problem = await self._try(build())
        return replies, problem

    @property
    def paused(self) -> bool:
        """Whether the server is left alone just now."""
        return self._monotonic() < self._paused_until

    @property
    def away(self) -> bool:
        """Whether the server has failed for longer than slowness explains."""
        if self._failed_at is None:
            return False
        return self._monotonic() - self._failing_since >= PATIENCE_SECONDS

    async def _try(self, pipeline: Any, *, aside: bool = False) -> tuple[list[Any] | None, str]:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                replies = await pipeline.execute(raise_on_error=False)
        except REDIS_FAILURES as error:
            if isinstance(error, TimeoutError):
                # A host that is gone answers on no connection: one time-out is enough.
                await close_free(self._client)
            return None, self._failed(unavailable(error), aside=aside)
        except Exception as error:
            if not self._clustered:
                raise
            # While redis-py closes the connections of a node that went away, whoever is just using
            # one of them meets its half-closed parts: an AttributeError, for instance.
            log.warning("cache_cluster_failed", error=repr(error))
            return None, self._failed(unavailable(error), aside=aside)
        self._failed_at = None
        self._paused_until = float("-inf")
        return replies, ""

    def _failed(self, problem: str, *, aside: bool) -> str:
        if aside:
            return problem
        now = self._monotonic()
        if self._failed_at is None or now - self._failed_at > PATIENCE_SECONDS:
            self._failing_since = now
        self._failed_at = now
        self._problem = problem
        self._paused_until = now + PAUSE_SECONDS
        return problem


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
