"""How far a few counted outcomes can be trusted: limits and a test that may be looked at always.

Pure arithmetic. Limits (Clopper-Pearson, Wilson) describe what was counted, at one look. Whoever
decides again and again on growing counts needs `evidence_below` instead, which pays for looking.
"""

import math
from dataclasses import dataclass
from typing import Final

CONFIDENCE: Final = 0.95
_Z: Final = 1.959963984540054
"""The 97.5 % point of the normal distribution: for intervals of 95 %."""
_TINY: Final = 1e-300
_CLOSE: Final = 1e-12
_MOST_STEPS: Final = 10_000
# Where under the bound the true share may lie, as shares of the bound, and what each is given.
_BELOW: Final = ((0.05, 0.6), (0.2, 0.2), (0.5, 0.2))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and the interval that holds it with 95 % confidence."""

    value: float
    low: float
    high: float


def upper_limit(failures: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """The one-sided upper limit of a share, after Clopper and Pearson (1934); 1 without trials.

    The p with P(X <= failures | trials, p) = 1 - confidence, found by bisection.
    """
    if failures >= trials:
        return 1.0
    low, high = failures / trials, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if _at_most(failures, trials, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def clopper_pearson(failures: int, trials: int) -> Estimate:
    """A share with its two-sided 95 % interval; 0 to 1 without trials."""
    if trials == 0:
        return Estimate(0.0, 0.0, 1.0)
    tail = 1 - (1 - CONFIDENCE) / 2
    low = 1 - upper_limit(trials - failures, trials, tail)
    return Estimate(failures / trials, low, upper_limit(failures, trials, tail))


def wilson(successes: float, trials: float) -> Estimate:
    """A share with its 95 % interval after Wilson (1927); 0 to 1 without trials."""
    if trials <= 0:
        return Estimate(0.0, 0.0, 1.0)
    share = min(1.0, successes / trials)
    squared = _Z * _Z / trials
    middle = share + squared / 2
    spread = _Z * math.sqrt(share * (1 - share) / trials + squared / (4 * trials))
    return Estimate(
        share,
        max(0.0, (middle - spread) / (1 + squared)),
        min(1.0, (middle + spread) / (1 + squared)),
    )


def evidence_below(failures: int, trials: int, bound: float) -> float:
    """The natural logarithm of the evidence that the true share lies below `bound` (0 to 1).

    A mixture of likelihood ratios of shares below the bound against the bound itself. While the
    true share is at the bound or above, its exponential is a non-negative supermartingale that
    begins at 1, so by Ville's inequality it *ever* reaches 1/a with probability a at most: it may
    be looked at after each outcome (Howard, Ramdas, McAuliffe, Sekhon 2021). The limit that belongs
    to it, the largest share not yet ruled out, is below `bound` exactly when it reaches 1/a.
    """
    successes = trials - failures
    terms = [
        math.log(weight)
        + failures * math.log(part)
        + successes * math.log((1 - part * bound) / (1 - bound))
        for part, weight in _BELOW
    ]
    most = max(terms)
    return most + math.log(sum(math.exp(term - most) for term in terms))


def agreements_needed(failures: int, trials: int, bound: float, needed: float) -> int:
    """How many more trials without a failure bring `evidence_below` up to `needed`."""
    more, step = 0, 1
    while evidence_below(failures, trials + step, bound) < needed:
        step *= 2
    while step:
        if evidence_below(failures, trials + more + step, bound) < needed:
            more += step
        step //= 2
    return 0 if evidence_below(failures, trials, bound) >= needed else more + 1


def _at_most(failures: int, trials: int, share: float) -> float:
    """P(X <= failures) for a binomial X: I(1 - share; trials - failures, failures + 1)."""
    if share <= 0:
        return 1.0
    if share >= 1:
        return 0.0
    return _incomplete_beta(trials - failures, failures + 1, 1 - share)


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I(x; a, b), 0 < x < 1.

    By its continued fraction (DLMF 8.17.22), which converges in some tens of steps whatever a and
    b are, on the side where it converges fast; evaluated by Lentz's method.
    """
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    numerator, denominator = 1.0, 1 / (1 - (a + b) * x / (a + 1) or _TINY)
    fraction = denominator
    for m in range(1, _MOST_STEPS):
        for factor in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            denominator = 1 / (1 + factor * denominator or _TINY)
            numerator = 1 + factor / numerator or _TINY
            fraction *= numerator * denominator
        if abs(numerator * denominator - 1) < _CLOSE:
            break
    return front * fraction / a
