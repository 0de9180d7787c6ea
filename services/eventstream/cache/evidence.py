"""Labelled pairs for nothing: what becomes of candidates, as counts in Redis.

A candidate that is refused is answered by the model anyway, and a few that were accepted are asked
of the model all the same; the two answers side by side say whether the candidate's would have been
right. The counts gather in memory and leave with the cache's next pipeline; where that fails they
are dropped, because no answer depends on them and nothing may be counted twice.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from eventstream import metrics
from eventstream.cache.contract import CacheQuery, Pair
from eventstream.cache.guard import HARMLESS, Kind, compare
from eventstream.cache.histogram import bucket_of
from eventstream.cache.keys import CacheKeys, text_digest
from eventstream.cache.normalise import exact_key_text
from eventstream.cache.similarity import threshold_for
from eventstream.cache.trust import (
    NO_EVIDENCE,
    Counts,
    KindEvidence,
    Trust,
    alarms,
    kinds_name,
    trust,
)
from eventstream.lua import source

WINDOW_SECONDS: Final = 4 * 24 * 3600
"""Evidence counts for one to two windows."""
KEPT_SECONDS: Final = 2 * WINDOW_SECONDS
REFRESH_SECONDS: Final = 1.0
MOST_SCOPES: Final = 1000
"""A process remembers the evidence of so many; more, and it begins to read anew."""
_SCRIPT: Final = "\n".join(
    # It goes over the wire each time, so without its comments.
    line
    for line in source("evidence").splitlines()
    if not line.lstrip().startswith("--")
)
_VOCABULARY: Final = json.dumps([sorted(Kind), sorted(HARMLESS)])


@dataclass(frozen=True)
class Evidence:
    """What one scope has shown: combination of kinds -> its pairs."""

    kinds: Mapping[str, KindEvidence] = field(default_factory=dict)
    embedding_model: str = ""


def evidence_id(query: CacheQuery, embedding_model: str) -> str:
    """The digest of all that pairs must share to speak of the same thing.

    The scope, the embedding model (similarities are its own) and the guard's kinds.
    """
    return text_digest("\n".join((query.scope.digest, embedding_model, _VOCABULARY)))


def read_evidence(fields: Mapping[bytes, bytes], now_seconds: float) -> Evidence:
    """The evidence in one Redis hash; fields that no rule wrote are left out."""
    window = int(now_seconds) // WINDOW_SECONDS
    ranks: dict[str, int] = {}
    epochs: dict[str, int] = {}
    counts: dict[str, dict[int, Counts]] = {}
    for name, value in fields.items():
        match name.decode("utf-8", "replace").split("|"):
            case ["rank", kinds]:
                ranks[kinds] = int(value)
            case ["epoch", kinds]:
                epochs[kinds] = int(value)
            case [counted, kinds, bucket, outcome] if counted.isdecimal() and bucket.isdecimal():
                if int(counted) < window - 1:
                    continue
                number = int(value)
                added = Counts(agreed=number) if outcome == "agreed" else Counts(disagreed=number)
                of_kinds = counts.setdefault(kinds, {})
                of_kinds[int(bucket)] = of_kinds.get(int(bucket), Counts()) + added
    return Evidence(
        {
            kinds: KindEvidence(rank, epochs.get(kinds, 0), counts.get(kinds, {}))
            for kinds, rank in ranks.items()
        },
        fields.get(b"embedding", b"").decode("utf-8", "replace"),
    )


class EvidenceBook:
    """One process's part in the evidence: what it has to tell, and what it read last."""

    def __init__(
        self, keys: CacheKeys, *, clock: Callable[[], float], monotonic: Callable[[], float]
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._monotonic = monotonic
        self._pending: list[tuple[str, tuple[str | int | float, ...], str, str]] = []
        self._trust: dict[tuple[str, float, float], Trust] = {}
        self._evidence: dict[str, Evidence] = {}
        self._read_at: dict[str, float] = {}

    # -- telling ---------------------------------------------------------------------------------

    def add(self, query: CacheQuery, embedding_model: str, pair: Pair, *, agreed: bool) -> None:
        """Count what the model said about a pair."""
        scope = query.scope
        key = self._key(query, embedding_model)
        outcome = "agreed" if agreed else "disagreed"
        metrics.CACHE_EVIDENCE.labels(
            scope.stream, scope.task_type, "checked" if pair.given else "refused", outcome
        ).inc()
        arguments: list[str | int | float] = [
            int(self._clock()) // WINDOW_SECONDS,
            _kinds(query, pair),
            bucket_of(pair.similarity),
            outcome,
            KEPT_SECONDS,
            embedding_model,
            pair.epoch if pair.given else "",
            _number(query.text, pair.text),
        ]
        if pair.given and query.bound is not None:
            for alarm in alarms(query.bound):
                arguments += [alarm.name, alarm.down if agreed else alarm.up, alarm.rings_at]
        member = self._keys.evidence_member(scope.task_type, evidence_id(query, embedding_model))
        self._pending.append((key, tuple(arguments), scope.stream, member))
        if pair.given and not agreed:
            # An alarm may ring: what this process gives next should know.
            self._read_at.pop(key, None)

    def append(self, pipeline: Any) -> None:
        """Queue all that is pending; each is told once, or never."""
        pending, self._pending = self._pending, []
        indexed: set[tuple[str, str]] = set()
        for key, arguments, stream, member in pending:
            pipeline.eval(_SCRIPT, 1, key, *arguments)
            if (stream, member) not in indexed:
                indexed.add((stream, member))
                index = self._keys.evidence_index(stream)
                pipeline.sadd(index, member)
                pipeline.expire(index, KEPT_SECONDS)

    # -- knowing ---------------------------------------------------------------------------------

    def append_reads(self, pipeline: Any, queries: list[CacheQuery], model: str) -> list[str]:
        """Queue a read of each scope whose evidence is due; the keys, for `read`."""
        due: dict[str, None] = {}
        now = self._monotonic()
        for query in queries:
            if query.policy == "bounded":
                key = self._key(query, model)
                if now - self._read_at.get(key, float("-inf")) >= REFRESH_SECONDS:
                    due[key] = None
        for key in due:
            pipeline.hgetall(key)
        return list(due)

    def read(self, keys: list[str], replies: list[Any]) -> None:
        """Take in what `append_reads` asked for; what can't be read leaves what was known."""
        if len(self._read_at) + len(keys) > MOST_SCOPES:
            self._evidence, self._read_at, self._trust = {}, {}, {}
        for key, reply in zip(keys, replies, strict=True):
            if isinstance(reply, dict):
                self._evidence[key] = read_evidence(reply, self._clock())
                self._read_at[key] = self._monotonic()
                self._trust = {
                    known: each for known, each in self._trust.items() if known[0] != key
                }

    def trust(self, query: CacheQuery, model: str) -> Trust:
        """What a query may be answered with, as last read."""
        if query.bound is None:
            return NO_EVIDENCE
        key = self._key(query, model)
        threshold = threshold_for(model, "guarded", query.threshold).value
        known = self._trust.get((key, query.bound, threshold))
        if known is None:
            evidence = self._evidence.get(key, Evidence())
            known = trust(evidence.kinds, query.bound, threshold)
            self._trust[key, query.bound, threshold] = known
            metrics.CACHE_OPENED_KINDS.labels(query.scope.stream, query.scope.task_type).set(
                known.opened
            )
        return known

    def _key(self, query: CacheQuery, embedding_model: str) -> str:
        scope = query.scope
        return self._keys.evidence(
            scope.stream, scope.task_type, evidence_id(query, embedding_model)
        )


def _number(one: str, other: str) -> int:
    """The same for a pair whichever of its texts came first, and however it was written."""
    exact = sorted((exact_key_text(one), exact_key_text(other)))
    return int(text_digest("\n".join(exact))[:8], 16)


def _kinds(query: CacheQuery, pair: Pair) -> str:
    if pair.kinds is not None:
        return pair.kinds
    return kinds_name(compare(query.text, pair.text).refused_kinds)
