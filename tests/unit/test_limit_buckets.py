"""A bucket as the operator sees it, where Redis' clock has gone back since it was written."""

from __future__ import annotations

import pytest

from eventstream.heartbeat import ModelInUse
from eventstream.limit_buckets import read_bucket

NOW_MS = 1_700_000_000_000
MODEL = ModelInUse(name="openai (gpt-4o)", bucket="openai:abc:gpt-4o")


@pytest.mark.parametrize(("seconds", "seen"), [(300, 300), (301, 0), (-1, -1)])
def test_a_freeze_that_is_longer_than_any_counts_for_nothing(seconds: int, seen: int) -> None:
    stored = {b"frozen_until": b"%d" % (NOW_MS + seconds * 1000)}

    assert read_bucket(stored, MODEL, NOW_MS).frozen_seconds == seen


def test_what_a_provider_said_in_the_future_takes_nothing_away() -> None:
    stored = {b"said:r": b"40 60 0.001 %d" % (NOW_MS + 600_000)}

    use = read_bucket(stored, MODEL, NOW_MS).requests

    assert use is not None
    assert use.used == 20
