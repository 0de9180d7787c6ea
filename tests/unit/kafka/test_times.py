"""Times on the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from eventstream.cli.replay import parse_time
from eventstream.errors import ConfigurationError

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("15m", NOW - timedelta(minutes=15)),
        ("2 h", NOW - timedelta(hours=2)),
        ("1d", NOW - timedelta(days=1)),
        ("2026-11-23T10:00:00Z", NOW - timedelta(hours=2)),
        ("2026-11-23T10:00:00+02:00", NOW - timedelta(hours=4)),
        ("2027-01-01", datetime(2027, 1, 1, tzinfo=UTC)),  # a record's, whose producer is ahead
        ("2026-11-23", datetime(2026, 11, 23, tzinfo=UTC)),
    ],
)
def test_a_time_is_a_moment_or_how_long_ago(text: str, expected: datetime) -> None:
    assert parse_time(text, NOW) == expected


@pytest.mark.parametrize(
    "text",
    ["yesterday", "15", "15 parsecs", "", "9999999999d", "-5m", "9" * 5000 + "s", "١٥m"],
)
def test_anything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ConfigurationError, match="15m"):
        parse_time(text, NOW)
