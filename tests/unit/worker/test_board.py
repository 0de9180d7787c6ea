"""The board is shared across a fork, and each field has one writer."""

from __future__ import annotations

import math
import os

from eventstream.worker.board import Board


def test_what_a_child_writes_its_parent_reads_and_the_other_way_round() -> None:
    board = Board(2)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        board.write(1, held=3, finished=40, busy_seconds=1.5, busy_since=9.0)
        os.write(writing, b"x")
        while not board.stopping:
            pass
        os._exit(7)
    os.read(reading, 1)

    [row] = board.rows()
    assert (row.slot, row.pid, row.held, row.finished) == (1, child, 3, 40)
    assert (row.busy_seconds, row.busy_since) == (1.5, 9.0)
    board.stop()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7
    # A successor in the slot counts on from there.
    assert board.finished_before(1) == (40, 1.5)
    os.close(reading)
    os.close(writing)


def test_a_slot_beyond_the_board_is_left_alone() -> None:
    board = Board(1)

    board.write(5, held=1, finished=1, busy_seconds=0, busy_since=0)

    assert board.rows() == []
    assert board.row(5).pid == 0


def test_when_events_may_be_taken_over_is_told_beside_the_rest() -> None:
    board = Board(1)
    assert board.takes_over_from == 0

    board.take_over_from(math.inf)
    board.write(0, held=1, finished=1, busy_seconds=0, busy_since=0)

    assert (board.takes_over_from, board.stopping, board.row(0).held) == (math.inf, False, 1)
