"""Similarities and the guard's verdicts of all pairs, and the shares that come out of them."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.cache.pairs import Pair
from eventstream.cache.guard import MAX_CHARACTERS, compare
from eventstream.cache.similarity import from_distance
from eventstream.llm.local.minilm import SentenceEncoder
from eventstream.llm.local.tensors import FloatArray

Vectors = Mapping[str, FloatArray]

Z95: Final = 1.959964
WARM_UP_PAIRS: Final = 200
LONGEST: Final[dict[str, str]] = {
    "one sentence": "the parcel with the two blue shirts that i ordered on monday for her and ",
    "commas": "red, blue, two, green and, ",
    "questions": "how much does it cost to send it? ",
    "courtesies": "hi, can you please tell me how to do it, thanks, ",
    "numbers": "twenty two thousand and 3,000.50 $ or ",
    "passive": "the red car was seen by the man in the house and ",
    "Spanish": "cuánto cuesta el envío a la isla de la palma y cómo puedo pagar lo que ",
}
"""What the longest accepted texts repeat: each of them is expensive for another rule."""


@dataclass(frozen=True)
class Judged:
    """A pair with its similarity on the documented scale and what the guard says of it."""

    pair: Pair
    similarity: float
    accepted: bool


@dataclass(frozen=True)
class Share:
    """`count` of `total`, with its 95 % confidence interval."""

    count: int
    total: int

    @property
    def value(self) -> float:
        return self.count / self.total if self.total else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's score interval (J. Am. Stat. Assoc. 22, 1927, 209-212)."""
        if not self.total:
            return (math.nan, math.nan)
        n, p = self.total, self.value
        centre = (p + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
        half = Z95 / (1 + Z95**2 / n) * math.sqrt(p * (1 - p) / n + Z95**2 / (4 * n * n))
        return (max(0.0, centre - half), min(1.0, centre + half))


@dataclass(frozen=True)
class GuardTime:
    """Milliseconds of one thread's CPU for one pair; `longest` by the shape of its texts."""

    p50: float
    p95: float
    longest: dict[str, float]


@dataclass(frozen=True)
class Policy:
    """A rule that decides about a pair at a threshold, and the threshold it has by default."""

    name: str
    threshold: float
    guarded: bool

    def gives(self, judged: Judged, threshold: float | None = None) -> bool:
        """Whether the stored answer is given."""
        limit = self.threshold if threshold is None else threshold
        return judged.similarity >= limit and (judged.accepted or not self.guarded)


def embed(pairs: Iterable[Pair], encoder: SentenceEncoder) -> Vectors:
    """The unit vector of each text of `pairs`."""
    texts = list(dict.fromkeys(text for pair in pairs for text in (pair.a, pair.b)))
    return dict(zip(texts, encoder.embed(texts), strict=True))


def judge(pairs: Sequence[Pair], vectors: Vectors) -> list[Judged]:
    """Each pair with its similarity, by the vectors of its texts, and the guard's verdict."""
    judged = []
    for pair in pairs:
        distance = 1.0 - float(vectors[pair.a] @ vectors[pair.b])
        similarity = from_distance(distance).value
        judged.append(Judged(pair, similarity, compare(pair.a, pair.b).accepted))
    return judged


def share(
    judged: Sequence[Judged],
    policy: Policy,
    which: Callable[[Pair], bool],
    threshold: float | None = None,
) -> Share:
    """How many of the chosen pairs the policy gives the stored answer for."""
    chosen = [item for item in judged if which(item.pair)]
    return Share(sum(policy.gives(item, threshold) for item in chosen), len(chosen))


def time_guard(pairs: Sequence[Pair]) -> GuardTime:
    """The guard's time on `pairs` and on the longest texts that it accepts.

    CPU time of the thread, because a busy machine says nothing about the guard. The first pairs
    are compared once before, as a worker has done after its first seconds.
    """
    for pair in pairs[:WARM_UP_PAIRS]:
        compare(pair.a, pair.b)
    times = sorted(_milliseconds(pair.a, pair.b) for pair in pairs)
    longest = {}
    for shape, unit in LONGEST.items():
        text = _longest_accepted(unit)
        other = f"{text[: len(text) // 2]}zebra{text[len(text) // 2 :]}"[: len(text)]
        longest[shape] = min(_milliseconds(text, other) for _ in range(3))
    return GuardTime(times[len(times) // 2], times[int(len(times) * 0.95)], longest)


def _longest_accepted(unit: str) -> str:
    """As much of `unit`, repeated, as the guard looks at: one word less than it refuses."""
    text = (unit * (MAX_CHARACTERS // len(unit) + 1))[: MAX_CHARACTERS - 10]
    while "length" in compare(text, text + " x").kinds:
        text = text.rsplit(" ", 3)[0]
    return text


def _milliseconds(a: str, b: str) -> float:
    start = time.thread_time_ns()
    compare(a, b)
    return (time.thread_time_ns() - start) / 1e6
