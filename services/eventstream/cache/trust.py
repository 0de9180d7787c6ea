"""Which differences between two texts a stream has shown to be harmless for its own answers.

Pure decisions over counts of labelled pairs. What is held up to the user's bound is one
combination of kinds of difference in one scope, from one of three similarities upwards. It is
accepted while the evidence that its share of wrong answers lies below the bound is strong enough,
whenever one looks and however many combinations there are: see docs/cache.md for what that
guarantees, and for what it takes for granted.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from eventstream.cache.confidence import CONFIDENCE, agreements_needed, evidence_below
from eventstream.cache.histogram import BUCKETS_PER_UNIT, bucket_of

HARMLESS_ONLY: Final = ""
"""The name of a pair whose every difference the guard knows to be harmless."""
BANDS: Final = 3
_NEVER: Final = math.inf
_RINGS_AT: Final = math.log(1 / (1 - CONFIDENCE))


@dataclass(frozen=True, slots=True)
class Counts:
    """Labelled pairs: answered the same (agreed), or not (disagreed)."""

    agreed: int = 0
    disagreed: int = 0

    @property
    def pairs(self) -> int:
        return self.agreed + self.disagreed

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.agreed + other.agreed, self.disagreed + other.disagreed)


@dataclass(frozen=True)
class KindEvidence:
    """What one combination of kinds has shown.

    `rank`: the how manieth combination it is, from 1, in order of appearance. `epoch`: how often
    its evidence had to begin anew. `counts`: similarity bucket -> pairs.
    """

    rank: int
    epoch: int
    counts: Mapping[int, Counts]

    def above(self, similarity: float) -> Counts:
        """The pairs at least so similar."""
        lowest = bucket_of(similarity)
        found = (counts for bucket, counts in self.counts.items() if bucket >= lowest)
        return sum(found, Counts())


@dataclass(frozen=True)
class Trust:
    """What `bounded` accepts in one scope: combination -> similarity from which on.

    `epochs` belongs to what is given now, and goes back with the outcome when it is checked.
    """

    accepted_from: Mapping[str, float] = field(default_factory=dict)
    epochs: Mapping[str, int] = field(default_factory=dict)

    def accepts(self, kinds: str, similarity: float) -> bool:
        """Whether an answer may be given across these differences."""
        default = 0.0 if kinds == HARMLESS_ONLY else _NEVER
        return similarity >= self.accepted_from.get(kinds, default)

    @property
    def opened(self) -> int:
        """How many combinations are accepted that the guard alone refuses."""
        return sum(
            kinds != HARMLESS_ONLY and lowest < _NEVER
            for kinds, lowest in self.accepted_from.items()
        )


NO_EVIDENCE: Final = Trust()
"""Before anything is known: what `guarded` does."""


def kinds_name(kinds: Iterable[str]) -> str:
    """The name of a combination: its kinds in a stable order."""
    return "+".join(sorted(kinds))


def bands_from(threshold: float) -> tuple[float, ...]:
    """The similarities from which on a combination may be accepted, the lowest first.

    More similar texts agree at least as often, so evidence of a whole range is held up first, and
    then what is left of it without its least similar third.
    """
    width = (1 - threshold) / BANDS
    steps = (math.floor((threshold + n * width) * BUCKETS_PER_UNIT + 0.5) for n in range(1, BANDS))
    return (threshold, *(step / BUCKETS_PER_UNIT for step in steps))


def evidence_needed(kinds: KindEvidence) -> float:
    """What `evidence_below` has to reach, so that all mistakes together stay below 5 %.

    The allowed 5 % are shared out: combination j gets 1/(j(j+1)) of them, its beginning e
    1/((e+1)(e+2)) of that (both sum to 1 over all j and e), each similarity band an equal part.
    """
    shares = kinds.rank * (kinds.rank + 1) * (kinds.epoch + 1) * (kinds.epoch + 2) * BANDS
    return math.log(shares / (1 - CONFIDENCE))


def trust(evidence: Mapping[str, KindEvidence], bound: float, threshold: float) -> Trust:
    """What may be accepted with `bound` (0 to 1) as the largest share of wrong answers."""
    accepted = {
        name: lowest_accepted(kinds, bound, threshold)
        for name, kinds in evidence.items()
        # What is harmless everywhere needs no evidence until it has failed here.
        if name != HARMLESS_ONLY or kinds.epoch
    }
    return Trust(accepted, {name: kinds.epoch for name, kinds in evidence.items()})


def lowest_accepted(kinds: KindEvidence, bound: float, threshold: float) -> float:
    """The similarity from which on these kinds are accepted; infinity when from none."""
    needed = evidence_needed(kinds)
    bands = bands_from(threshold)
    for lowest, following in zip(bands, (*bands[1:], _NEVER), strict=True):
        counts = kinds.above(lowest)
        above = kinds.above(following) if following < _NEVER else Counts()
        least_similar = Counts(counts.agreed - above.agreed, counts.disagreed - above.disagreed)
        # Many good pairs above must not carry a bad band along.
        if least_similar.disagreed > bound * least_similar.pairs:
            continue
        if evidence_below(counts.disagreed, counts.pairs, bound) >= needed:
            return lowest
    return _NEVER


def pairs_missing(kinds: KindEvidence, bound: float, threshold: float) -> int | None:
    """How many more agreeing pairs would open these kinds; None where their share points above."""
    counts = kinds.above(threshold)
    if counts.disagreed > bound * counts.pairs:
        return None
    return agreements_needed(counts.disagreed, counts.pairs, bound, evidence_needed(kinds))


@dataclass(frozen=True, slots=True)
class Alarm:
    """A running sum that rises with each wrong answer given and falls with each right one.

    Page's CUSUM (1954) of the likelihood ratio of a share above the bound against the bound. It
    never falls below 0; at `rings_at` the evidence of its kinds begins anew.
    """

    name: str
    up: float
    down: float
    rings_at: float = _RINGS_AT


def alarms(bound: float) -> tuple[Alarm, ...]:
    """One for a sudden change (half of the answers wrong), one for a slow one (twice the bound)."""
    return tuple(
        Alarm(name, math.log(share / bound), math.log((1 - share) / (1 - bound)))
        for name, share in (("sudden", 0.5), ("slow", 2 * bound))
    )
