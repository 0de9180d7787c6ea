"""Waits before the next try."""

from __future__ import annotations

import asyncio

from eventstream.kafka.backoff import Backoff, wait_or_stop


def test_waits_double_up_to_the_most_and_begin_again() -> None:
    backoff = Backoff(1.0, 5.0, jitter=lambda: 1.0)

    waits = [backoff.next_seconds() for _ in range(5)]
    backoff.reset()

    assert waits == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert backoff.next_seconds() == 1.0


def test_jitter_takes_at_most_half_of_a_wait() -> None:
    assert Backoff(1.0, 5.0, jitter=lambda: 0.0).next_seconds() == 0.5


def test_a_thousand_tries_are_no_overflow() -> None:
    backoff = Backoff(1.0, 5.0, jitter=lambda: 1.0)

    assert {backoff.next_seconds() for _ in range(5000)} == {1.0, 2.0, 4.0, 5.0}


async def test_a_wait_ends_when_it_is_time_to_stop() -> None:
    stop = asyncio.Event()
    stop.set()

    assert await wait_or_stop(stop, 3600) is True
    assert await wait_or_stop(asyncio.Event(), 0) is False
