"""The soak, for a minute: what `scripts/soak` does for hours."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.faults.growth import COLUMNS, MOST_CONNECTIONS, Growth, Sample, rise, settled
from tests.faults.installation import Installation
from tests.faults.soak import Soak, table

pytestmark = pytest.mark.timeout(900)


def samples(*megabytes: float, files: int = 20, **connections: int) -> list[Sample]:
    return [
        Sample(float(at), value, files, Counter(connections)) for at, value in enumerate(megabytes)
    ]


def test_the_line_rises_with_what_it_is_laid_through() -> None:
    assert rise(samples(*(100 + 2 * at for at in range(40))), lambda each: each.memory_mb) == 78
    assert abs(rise(samples(*([100, 101] * 20)), lambda each: each.memory_mb)) < 0.2


def test_the_warm_up_is_left_out_and_newcomers_are_not_judged() -> None:
    assert len(settled(samples(*[1.0] * 41))) == 26
    assert len(settled(samples(*[1.0] * 101))) == 76
    assert settled(samples(*[1.0] * 30)) == []


def test_what_grows_is_a_violation() -> None:
    growth = Growth()
    for name, pid, taken in [
        ("fat", 1, samples(*(100.0 + at for at in range(60)))),
        ("flat", 2, samples(*[100.0] * 60, cache=MOST_CONNECTIONS)),
        # What breaks holds files for a moment, and that is no leak.
        (
            "busy",
            5,
            [Sample(float(at), 100.0, 60 if at % 30 > 10 else 20, Counter()) for at in range(60)],
        ),
        ("leaky", 3, [Sample(float(at), 100.0, 20 + at, Counter()) for at in range(60)]),
        ("greedy", 4, samples(*[100.0] * 60, cache=MOST_CONNECTIONS + 1)),
    ]:
        for sample in taken:
            growth.add(name, pid, sample)

    rows, problems = growth.judge()

    assert len(rows) == 5
    assert problems == [
        "fat (1) grew by 44.0 MB",
        "greedy (4) held 65 connections to cache, more than its pool has",
        "leaky (3) never closed 22 files",
    ]


def test_a_minute_of_load_and_faults(site: Installation) -> None:
    run = Soak(site, seed=11, say=print)

    run.run(60)

    assert run.sent > 500
    assert sum(run.faults.values()) >= 3
    rows, problems = run.growth.judge()
    print(table(rows, COLUMNS))
    assert problems == []
    assert len(rows) >= 2
