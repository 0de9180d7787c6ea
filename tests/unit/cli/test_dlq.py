"""What `eventstream dlq` takes for a position, and does where nobody reads its output."""

from __future__ import annotations

import sys
from io import TextIOWrapper

import pytest

from eventstream.cli import LeftUndone
from eventstream.cli.dlq import parse_position, show_fate
from eventstream.consumer.dead_letters import Fate
from eventstream.errors import ConfigurationError
from eventstream.kafka.dead_letters import DeadLetter
from tests.support.shell import output_that_nobody_reads


@pytest.mark.parametrize("text", ["0:17", "00:017"])
def test_a_position_is_a_partition_and_an_offset(text: str) -> None:
    assert parse_position(text) == "0:17"


@pytest.mark.parametrize("text", ["17", "0:", "0:-1", "0:" + "9" * 5000, "9" * 5000 + ":0", "٠:١٧"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigurationError, match="Write PARTITION:OFFSET, as in 0:17"):
        parse_position(text)


def test_a_replay_that_nobody_reads_says_that_it_is_not_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    letter = DeadLetter(
        partition=0,
        offset=17,
        schema_number=1,
        reason="",
        error="",
        stream="reviews",
        event_id="order-17",
        failed_at=None,
        source=None,
        value=None,
        key=None,
        headers=(),
    )
    with output_that_nobody_reads() as unread, open(unread, "wb", 0, closefd=False) as output:
        monkeypatch.setattr(sys, "stdout", TextIOWrapper(output, write_through=True))

        with pytest.raises(LeftUndone, match="the same command goes on"):
            show_fate(letter, Fate.ANSWERED)
