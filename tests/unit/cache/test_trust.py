"""What `bounded` accepts, as a table of what was counted."""

import math

import pytest

from eventstream.cache.trust import (
    HARMLESS_ONLY,
    NO_EVIDENCE,
    Counts,
    KindEvidence,
    alarms,
    bands_from,
    evidence_needed,
    lowest_accepted,
    pairs_missing,
    trust,
)

THRESHOLD = 0.85
TOP, MIDDLE, BOTTOM = 97, 92, 86


def kinds(rank: int = 1, epoch: int = 0, **counts: tuple[int, int]) -> KindEvidence:
    """`top=(agreed, disagreed)` and likewise for `middle` and `bottom`."""
    buckets = {"top": TOP, "middle": MIDDLE, "bottom": BOTTOM}
    return KindEvidence(
        rank, epoch, {buckets[name]: Counts(*numbers) for name, numbers in counts.items()}
    )


@pytest.mark.parametrize(
    ("story", "shown", "accepted_from"),
    [
        ("nothing known", kinds(), math.inf),
        ("too few pairs", kinds(top=(100, 0)), math.inf),
        ("enough pairs, all right", kinds(top=(320, 0)), 0.85),
        ("enough pairs, one wrong", kinds(top=(600, 1)), 0.85),
        ("half of them wrong", kinds(top=(300, 300)), math.inf),
        ("many pairs, share just at the bound", kinds(top=(980, 20)), math.inf),
        ("a later kind has to show more", kinds(rank=12, top=(320, 0)), math.inf),
        ("a kind that failed before has to show more", kinds(epoch=6, top=(320, 0)), math.inf),
        ("only the most similar are right", kinds(top=(400, 0), bottom=(5, 5)), 0.9),
        ("only the top", kinds(top=(400, 0), middle=(5, 5), bottom=(0, 9)), 0.95),
        ("a bad band is not carried by a good one", kinds(top=(5000, 0), bottom=(20, 4)), 0.9),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_kind_is_accepted_from_where_it_has_shown_to_be_right(
    story: str, shown: KindEvidence, accepted_from: float
) -> None:
    assert lowest_accepted(shown, 0.02, THRESHOLD) == accepted_from


def test_the_bands_lie_between_the_threshold_and_one() -> None:
    assert bands_from(0.85) == (0.85, 0.9, 0.95)
    assert bands_from(0.7) == (0.7, 0.8, 0.9)


def test_all_chances_to_be_wrong_together_are_five_percent() -> None:
    """However many kinds come and however often each begins anew."""
    ranks, epochs, bands = range(1, 2000), range(500), 3
    spent = sum(
        bands * math.exp(-evidence_needed(KindEvidence(rank, epoch, {})))
        for rank in ranks
        for epoch in epochs
    )

    assert 0.049 < spent <= 0.05


def test_without_evidence_only_harmless_differences_are_accepted() -> None:
    assert NO_EVIDENCE.accepts(HARMLESS_ONLY, 0.85)
    assert not NO_EVIDENCE.accepts("number", 0.99)
    assert NO_EVIDENCE.opened == 0


def test_harmless_differences_are_trusted_until_they_failed() -> None:
    before = trust({HARMLESS_ONLY: kinds(top=(3, 1))}, 0.02, THRESHOLD)
    after = trust({HARMLESS_ONLY: kinds(epoch=1, top=(3, 0))}, 0.02, THRESHOLD)
    again = trust({HARMLESS_ONLY: kinds(epoch=1, top=(900, 0))}, 0.02, THRESHOLD)

    assert before.accepts(HARMLESS_ONLY, 0.9)
    assert not after.accepts(HARMLESS_ONLY, 0.9)
    assert again.accepts(HARMLESS_ONLY, 0.9)


def test_what_is_accepted_can_be_counted_and_told_by_epoch() -> None:
    found = trust({"number": kinds(top=(900, 0)), "name": kinds(2, 3, top=(1, 9))}, 0.02, THRESHOLD)

    assert (found.opened, found.epochs) == (1, {"number": 0, "name": 3})
    assert found.accepts("number", 0.85)
    assert not found.accepts("number", 0.84)
    assert not found.accepts("name", 0.99)


def test_missing_pairs_are_told_where_they_could_help() -> None:
    missing = pairs_missing(kinds(top=(100, 0)), 0.02, THRESHOLD)

    assert missing is not None
    assert lowest_accepted(kinds(top=(100 + missing, 0)), 0.02, THRESHOLD) == THRESHOLD
    assert lowest_accepted(kinds(top=(99 + missing, 0)), 0.02, THRESHOLD) == math.inf
    assert pairs_missing(kinds(top=(50, 50)), 0.02, THRESHOLD) is None


def rings_after(outcomes: list[bool], bound: float) -> list[str]:
    """The alarms that have rung; an outcome is True when the answer given was wrong."""
    rung = []
    for alarm in alarms(bound):
        level = 0.0
        for wrong in outcomes:
            level = max(0.0, level + (alarm.up if wrong else alarm.down))
            if level >= alarm.rings_at:
                rung.append(alarm.name)
                break
    return rung


def test_alarms_ring_for_sudden_and_for_slow_changes() -> None:
    assert rings_after([False] * 500 + [True], 0.02) == ["sudden"]
    assert rings_after([False] * 500 + [True], 0.05) == []
    assert rings_after([False] * 500 + [True, True], 0.05) == ["sudden"]
    one_in_eight = ([False] * 7 + [True]) * 30
    assert rings_after(one_in_eight, 0.05) == ["slow"]
    one_in_hundred = ([False] * 99 + [True]) * 30
    assert rings_after(one_in_hundred, 0.05) == []
