"""RedisVL's SemanticCache itself, on a real Redis, for some of the pairs.

It keeps the nearest stored prompt whose cosine distance is at most its threshold. That is the
`threshold` policy on another scale, distance = 2 (1 - similarity), so its curve needs no server;
this shows that its distances are the same, and that it decides the same.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from redisvl.extensions.cache.llm import SemanticCache
from redisvl.utils.vectorize import CustomVectorizer
from tests.support.redis_server import RedisServer

from benchmarks.cache.measure import Judged, Vectors

DEFAULT_DISTANCE: Final = 0.1
DEFAULT_SIMILARITY: Final = 1.0 - DEFAULT_DISTANCE / 2
_NEAR_THE_LIMIT: Final = 1e-5


@dataclass(frozen=True)
class Agreement:
    """How far RedisVL's distances lie from ours at most, and how often it decides otherwise."""

    pairs: int
    largest_difference: float
    other_decisions: int


def ask_redisvl(judged: Sequence[Judged], vectors: Vectors) -> Agreement:
    """Store the first text of each pair in an empty cache, ask for the second.

    Pairs within rounding of the threshold may be decided either way and do not count as others.
    """
    largest, others = 0.0, 0
    first = next(iter(vectors.values()))

    def embed(text: str, **_: object) -> list[float]:
        # RedisVL asks for the vector of a text of its own, to learn how long they are.
        return [float(value) for value in vectors.get(text, first)]

    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as server:
        cache = SemanticCache(
            name="pairs",
            redis_url=server.url(0),
            vectorizer=CustomVectorizer(embed=embed),
            overwrite=True,
        )
        if cache.distance_threshold != DEFAULT_DISTANCE:
            raise RuntimeError(
                f"RedisVL's default threshold is {cache.distance_threshold}, not"
                f" {DEFAULT_DISTANCE}: peer.py has to be brought up to date"
            )
        for item in judged:
            cache.clear()
            cache.store(prompt=item.pair.a, response="stored")
            found = cache.check(prompt=item.pair.b, distance_threshold=2)
            distance = float(found[0]["vector_distance"])
            largest = max(largest, abs(distance - 2 * (1 - item.similarity)))
            given = bool(cache.check(prompt=item.pair.b))
            expected = item.similarity >= DEFAULT_SIMILARITY
            near = abs(item.similarity - DEFAULT_SIMILARITY) < _NEAR_THE_LIMIT
            others += given != expected and not near
    return Agreement(len(judged), largest, others)
