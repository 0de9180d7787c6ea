"""The soak, for a minute: what `scripts/soak` does for hours."""

from __future__ import annotations

import pytest

from tests.faults.installation import Installation
from tests.faults.soak import Measured, Sample, Soak, judge, rise, settled

pytestmark = pytest.mark.timeout(900)


def samples(*megabytes: float) -> list[Sample]:
    return [Sample(float(at), value, 20) for at, value in enumerate(megabytes)]


def test_the_line_rises_with_what_it_is_laid_through() -> None:
    assert rise(samples(*(100 + 2 * at for at in range(40))), lambda each: each.memory_mb) == 78
    assert abs(rise(samples(*([100, 101] * 20)), lambda each: each.memory_mb)) < 0.2


def test_the_warm_up_is_left_out_and_newcomers_are_not_judged() -> None:
    assert len(settled(samples(*[1.0] * 40), seconds=40)) == 30
    assert settled(samples(*[1.0] * 15), seconds=40) == []


def test_what_grows_is_a_violation() -> None:
    measured = Measured()
    measured.samples["leaky", 1] = samples(*(100.0 + at for at in range(60)))
    measured.samples["flat", 2] = samples(*[100.0] * 60)

    assert len(judge(measured, seconds=60)) == 2
    assert measured.problems == ["leaky (1) grew by 44.0 MB"]


def test_a_minute_of_load_and_faults(site: Installation) -> None:
    said: list[str] = []
    run = Soak(site, seed=11, say=said.append)

    run.run(60)

    assert run.sent > 500
    assert sum(run.measured.faults.values()) >= 3
    judge(run.measured, 60)
    assert run.measured.problems == []
