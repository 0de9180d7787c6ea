"""Limits of shares, and the evidence that may be looked at after each outcome."""

import math
import random

import pytest

from eventstream.cache.confidence import (
    agreements_needed,
    clopper_pearson,
    evidence_below,
    upper_limit,
    wilson,
)


@pytest.mark.parametrize(
    ("failures", "trials", "limit"),
    [
        (0, 221, 1 - 0.05 ** (1 / 221)),  # no failure: the rule of three, exactly
        (0, 1, 0.95),
        (1, 20, 0.2161),  # tables of Clopper and Pearson
        (5, 100, 0.1022),
        (20, 20, 1.0),
        (0, 0, 1.0),
    ],
)
def test_the_upper_limit_is_the_one_in_the_tables(failures: int, trials: int, limit: float) -> None:
    assert upper_limit(failures, trials) == pytest.approx(limit, abs=1e-4)


def test_intervals_are_the_ones_in_the_tables() -> None:
    exact, approximate = clopper_pearson(8, 20), wilson(8, 20)

    assert (exact.low, exact.high) == pytest.approx((0.1912, 0.6395), abs=1e-4)
    assert (approximate.low, approximate.high) == pytest.approx((0.2188, 0.6134), abs=1e-4)
    assert clopper_pearson(0, 0).high == wilson(0, 0).high == 1.0


def test_many_trials_do_not_overflow() -> None:
    assert upper_limit(10, 1_000_000) == pytest.approx(1.7e-5, rel=0.01)
    assert evidence_below(0, 1_000_000, 0.02) > 1000


def ever_below(share: float, bound: float, *, looks: int, runs: int) -> tuple[float, float]:
    """How often the evidence, and a plain upper limit, ever say "below" in a run of outcomes."""
    draw = random.Random(4)
    by_evidence = by_limit = 0
    for _ in range(runs):
        failures = 0
        said = [False, False]
        for trials in range(1, looks + 1):
            failures += draw.random() < share
            said[0] |= evidence_below(failures, trials, bound) >= math.log(20)
            # At each look a limit of its own, as if it were the only one.
            if trials % 20 == 0 and not said[1]:
                said[1] = upper_limit(failures, trials) < bound
        by_evidence += said[0]
        by_limit += said[1]
    return by_evidence / runs, by_limit / runs


def test_evidence_may_be_looked_at_always_where_a_limit_may_not() -> None:
    """At the bound itself "below" is wrong: 5 % of all runs may ever say so."""
    by_evidence, by_limit = ever_below(0.1, 0.1, looks=400, runs=150)

    assert by_evidence <= 0.05
    assert by_limit > 0.10


def test_evidence_grows_where_the_share_lies_below() -> None:
    by_evidence, _ = ever_below(0.01, 0.1, looks=200, runs=100)

    assert by_evidence > 0.95


@pytest.mark.parametrize(("failures", "trials"), [(0, 0), (0, 50), (3, 90)])
def test_the_agreements_needed_are_just_enough(failures: int, trials: int) -> None:
    needed = agreements_needed(failures, trials, 0.02, 5.0)

    assert evidence_below(failures, trials + needed, 0.02) >= 5.0
    assert evidence_below(failures, trials + needed - 1, 0.02) < 5.0


def test_nothing_is_needed_where_there_is_enough() -> None:
    assert agreements_needed(0, 10_000, 0.02, 5.0) == 0
