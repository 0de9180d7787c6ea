"""Looks at the Redis servers once at start: whether they may drop what must not be dropped, or take
memory until they are killed.

It warns and says what to set; it changes nothing, and a server that does not tell (CONFIG is often
forbidden on managed ones) is left in peace.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from redis.exceptions import RedisClusterException, RedisError

from eventstream.logs import get_logger
from eventstream.redis_client import connect_cache
from eventstream.settings import Settings

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Memory:
    """What a server says of its memory. `policy` "": it does not tell."""

    policy: str
    max_bytes: int
    """0: no bound."""


def advice(*, state: Memory, broker: Memory, cache: Memory, shared: bool) -> list[str]:
    """What should be set otherwise, in sentences; [] when all is well. Pure.

    `shared`: the cache lives on the same server as inbox and results.
    """
    sentences: list[str] = []
    if state.policy and not state.max_bytes:
        # Accepting is refused by a share of maxmemory (accept.lua): without one, never.
        sentences.append(
            "the Redis of results and inbox has no bound: a flood of events has it killed, instead"
            " of being answered 503: set maxmemory to half of the memory that it may take"
        )
    if shared:
        if state.policy and state.max_bytes and state.policy != "noeviction":
            # Of what has a time to live, too, not all is worth as little as a cached answer.
            what = (
                "what was spent of a budget and asked of a provider's limits"
                if state.policy.startswith("volatile-")
                else "accepted events"
            )
            sentences.append(
                f"the one Redis server evicts by {state.policy}, which may drop {what}:"
                " set maxmemory-policy noeviction, and give the cache a server of its own where it"
                " fills this one"
            )
        return sentences
    for name, memory in (("results and inbox", state), ("broker", broker)):
        if memory.policy and memory.max_bytes and memory.policy != "noeviction":
            sentences.append(
                f"the Redis of {name} evicts by {memory.policy}, which may drop accepted events:"
                " set maxmemory-policy noeviction"
            )
    if cache.policy == "noeviction" and cache.max_bytes:
        sentences.append(
            "the cache's Redis refuses writes when it is full: set maxmemory-policy allkeys-lfu"
        )
    return sentences


async def warn_about_stores(settings: Settings) -> list[str]:
    """Log `advice` for the configured servers and return it. Never raises for an absent server."""
    urls = (settings.state_url, settings.broker_url, settings.cache_url)
    state, broker, cache = [await _memory(url, settings) for url in urls]
    sentences = advice(
        state=state,
        broker=broker,
        cache=cache,
        shared=_server(settings.state_url) == _server(settings.cache_url),
    )
    for sentence in sentences:
        log.warning("redis_setting_unsafe", advice=sentence)
    return sentences


def _server(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


async def _memory(url: str, settings: Settings) -> Memory:
    # The cache's may be a cluster; its nodes are set alike.
    client = connect_cache(url, timeout_seconds=settings.redis_timeout_seconds)
    try:
        policy = await client.config_get("maxmemory-policy", "maxmemory")
    except (RedisError, RedisClusterException, OSError):
        return Memory("", 0)
    finally:
        await client.aclose()
    values = {_text(name): _text(value) for name, value in policy.items()}
    return Memory(values.get("maxmemory-policy", ""), int(values.get("maxmemory", "0")))


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
