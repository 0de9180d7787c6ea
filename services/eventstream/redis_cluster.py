"""redis-py's client of a Redis Cluster, made fit for many tasks that share it.

When a node fails, redis-py closes the connections to all nodes, those among them that other tasks
are just opening, which then end with an AttributeError. And its pipelines lend out connections that
the server has closed meanwhile, and hand out as a reply what broke one. Here one node's failure
leaves the others' connections alone, a pipeline fails as a single server's does, and who has which
slots is asked again at most once a second. Commands outside of pipelines stay redis-py's own.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import redis.asyncio
from redis.asyncio.cluster import ClusterPipeline, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.cluster import READ_COMMANDS
from redis.exceptions import (
    ClusterDownError,
    ConnectionError,  # redis' own, wider than the built-in
    RedisClusterException,  # none of RedisError
    RedisError,
    TimeoutError,  # likewise
)

FOLLOW_SECONDS: Final = 1.0
_UNHEARD: Final = (ConnectionError, TimeoutError, ClusterDownError)
"""What stands among a pipeline's replies where there is no reply."""


class _Noticing:
    """What a connection adds to redis-py's own."""

    _reader: Any

    def should_reconnect(self) -> bool:
        """Whether it is to be opened anew before its next use: also when the server closed it."""
        closed = self._reader is not None and (
            self._reader.at_eof() or self._reader.exception() is not None
        )
        return closed or super().should_reconnect()  # type: ignore[misc]


class _Connection(_Noticing, redis.asyncio.Connection):
    pass


class _SslConnection(_Noticing, redis.asyncio.SSLConnection):
    pass


_CONNECTIONS: Final[Mapping[type[Any], type[Any]]] = {
    redis.asyncio.Connection: _Connection,
    redis.asyncio.SSLConnection: _SslConnection,
}


class Cluster(RedisCluster):
    """A cluster that is asked through pipelines by many tasks at once."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Else every connection is closed after a failure, and after some redirections.
        self.retry = Retry(NoBackoff(), 0)
        self.reinitialize_steps = 0
        # Nodes are made with these once the cluster has told of them.
        kind = self.connection_kwargs["connection_class"]
        self.connection_kwargs["connection_class"] = _CONNECTIONS[kind]
        self._doubtful = False
        self._follow_at = float("-inf")

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> ClusterPipeline:
        """Commands that are sent together, to each node what is its own."""
        return _Pipeline(self, transaction)  # type: ignore[abstract]

    def doubt(self) -> None:
        """A node did not answer: before the next pipeline the cluster is asked how it stands."""
        self._doubtful = True

    async def follow(self) -> None:
        """Learn who has which slots now, where that is in doubt. Raises nothing that Redis does.

        Connections in use go on and are opened anew afterwards.
        """
        now = time.monotonic()
        if not self._doubtful or now < self._follow_at:
            return
        self._follow_at = now + FOLLOW_SECONDS
        try:
            await self.nodes_manager.initialize()
        except (RedisError, RedisClusterException, OSError):
            return  # What was known is all there is; the commands will tell what is wrong.
        self._doubtful = False


class _Pipeline(ClusterPipeline):
    def __init__(self, client: Cluster, transaction: Any) -> None:
        super().__init__(client, transaction)
        self._cluster = client
        self._commands: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def execute_command(self, *args: Any, **kwargs: Any) -> ClusterPipeline:
        """Queue one command."""
        self._commands.append((args, kwargs))
        return super().execute_command(*args, **kwargs)

    async def execute(
        self, raise_on_error: bool = True, allow_redirections: bool = True
    ) -> list[Any]:
        """The replies of the commands queued so far, in order; it is empty afterwards.

        With `raise_on_error` the first refusal is raised, else refusals are among the replies.
        Raises redis' ConnectionError, TimeoutError and ClusterDownError where a node did not reply.
        Reads are asked once more before that, at once: the next connection may be a good one.
        """
        commands, self._commands = self._commands, []
        try:
            replies = await self._ask(allow_redirections)
        except (ConnectionError, ClusterDownError):
            if not all(words[0] in READ_COMMANDS for words, _ in commands):
                raise
            for words, options in commands:
                super().execute_command(*words, **options)
            replies = await self._ask(allow_redirections)
        for reply in replies if raise_on_error else ():
            if isinstance(reply, Exception):
                raise reply
        return replies

    async def _ask(self, allow_redirections: bool) -> list[Any]:
        await self._cluster.follow()
        try:
            replies = await super().execute(False, allow_redirections)
            for reply in replies:
                if isinstance(reply, _UNHEARD):
                    raise reply
        except BaseException:  # a time-out of the caller's arrives as a cancellation
            self._cluster.doubt()
            raise
        return replies
