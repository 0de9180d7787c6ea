"""What `eventstream dlq` takes for the position of a dead letter."""

from __future__ import annotations

import pytest

from eventstream.cli.dlq import parse_position
from eventstream.errors import ConfigurationError


@pytest.mark.parametrize("text", ["0:17", "00:017"])
def test_a_position_is_a_partition_and_an_offset(text: str) -> None:
    assert parse_position(text) == "0:17"


@pytest.mark.parametrize("text", ["17", "0:", "0:-1", "0:" + "9" * 5000, "9" * 5000 + ":0", "٠:١٧"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigurationError, match="Write PARTITION:OFFSET, as in 0:17"):
        parse_position(text)
