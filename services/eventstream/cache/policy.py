"""Whether the nearest stored question may answer this one: pure decisions, no I/O."""

from typing import Final

from eventstream.cache.contract import CacheAnswer, CacheQuery, Embedding, Pair
from eventstream.cache.entries import Candidate
from eventstream.cache.guard import MAX_CHARACTERS, compare
from eventstream.cache.similarity import threshold_for
from eventstream.cache.trust import HARMLESS_ONLY, NO_EVIDENCE, Trust, kinds_name

TOO_FAR: Final = "similarity"
"""The refusal of a candidate below the threshold, beside the guard's kinds of difference."""
DISPROVED: Final = "disproved"
"""The refusal of a candidate with harmless differences only, where they turned out not to be."""
EVIDENCE_MARGIN: Final = 0.05
"""So far below the threshold candidates are still looked at: for advice about lower ones."""


def wants_candidate(query: CacheQuery) -> bool:
    """Whether a nearest question could serve; what the guard can't compare needs no vector."""
    if query.policy == "threshold":
        return True
    return query.policy in ("guarded", "bounded") and len(query.text) <= MAX_CHARACTERS


def decide(
    query: CacheQuery,
    embedding: Embedding,
    candidate: Candidate | None,
    trust: Trust = NO_EVIDENCE,
) -> CacheAnswer:
    """The answer for `query`, given the nearest stored question of its scope.

    `threshold`: at or above the threshold. `guarded`: also every difference is harmless.
    `bounded`: or the differences are among those that `trust` accepts.
    """
    if candidate is None:
        return CacheAnswer("miss", "miss", query.key, embedding=embedding)
    similarity = candidate.similarity
    by_threshold = query.policy == "threshold"
    threshold = threshold_for(
        embedding.model, "threshold" if by_threshold else "guarded", query.threshold
    ).value
    kinds: str | None = None
    refused: tuple[str, ...] = ()
    if similarity.value < threshold:
        refused = (TOO_FAR,)
    elif not by_threshold:
        differences = tuple(
            kind.value for kind in compare(query.text, candidate.text).refused_kinds
        )
        kinds = kinds_name(differences)
        bounded = query.policy == "bounded"
        if not (trust.accepts(kinds, similarity.value) if bounded else not differences):
            refused = differences or (DISPROVED,)
    pair = None
    if similarity.value >= threshold - EVIDENCE_MARGIN:
        pair = Pair(
            candidate.text,
            candidate.response,
            similarity.value,
            given=not refused,
            kinds=kinds,
            epoch=trust.epochs.get(kinds or HARMLESS_ONLY, 0),
        )
    if not refused:
        return CacheAnswer(
            "semantic",
            "semantic",
            query.key,
            response=candidate.response,
            similarity=similarity.value,
            cosine=similarity.cosine,
            embedding=embedding,
            pair=pair,
        )
    return CacheAnswer(
        "miss",
        "miss" if refused == (TOO_FAR,) else "near_miss",
        query.key,
        similarity=similarity.value,
        cosine=similarity.cosine,
        refused_kinds=refused,
        embedding=embedding,
        pair=pair,
    )
