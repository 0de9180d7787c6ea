"""Whether the nearest stored question may answer this one: pure decisions, no I/O."""

from eventstream.cache.contract import CacheAnswer, CacheQuery, Embedding
from eventstream.cache.entries import Candidate
from eventstream.cache.guard import MAX_CHARACTERS, compare
from eventstream.cache.similarity import threshold_for

TOO_FAR = "similarity"
"""The refusal of a candidate below the threshold, beside the guard's kinds of difference."""


def wants_candidate(query: CacheQuery) -> bool:
    """Whether a nearest question could serve; what the guard can't compare needs no vector."""
    if query.policy == "threshold":
        return True
    return query.policy == "guarded" and len(query.text) <= MAX_CHARACTERS


def decide(query: CacheQuery, embedding: Embedding, candidate: Candidate | None) -> CacheAnswer:
    """The answer for `query`, given the nearest stored question of its scope.

    `threshold`: at or above the threshold. `guarded`: also every difference is harmless.
    """
    if candidate is None:
        return CacheAnswer("miss", "miss", query.key, embedding=embedding)
    similarity = candidate.similarity
    guarded = query.policy == "guarded"
    threshold = threshold_for(
        embedding.model, "guarded" if guarded else "threshold", query.threshold
    )
    refused: tuple[str, ...] = ()
    if similarity.value < threshold.value:
        refused = (TOO_FAR,)
    elif guarded:
        refused = tuple(kind.value for kind in compare(query.text, candidate.text).refused_kinds)
    if not refused:
        return CacheAnswer(
            "semantic",
            "semantic",
            query.key,
            response=candidate.response,
            similarity=similarity.value,
            cosine=similarity.cosine,
            embedding=embedding,
        )
    return CacheAnswer(
        "miss",
        "miss" if refused == (TOO_FAR,) else "near_miss",
        query.key,
        similarity=similarity.value,
        cosine=similarity.cosine,
        refused_kinds=refused,
        embedding=embedding,
    )
