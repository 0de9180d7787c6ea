"""Counts of what look-ups met: outcomes, similarities and kinds of difference, an hour at a time.

It is what advice about thresholds is drawn from. Counting costs no round trip of its own:
counts gather in memory and leave with a later pipeline of the cache, once a second; and when a
drain ends, after which no look-up may come (`SemanticCache.flush`).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from eventstream import metrics
from eventstream.cache.contract import CacheAnswer, CacheQuery, Outcome
from eventstream.cache.keys import CacheKeys

BUCKETS_PER_UNIT: Final = 100
"""Similarities are counted in steps of 0.01."""
KEPT_SECONDS: Final = 8 * 24 * 3600
TOLD_EVERY_SECONDS: Final = 1.0
"""Look-ups take counts along so often at most: each costs as much as the look-up that it counts."""
SECONDS_PER_HOUR: Final = 3600


@dataclass(frozen=True)
class HistogramWindow:
    """One task type in one hour (`hour_start`: seconds since 1970).

    `outcomes`: outcome -> look-ups. `similarities`: (outcome, bucket) -> look-ups, where bucket 97
    means 0.97 <= similarity < 0.98. `kinds`: (bucket, kind of difference) -> refused candidates.
    `pairs`: (bucket, combination of kinds) -> candidates that the guard compared, accepted or not.
    """

    task_type: str
    hour_start: int
    outcomes: dict[str, int]
    similarities: dict[tuple[str, int], int]
    kinds: dict[tuple[int, str], int]
    pairs: dict[tuple[int, str], int] = field(default_factory=dict)


@dataclass
class PendingCounts:
    """Counts that have not left for Redis yet."""

    keys: CacheKeys
    _counts: dict[str, Counter[str]] = field(default_factory=dict)
    _due_at: float = float("-inf")

    def add(
        self,
        *,
        stream: str,
        task_type: str,
        now_seconds: float,
        outcome: Outcome,
        similarity: float | None,
        refused_kinds: Iterable[str],
        compared: str | None = None,
        times: int = 1,
    ) -> None:
        """Count look-ups that met the same.

        `compared`: the combination of kinds that the guard found.
        """
        key = self.keys.similarities(stream, task_type, int(now_seconds) // SECONDS_PER_HOUR)
        counts = self._counts.setdefault(key, Counter())
        counts[outcome] += times
        if similarity is None:
            return
        bucket = bucket_of(similarity)
        counts[f"{outcome}|{bucket}"] += times
        for kind in refused_kinds:
            counts[f"kind|{bucket}|{kind}"] += times
        if compared is not None:
            counts[f"pair|{bucket}|{compared}"] += times

    def count_look_ups(
        self, queries: Sequence[CacheQuery], answers: Sequence[CacheAnswer], *, now_seconds: float
    ) -> None:
        """Count what each query met, here and in the metrics."""
        # A claim's exact hits met the same: counted as one, they cost next to nothing.
        met = Counter(
            (
                query.scope.stream,
                query.scope.task_type,
                answer.outcome,
                None if answer.kind == "exact" else answer.similarity,
                answer.refused_kinds,
                None if answer.pair is None else answer.pair.kinds,
                answer.pair is not None and answer.pair.opened,
            )
            for query, answer in zip(queries, answers, strict=True)
        )
        for each, times in met.items():
            stream, task_type, outcome, similarity, refused_kinds, compared, opened = each
            metrics.CACHE_LOOK_UPS.labels(stream, task_type, outcome).inc(times)
            if outcome == "off":
                continue
            self.add(
                stream=stream,
                task_type=task_type,
                now_seconds=now_seconds,
                outcome=outcome,
                similarity=similarity,
                refused_kinds=refused_kinds,
                compared=compared,
                times=times,
            )
            if opened:
                metrics.CACHE_OPENED_HITS.labels(stream, task_type).inc(times)

    def take_due(self, now_seconds: float) -> dict[str, Counter[str]]:
        """All counts, once in `TOLD_EVERY_SECONDS`; otherwise none."""
        if not self._counts or now_seconds < self._due_at:
            return {}
        self._due_at = now_seconds + TOLD_EVERY_SECONDS
        return self.take()

    def take(self) -> dict[str, Counter[str]]:
        """All counts, which are no longer pending."""
        taken, self._counts = self._counts, {}
        return taken

    def give_back(self, counts: dict[str, Counter[str]]) -> None:
        """Make `counts`, which could not be written, pending again."""
        for key, counter in counts.items():
            self._counts.setdefault(key, Counter()).update(counter)


def append_counts(pipeline: Any, counts: dict[str, Counter[str]]) -> int:
    """Queue the commands that add `counts` on a redis pipeline; how many commands that were."""
    commands = 0
    for key, counter in counts.items():
        for name, count in counter.items():
            pipeline.hincrby(key, name, count)
        pipeline.expire(key, KEPT_SECONDS)
        commands += len(counter) + 1
    return commands


def bucket_of(similarity: float) -> int:
    """The bucket of a similarity, 0 to 100."""
    # A millionth absorbs float32 noise: 0.97 from the index may read 0.96999998.
    return int((similarity + 1e-6) * BUCKETS_PER_UNIT)


def read_window(task_type: str, hour: int, fields: dict[bytes, bytes]) -> HistogramWindow:
    """The counts of one Redis hash; fields that no rule here wrote are left out."""
    outcomes: dict[str, int] = {}
    similarities: dict[tuple[str, int], int] = {}
    kinds: dict[tuple[int, str], int] = {}
    pairs: dict[tuple[int, str], int] = {}
    for name, value in fields.items():
        match name.decode("utf-8", "replace").split("|"):
            case [outcome]:
                outcomes[outcome] = int(value)
            case [outcome, bucket] if bucket.isdecimal():
                similarities[outcome, int(bucket)] = int(value)
            case ["kind", bucket, kind] if bucket.isdecimal():
                kinds[int(bucket), kind] = int(value)
            case ["pair", bucket, compared] if bucket.isdecimal():
                pairs[int(bucket), compared] = int(value)
    return HistogramWindow(task_type, hour * SECONDS_PER_HOUR, outcomes, similarities, kinds, pairs)
