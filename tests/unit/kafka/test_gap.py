"""How far a stream's events are finished, and what is said of it in a committed offset."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstream.kafka_gap import EntryId, Finished, Gap, Progress, between


def at(milliseconds: int, sequence: int = 0) -> EntryId:
    return EntryId(milliseconds, sequence)


def test_what_was_accepted_before_the_oldest_unfinished_entry_is_finished() -> None:
    finished = Finished()
    finished.begin(0, 0)

    finished.look({0: 10}, newest=at(100), oldest_unfinished=at(50))
    assert finished.offsets == {0: 0}
    finished.look({0: 25}, newest=at(200), oldest_unfinished=at(100))
    assert finished.offsets == {0: 0}  # the newest of the first look is the oldest unfinished one
    finished.look({0: 40}, newest=at(300), oldest_unfinished=at(100, 1))
    assert finished.offsets == {0: 10}
    finished.look({0: 40}, newest=at(300), oldest_unfinished=None)
    assert finished.offsets == {0: 40}


def test_a_partition_that_went_elsewhere_and_came_back_begins_anew() -> None:
    finished = Finished()
    finished.begin(0, 0)
    finished.begin(1, 0)
    finished.look({0: 10, 1: 10}, newest=at(100), oldest_unfinished=at(50))
    finished.keep({1})
    finished.begin(0, 7)

    finished.look({1: 12}, newest=at(200), oldest_unfinished=at(150))

    assert finished.offsets == {0: 7, 1: 10}


def test_looks_from_before_a_replay_do_not_count() -> None:
    finished = Finished()
    finished.begin(0, 3)
    finished.look({0: 10}, newest=at(100), oldest_unfinished=at(50))
    finished.forget_looks()

    finished.look({0: 10}, newest=at(300), oldest_unfinished=at(200))

    assert finished.offsets == {0: 3}


@given(st.text(max_size=50))
def test_what_others_commit_with_an_offset_is_read_or_left_alone(metadata: str) -> None:
    progress = Progress.unpack(metadata)
    assert progress is None or progress.finished >= 0


def test_progress_survives_being_committed() -> None:
    progress = Progress("f00d", 17)
    assert Progress.unpack(progress.pack()) == progress
    assert Progress.unpack(None) is None


def test_a_gap_names_the_command_that_reads_it_again() -> None:
    [gap] = between("reviews", "raw", {0: (3, 9), 1: (5, 5)}, {0: 1_764_000_000.123, 1: 0.0})

    assert isinstance(gap, Gap)
    assert (gap.partition, gap.first, gap.end) == (0, 3, 9)
    assert gap.way_out == (
        "eventstream replay --topic raw --since 2025-11-24T16:00:00.123+00:00 --stream reviews"
    )


@pytest.mark.parametrize(("text", "read"), [(b"0-0", (0, 0)), (b"1732-12", (1732, 12))])
def test_entry_ids_are_ordered_as_redis_orders_them(text: bytes, read: tuple[int, int]) -> None:
    assert EntryId.read(text) == read
