"""What retention deleted unread is told from what markers and compaction left out."""

from __future__ import annotations

import pytest

from eventstream.consumer.jumps import ASK_AGAIN_SECONDS, MOST_JUMPS, Jump, Jumps


@pytest.mark.parametrize(
    ("begins", "read", "low", "gone"),
    [
        (0, (0, 1, 2), 0, []),
        (0, (0, 1, 50), 50, [Jump(2, 50)]),
        (0, (0, 1, 50), 0, []),
        (0, (0, 1, 50), 2, []),
        (0, (0, 1, 50), 40, [Jump(2, 40)]),
        (0, (0, 1, 50), 70, [Jump(2, 50)]),
        (0, (0, 1, 50, 51, 90), 90, [Jump(2, 50), Jump(52, 90)]),
        (0, (0, 1, 50, 51, 53), 50, [Jump(2, 50)]),
        (10, (12, 13), 12, [Jump(10, 12)]),
        (None, (12, 13), 12, []),
    ],
    ids=[
        "one after the other",
        "deleted",
        "a marker, or compaction",
        "a marker where the partition begins",
        "deleted, then a marker",
        "deleted, and what was read since too",
        "deleted twice",
        "deleted, and a marker later",
        "deleted before the first record",
        "nobody knows where it began",
    ],
)
def test_what_lies_before_the_partitions_beginning_and_was_not_read_is_gone(
    begins: int | None, read: tuple[int, ...], low: int, gone: list[Jump]
) -> None:
    jumps = Jumps()
    if begins is not None:
        jumps.begin(3, begins)

    for offset in read:
        jumps.read(3, offset)

    assert jumps.settle(3, low) == gone
    assert not jumps.open(3)


def test_a_partition_is_asked_about_once_in_a_while_however_often_it_jumps() -> None:
    jumps = Jumps()
    asked = 0

    for tick in range(1000):
        jumps.read(0, 2 * tick)
        now = tick * ASK_AGAIN_SECONDS / 100
        if jumps.due(now) is not None:
            jumps.settle(0, low=0)
            asked += 1

    assert asked == 10


def test_a_partition_whose_answer_is_missing_keeps_its_jumps_and_lets_others_go_first() -> None:
    jumps = Jumps()
    for partition in (0, 1):
        jumps.read(partition, 0)
        jumps.read(partition, 5)

    assert [jumps.due(0.0), jumps.due(0.0), jumps.due(0.0)] == [0, 1, None]
    assert jumps.due(ASK_AGAIN_SECONDS) == 0
    assert jumps.settle(0, low=5) == [Jump(1, 5)]


def test_of_too_many_jumps_the_widest_are_kept() -> None:
    jumps = Jumps()
    offset = 0
    for width in (1, 100, *[1] * 50):
        offset += 1 + width
        jumps.read(0, offset)

    gone = jumps.settle(0, low=offset)

    assert len(gone) == MOST_JUMPS
    assert max(each.end - each.first for each in gone) == 100


def test_a_partition_that_comes_back_begins_anew() -> None:
    jumps = Jumps()
    jumps.read(0, 0)
    jumps.read(0, 5)

    jumps.forget(0)
    jumps.read(0, 90)

    assert not jumps.open(0)
