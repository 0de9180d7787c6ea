"""Redis connections: one place that knows addresses, time-outs, TLS and Sentinel.

Every connection has time-outs and a bounded pool, so that a slow or absent server costs its caller
a clear `StoreUnavailable` and never a hang. Replies are bytes: nothing is decoded twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import redis.asyncio
import redis.retry
from redis.asyncio import RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,  # redis' own, wider than the built-in
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,  # none of RedisError
    RedisError,
    TimeoutError,  # likewise
)
from redis.maint_notifications import MaintNotificationsConfig

from eventstream.errors import StoreUnavailable
from eventstream.redis_cluster import Cluster
from eventstream.redis_wire import Client, Pool

AsyncRedis = redis.asyncio.Redis


def connect(
    url: str,
    *,
    timeout_seconds: float,
    connect_seconds: float | None = None,
    max_connections: int = 64,
) -> AsyncRedis:
    """An asyncio client for `url`; it connects on first use, in the loop that uses it.

    `url`: redis://, rediss://, unix:// or sentinel://[:password@]host:port[,host:port]/service/db.
    `timeout_seconds`: for each command; `connect_seconds`: for each connection, where that differs.
    """
    options = {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": connect_seconds or timeout_seconds,
        "health_check_interval": 30,
        "decode_responses": False,
        # Retries are decided by callers, who know what may be done twice.
        "retry": Retry(NoBackoff(), 0),
    }
    parts = urlsplit(url)
    if parts.scheme == "sentinel":
        address = _sentinels(parts)
        sentinel = Sentinel(  # type: ignore[no-untyped-call]
            address.hosts,
            sentinel_kwargs=address.options(timeout_seconds, options["retry"]),
            **options,
        )
        username, _, password = address.user.partition(":")
        client: AsyncRedis = sentinel.master_for(
            address.service,
            db=address.database,
            username=unquote(username) or None,
            password=unquote(password) or None,
        )
        return client
    # A blocking pool: callers wait for a connection instead of failing at the limit.
    pool = Pool.from_url(
        url,
        max_connections=max_connections,
        timeout=timeout_seconds,
        # With them the pool lends out connections that the server has closed meanwhile.
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        **options,
    )
    return Client.from_pool(pool)


def connect_cache(
    url: str, *, timeout_seconds: float, max_connections: int = 64
) -> AsyncRedis | RedisCluster:
    """A client of the cache's server, the one store that may be a cluster.

    `url`: as `connect` takes it, or redis+cluster:// (rediss+cluster://) with any one node.
    """
    scheme, separator, rest = url.partition("+cluster://")
    if not separator:
        return connect(url, timeout_seconds=timeout_seconds, max_connections=max_connections)
    # A cluster has one database.
    return Cluster.from_url(
        f"{scheme}://{rest.partition('/')[0]}",
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        health_check_interval=30,
        max_connections=max_connections,
        decode_responses=False,
    )


def for_celery(url: str, *, timeout_seconds: float) -> tuple[str, dict[str, Any]]:
    """`url`, as `connect` takes it, in Celery's own words, and the transport options it needs.

    Celery and kombu write some addresses otherwise, and ask for a certificate only when told to.
    """
    parts = urlsplit(url)
    if parts.scheme == "sentinel":
        address = _sentinels(parts)
        user = f"{address.user}@" if address.user else ""
        hosts = (
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in address.hosts
        )
        # Each with user and database: kombu goes from one to the next, and keeps neither.
        urls = (f"sentinel://{user}{place}/{address.database}" for place in hosts)
        return ";".join(urls), {
            "master_name": address.service,
            "sentinel_kwargs": address.options(
                timeout_seconds,
                redis.retry.Retry(NoBackoff(), 0),  # theirs is not asyncio's
            ),
        }
    if parts.scheme == "unix":
        [database] = parse_qs(parts.query).get("db", ["0"])
        return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={database}", {}
    if parts.scheme == "rediss" and "ssl_cert_reqs" not in parse_qs(parts.query):
        query = f"{parts.query}&ssl_cert_reqs=required".removeprefix("&")
        return parts._replace(query=query).geturl(), {}
    return url, {}


@dataclass(frozen=True, slots=True)
class _Sentinels:
    """What a sentinel:// address says. `user`: of the servers, as it is written, name:password."""

    hosts: list[tuple[str, int]]
    service: str
    database: int
    user: str
    password: str | None
    """Of the Sentinels themselves."""

    def options(self, timeout_seconds: float, retry: object) -> dict[str, Any]:
        """For connections to the Sentinels. `retry`: none, the next Sentinel is asked instead."""
        return {
            "password": self.password,
            "socket_timeout": timeout_seconds,
            "socket_connect_timeout": timeout_seconds,
            "retry": retry,
        }


def _sentinels(parts: SplitResult) -> _Sentinels:
    user, _, places = parts.netloc.rpartition("@")
    segments = [segment for segment in parts.path.split("/") if segment]
    hosts = [urlsplit(f"//{place}") for place in places.split(",")]
    return _Sentinels(
        hosts=[(host.hostname or "127.0.0.1", host.port or 26379) for host in hosts],
        service=segments[0] if segments else "mymaster",
        database=int(segments[1]) if len(segments) > 1 else 0,
        user=user,
        password=parse_qs(parts.query).get("sentinel_password", [None])[0],
    )


def own_reply(reply: Any) -> Any:
    """One of a pipeline's replies; None for what another program keeps under the key.

    Raises other errors: such a key concerns its own stream, they concern all of them.
    """
    if not isinstance(reply, Exception):
        return reply
    if "WRONGTYPE" in str(reply):
        return None
    raise reply


@asynccontextmanager
async def reading_or_writing(what: str) -> AsyncIterator[None]:
    """Turn what Redis raises into one StoreUnavailable that names `what` was being done."""
    try:
        yield
    except AuthenticationError as error:  # for the client library, one of ConnectionError
        raise StoreUnavailable(
            f"Redis wants another user or password while {what}: both go into its address, as in"
            " redis://user:password@host:6379/0"
        ) from error
    except (ConnectionError, TimeoutError, OSError) as error:
        raise StoreUnavailable(f"Redis can't be reached while {what}") from error
    except RedisClusterException as error:
        raise StoreUnavailable(f"Redis' cluster can't be used while {what}: {error}") from error
    except OutOfMemoryError as error:
        raise StoreUnavailable(
            f"Redis is full while {what}: raise maxmemory or wait for the backlog to drain", 10
        ) from error
    except (BusyLoadingError, ReadOnlyError) as error:
        raise StoreUnavailable(f"Redis is not ready while {what}: {error}") from error
    except RedisError as error:
        if "MISCONF" in str(error):
            raise StoreUnavailable(
                f"Redis can't write to its disk while {what}: free some space there, and it goes on"
                f" by itself ({error})",
                10,
            ) from error
        raise StoreUnavailable(f"Redis refused while {what}: {error}") from error
