"""Reads what advice is drawn from, and keeps ready-made advice where panels and operator look.

One process of an installation refreshes it, now and then, beside its work. What fails is tried
again the next time: no event depends on it.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from eventstream import metrics
from eventstream.cache.advice import Advice, InForce, advice
from eventstream.cache.evidence import Evidence, read_evidence
from eventstream.cache.histogram import KEPT_SECONDS, SECONDS_PER_HOUR, read_window
from eventstream.cache.keys import CacheKeys
from eventstream.cache.published import PublishedAdvice
from eventstream.cache.server import REDIS_FAILURES
from eventstream.cache.similarity import threshold_for
from eventstream.errors import StoreUnavailable
from eventstream.redis_client import reading_or_writing
from eventstream.results import StreamCounters
from eventstream.spec import Cache, StreamSpec

REFRESH_SECONDS: Final = 60
ADVICE_TTL_SECONDS: Final = 24 * 3600
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Advised:
    """A stream to advise on. `cost_microdollars`: an average model call; None: no price known."""

    cache: Cache
    cost_microdollars: float | None

    @classmethod
    def of(cls, spec: StreamSpec, counters: StreamCounters) -> "Advised":
        """A stream and what it has spent so far."""
        spent = counters.cost_microdollars
        return cls(spec.cache, spent / counters.misses if spent and counters.misses else None)


class Advisor:
    """Advice over one cache server."""

    def __init__(
        self,
        client: Any,
        *,
        prefix: str = "",
        default_threshold: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._keys = CacheKeys(prefix)
        self._default_threshold = default_threshold
        self._clock = clock

    async def read(self, stream: str, advised: Advised) -> list[Advice]:
        """The advice for each task of a stream, the busiest first. Raises StoreUnavailable."""
        async with reading_or_writing("reading what the cache has learned"):
            members = await self._client.smembers(self._keys.evidence_index(stream))
            by_task: dict[str, list[str]] = {}
            for member in members:
                task_type, evidence_id = self._keys.read_evidence_member(member.decode())
                by_task.setdefault(task_type, []).append(evidence_id)
            found = [
                await self._read_task(stream, task_type, ids, advised)
                for task_type, ids in by_task.items()
            ]
        return sorted(found, key=lambda each: -each.look_ups)

    async def publish(self, streams: Callable[[], Awaitable[Mapping[str, Advised]]]) -> bool:
        """Write each stream's advice for panels and operator; whether it was this call's turn.

        `streams` tells what there is to advise on, and is asked only then. May raise
        StoreUnavailable.
        """
        try:
            mine = await self._client.set(
                self._keys.advice_lock, 1, nx=True, ex=REFRESH_SECONDS - 5
            )
            if not mine:
                return False
            for stream, advised in (await streams()).items():
                if not advised.cache.enabled:
                    continue
                found = await self.read(stream, advised)
                if found:
                    note = PublishedAdvice(line=found[0].line, drawn_at=self._clock())
                    await self._client.set(
                        self._keys.advice(stream), note.encode(), ex=ADVICE_TTL_SECONDS
                    )
                for each in found:
                    _measure(stream, each, self._clock())
        except (StoreUnavailable, *REDIS_FAILURES) as error:
            _log.warning("advice could not be refreshed now: %s", error)
            return False
        return True

    async def _read_task(
        self, stream: str, task_type: str, evidence_ids: list[str], advised: Advised
    ) -> Advice:
        now = self._clock()
        hour = int(now) // SECONDS_PER_HOUR
        hours = range(hour - KEPT_SECONDS // SECONDS_PER_HOUR, hour + 1)
        pipeline = self._client.pipeline(transaction=False)
        for evidence_id in evidence_ids:
            pipeline.hgetall(self._keys.evidence(stream, task_type, evidence_id))
        for each in hours:
            pipeline.hgetall(self._keys.similarities(stream, task_type, each))
        replies = await pipeline.execute()
        found = dict(zip(evidence_ids, replies, strict=False))
        gone = [each for each, reply in found.items() if not reply]
        if gone:
            # Scopes that nobody asks in any more: their evidence has expired.
            members = (self._keys.evidence_member(task_type, each) for each in gone)
            await self._client.srem(self._keys.evidence_index(stream), *members)
        evidence = [read_evidence(reply, now) for reply in found.values() if reply]
        windows = [
            read_window(task_type, each, reply)
            for each, reply in zip(hours, replies[len(evidence_ids) :], strict=True)
            if reply
        ]
        return advice(
            task_type,
            windows,
            evidence,
            self._in_force(advised.cache, evidence),
            advised.cost_microdollars,
        )

    def _in_force(self, cache: Cache, evidence: list[Evidence]) -> InForce:
        model = next((each.embedding_model for each in evidence if each.embedding_model), "")
        own = self._default_threshold if cache.threshold is None else cache.threshold
        by_threshold = cache.policy == "threshold"
        # A threshold that was set for the similarity alone says nothing about the guard's.
        guarded = threshold_for(model, "guarded", None if by_threshold else own)
        return InForce(
            policy=cache.policy,
            threshold=threshold_for(model, "threshold", own) if by_threshold else guarded,
            guarded_threshold=guarded.value,
            check_percent=cache.check_percent,
            max_wrong_hit_percent=cache.max_wrong_hit_percent,
        )


def _measure(stream: str, found: Advice, drawn_at: float) -> None:
    metrics.CACHE_ADVICE_DRAWN.labels(stream, found.task_type).set(drawn_at)
    for option in found.options:
        labels = (stream, found.task_type, option.name)
        for bound in ("low", "value", "high"):
            metrics.CACHE_ADVICE_HITS.labels(*labels, bound).set(getattr(option.hits, bound))
            if option.wrong is not None:
                metrics.CACHE_ADVICE_WRONG.labels(*labels, bound).set(getattr(option.wrong, bound))
        if option.saved_microdollars_per_1000 is not None:
            metrics.CACHE_ADVICE_SAVED.labels(*labels).set(option.saved_microdollars_per_1000.value)
