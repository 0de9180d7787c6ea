"""The registry in Redis, written from the resources: what API, consumers and workers go by.

The registry belongs to one installation, which says so under the key `installation` as long as it
lives, and in each stream that it has written for as long as that is there: who comes while it is
away touches none of them. Everything in it but `default` (which the services write too where there
is none) came from a resource of this installation: what has none any more is deleted, also after a
restart. Streams of nobody (earlier versions named no owner) become its own with the claim.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, cast

from eventstream.errors import ConfigurationError, StoreUnavailable
from eventstream.keys import DEFAULT_STREAM, Keys
from eventstream.logs import get_logger
from eventstream.redis_client import AsyncRedis, reading_or_writing
from eventstream.registry import Registry
from eventstream.spec import StreamSpec

log = get_logger(__name__)

CLAIM_SECONDS: Final = 60
"""A dead installation's claim ends after this."""
AGAIN_SECONDS: Final = 20.0
"""An unchanged registry is looked at this often: an emptied Redis gets it back."""


class StreamRegistry:
    """Keeps the registry as the resources are.

    Raises ConfigurationError at a foreign claim, and where there are streams of another owner than
    `take_over_from`.
    """

    def __init__(
        self,
        redis: AsyncRedis,
        keys: Keys,
        *,
        clock: Callable[[], float],
        take_over_from: str = "",
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._registry = Registry(redis, keys, max_age_seconds=0)
        self._clock = clock
        self._written: Mapping[str, StreamSpec] | None = None
        self._written_at = 0.0
        self._take_over_from = take_over_from
        self._claimed_as: set[str] = set()
        self._had_default = False
        self._away = False

    async def write(self, specs: Mapping[str, StreamSpec], names: set[str], owner: str) -> None:
        """Make it so: `specs` are written, what is not among `names` is deleted.

        `names` also holds the resources whose spec can't be read: they keep their last one. While
        Redis is away nothing happens; a later pass makes it good.
        """
        now = self._clock()
        self._had_default = self._had_default or DEFAULT_STREAM in names
        if self._written == specs and now - self._written_at < AGAIN_SECONDS:
            return
        try:
            await self._claim(owner)
            await self._refuse_foreign_streams()
            kept = {
                name: spec for name, spec in (await self._registry.all()).items() if name in names
            }
            await self._registry.write(kept | dict(specs), owner)
            for name in await self._registry.all():
                if name in names or (name == DEFAULT_STREAM and not self._had_default):
                    continue
                await self._registry.delete(name)
                log.info("stream_deleted", stream=name)
        except ConfigurationError:
            raise
        except Exception as error:  # without it pods are scaled all the same
            if not self._away:
                defect = None if isinstance(error, StoreUnavailable) else error
                log.warning("registry_not_written", problem=str(error), exc_info=defect)
            self._away = True
            return
        self._away = False
        self._written, self._written_at = dict(specs), now

    async def release(self, owner: str) -> None:
        """Give up the claim, so that a successor elsewhere need not wait for its end."""
        try:
            async with reading_or_writing("releasing the registry"):
                holder = cast(bytes | None, await self._redis.get(self._keys.owner))
                if holder is not None and holder.decode() == owner:
                    await self._redis.delete(self._keys.owner)
        except StoreUnavailable as error:
            log.warning("claim_not_released", problem=str(error))

    async def _refuse_foreign_streams(self) -> None:
        ours = {*self._claimed_as, self._take_over_from}
        foreign: dict[str, list[str]] = {}
        for name, owner in sorted((await self._registry.owners()).items()):
            if owner not in ours:
                foreign.setdefault(owner, []).append(name)
        for owner, names in foreign.items():
            raise ConfigurationError(
                "EVENTSTREAM_PREFIX",
                f"in this Redis, under the same prefix, the streams {', '.join(names)} belong to"
                f" the installation {owner!r}",
                "Give this installation another EVENTSTREAM_PREFIX, or a Redis of its own. If that"
                f" one is gone for good, set TAKE_OVER_FROM={owner!r}: its streams are this one's"
                " then, and those without a resource here are deleted",
            )

    async def _claim(self, owner: str) -> None:
        key = self._keys.owner
        async with reading_or_writing("claiming the registry"):
            await self._redis.set(key, owner, nx=True, ex=CLAIM_SECONDS)
            holder = cast(bytes | None, await self._redis.get(key))
            # A Lease that somebody deletes is made anew, with another uid: the claim under the
            # old one is still this operator's.
            if holder is None or holder.decode() in (owner, *self._claimed_as):
                await self._redis.set(key, owner, ex=CLAIM_SECONDS)
                self._claimed_as.add(owner)
                return
        raise ConfigurationError(
            "EVENTSTREAM_PREFIX",
            f"this Redis is served by the installation {holder.decode()!r} under the same prefix",
            "Give this installation another EVENTSTREAM_PREFIX, or a Redis of its own. If the other"
            f" one was just removed, its claim ends within {CLAIM_SECONDS} s",
        )
