"""The way of a command to Redis and of its reply, without what redis-py's asyncio client adds.

That client spends more on a command than Redis does: a task and two time-outs for each write, one
more time-out a reply, two locks each time a connection is borrowed and given back, and a task when
a pipeline ends. Here commands go out as one write and their replies are read under one time-out,
and a connection that is free changes hands without waiting. Connecting, TLS, logging in,
subscriptions, transactions and what replies become stay redis-py's own.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Mapping, Sequence
from typing import Any, Final

import hiredis
import redis.asyncio
from redis.asyncio.client import Pipeline
from redis.exceptions import (
    ConnectionError,  # redis' own, wider than the built-in
    DataError,
    ResponseError,
    TimeoutError,  # likewise
)

Command = tuple[tuple[Any, ...], Mapping[str, Any]]
"""The words of a command, and the options for the function that converts its reply."""


_NOT_FOR_IT: Final = frozenset(("keys", "NEVER_DECODE", "EMPTY_RESPONSE"))
"""Options that mean something to redis-py's own reading: nothing is decoded or cached here."""


class _Exchanging:
    """What a connection adds to redis-py's own."""

    # Of redis.asyncio.connection.AbstractConnection, which the classes below are too.
    _writer: Any
    _parser: Any
    socket_timeout: float | None

    def pack_command(self, *args: Any) -> list[bytes]:
        """The command as it goes over the wire, made in C; its name may be several words.

        Raises DataError for an argument that is neither text, bytes nor a number.
        """
        name = args[0].encode() if isinstance(args[0], str) else args[0]
        try:
            return [hiredis.pack_command((*name.split(), *args[1:]))]
        except TypeError as error:
            raise DataError(str(error)) from error

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send the commands in one write; their replies, refusals (ResponseError) among them.

        The whole may take the socket's time-out. Raises redis' ConnectionError and TimeoutError;
        whenever it raises, the connection is closed: a late reply would be taken for another's.
        """
        packed = [self.pack_command(*words)[0] for words, _ in commands]
        try:
            async with asyncio.timeout(self.socket_timeout):
                await self.check_health()  # type: ignore[attr-defined]
                self._writer.writelines(packed)
                await self._writer.drain()
                return [await self._parser.read_response() for _ in packed]
        except builtins.TimeoutError:
            await self._abandon()
            raise TimeoutError(f"no reply within {self.socket_timeout} s") from None
        except OSError as error:
            await self._abandon()
            problem = str(error) or type(error).__name__
            raise ConnectionError(f"the connection broke: {problem}") from error
        except BaseException:
            await self._abandon()
            raise

    async def _abandon(self) -> None:
        await self.disconnect(nowait=True)  # type: ignore[attr-defined]


class _Connection(_Exchanging, redis.asyncio.Connection):
    pass


class _SslConnection(_Exchanging, redis.asyncio.SSLConnection):
    pass


class _UnixConnection(_Exchanging, redis.asyncio.UnixDomainSocketConnection):
    pass


CONNECTIONS: Final[Mapping[type[Any], type[Any]]] = {
    redis.asyncio.Connection: _Connection,
    redis.asyncio.SSLConnection: _SslConnection,
    redis.asyncio.UnixDomainSocketConnection: _UnixConnection,
}
"""redis-py's kinds of connection, and ours of the same kind."""


class Pool(redis.asyncio.BlockingConnectionPool):
    """A bounded pool that makes nobody wait while a connection is free."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.connection_class = CONNECTIONS[self.connection_class]
        self._waiting = 0

    async def get_connection(self, *args: Any, **options: Any) -> Any:
        """A connection that is ready; raises redis' ConnectionError where none is free in time."""
        if self._waiting or not self._available_connections:
            self._waiting += 1
            try:
                return await super().get_connection(*args, **options)  # type: ignore[no-untyped-call]
            finally:
                self._waiting -= 1
        connection = self.get_available_connection()  # type: ignore[no-untyped-call]
        try:
            await self.ensure_connection(connection)
        except BaseException:
            await self.release(connection)
            raise
        return connection

    async def release(self, connection: Any) -> None:
        """Give a connection back; there is no moment at which a cancellation could lose it."""
        if self._waiting or connection.should_reconnect():
            await asyncio.shield(super().release(connection))
            return
        self._in_use_connections.remove(connection)
        self._available_connections.append(connection)

    async def close_free(self) -> None:
        """Close the connections that nobody uses; they connect again when they are needed."""
        for connection in list(self._available_connections):
            await connection.disconnect(nowait=True)


class _Pipeline(Pipeline):
    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """The replies of the commands queued so far, in order; it is empty afterwards.

        With `raise_on_error` the first refusal is raised, else refusals are among the replies.
        """
        if self.is_transaction or self.watching or self.scripts:
            return await super().execute(raise_on_error)
        commands, self.command_stack = self.command_stack, []
        if not commands:
            return []
        replies = await _exchange(self.connection_pool, self.response_callbacks, commands)
        if raise_on_error:
            self.raise_first_error(commands, replies)
        return replies


class Client(redis.asyncio.Redis):
    """redis-py's asyncio client over a `Pool`, whose commands and pipelines go the short way.

    Commands are tried once: what may be done twice is for callers to know.
    """

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """Commands that are sent together; MULTI and EXEC around them where `transaction`."""
        return _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """The converted reply of one command; raises what it was refused with."""
        [reply] = await _exchange(self.connection_pool, self.response_callbacks, [(args, options)])
        if isinstance(reply, ResponseError):
            raise reply
        return reply


async def close_free(client: Any) -> None:
    """Close the free connections of a client of `connect`; nothing with another kind of client."""
    pool = getattr(client, "connection_pool", None)
    if isinstance(pool, Pool):
        await pool.close_free()


async def _exchange(
    pool: Any, callbacks: Mapping[Any, Any], commands: Sequence[Command]
) -> list[Any]:
    task = asyncio.current_task()
    asked_to_stop = task.cancelling() if task is not None else 0
    connection = await pool.get_connection()
    try:
        if task is not None and task.cancelling() > asked_to_stop:
            # Connecting uses `asyncio.wait_for`, which may lose a cancellation on Python 3.11.
            raise asyncio.CancelledError
        replies = await connection.exchange(commands)
    except TimeoutError:
        # A host that is gone, or a firewall, answers none of them: one time-out is enough.
        await pool.close_free()
        raise
    finally:
        await pool.release(connection)
    return [
        _converted(callbacks, command, reply)
        for command, reply in zip(commands, replies, strict=True)
    ]


def _converted(callbacks: Mapping[Any, Any], command: Command, reply: Any) -> Any:
    words, options = command
    convert = callbacks.get(words[0])
    if convert is None or isinstance(reply, ResponseError):
        return reply
    return convert(reply, **{name: options[name] for name in options if name not in _NOT_FOR_IT})
