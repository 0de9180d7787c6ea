"""Each policy's decision about one candidate."""

import numpy as np
import pytest

from eventstream.cache.contract import CacheQuery, CacheScope, Embedding, Policy
from eventstream.cache.entries import Candidate
from eventstream.cache.policy import decide
from eventstream.cache.similarity import Similarity
from eventstream.cache.trust import Trust

SCOPE = CacheScope("reviews", "classification", "m", "v1", "p1")
VECTOR = Embedding("local/all-MiniLM-L6-v2", np.array([1, 0], dtype=np.float32))
NUMBERS_ARE_HARMLESS = Trust({"number": 0.9}, {"number": 2})
NOTHING_IS = Trust({"": float("inf")}, {"": 1})


def candidate(text: str, similarity: float) -> Candidate:
    return Candidate(text, b"earlier", Similarity(similarity, 2 * similarity - 1))


@pytest.mark.parametrize(
    ("policy", "trust", "similarity", "text", "outcome", "refused"),
    [
        ("guarded", Trust(), 0.95, "Hi, I ordered 2 tickets", "semantic", ()),
        ("guarded", Trust(), 0.95, "I ordered 3 tickets", "near_miss", ("number",)),
        ("guarded", NUMBERS_ARE_HARMLESS, 0.95, "I ordered 3 tickets", "near_miss", ("number",)),
        ("threshold", Trust(), 0.99, "I ordered 3 tickets", "semantic", ()),
        ("bounded", Trust(), 0.95, "Hi, I ordered 2 tickets", "semantic", ()),
        ("bounded", Trust(), 0.95, "I ordered 3 tickets", "near_miss", ("number",)),
        ("bounded", NUMBERS_ARE_HARMLESS, 0.95, "I ordered 3 tickets", "semantic", ()),
        ("bounded", NUMBERS_ARE_HARMLESS, 0.89, "I ordered 3 tickets", "near_miss", ("number",)),
        (
            "bounded",
            NUMBERS_ARE_HARMLESS,
            0.95,
            "I ordered 3 boxes",
            "near_miss",
            ("number", "word_replaced"),
        ),
        ("bounded", NOTHING_IS, 0.95, "Hi, I ordered 2 tickets", "near_miss", ("disproved",)),
        ("bounded", NUMBERS_ARE_HARMLESS, 0.8, "I ordered 3 tickets", "miss", ("similarity",)),
    ],
)
def test_decisions(
    policy: Policy,
    trust: Trust,
    similarity: float,
    text: str,
    outcome: str,
    refused: tuple[str, ...],
) -> None:
    bound = 0.02 if policy == "bounded" else None
    asked = CacheQuery("I ordered 2 tickets", SCOPE, policy, bound=bound)

    answer = decide(asked, VECTOR, candidate(text, similarity), trust)

    assert (answer.outcome, answer.refused_kinds) == (outcome, refused)
    assert (answer.response == b"earlier") is (outcome == "semantic")
    assert answer.pair is not None
    assert answer.pair.given is (outcome == "semantic")


def test_what_is_far_away_teaches_nothing() -> None:
    asked = CacheQuery("I ordered 2 tickets", SCOPE)

    assert decide(asked, VECTOR, candidate("Hello", 0.79), Trust()).pair is None


def test_a_pair_knows_the_evidence_that_it_was_given_by() -> None:
    asked = CacheQuery("I ordered 2 tickets", SCOPE, "bounded", bound=0.02)

    pair = decide(asked, VECTOR, candidate("I ordered 3 tickets", 0.95), NUMBERS_ARE_HARMLESS).pair

    assert pair is not None
    assert (pair.opened, pair.kinds, pair.epoch) == (True, "number", 2)


@pytest.mark.parametrize(("policy", "bound"), [("bounded", None), ("guarded", 0.02)])
def test_a_bound_belongs_to_bounded(policy: Policy, bound: float | None) -> None:
    with pytest.raises(ValueError, match="bound"):
        CacheQuery("text", SCOPE, policy, bound=bound)
