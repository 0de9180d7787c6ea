"""What `eventstream top` makes of the numbers, as tables of situations."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from eventstream.cli.common import dollars
from eventstream.cli.top import looks, render
from eventstream.cli.top_rows import Snapshot, StreamRow, WorkerRow, with_rates
from eventstream.errors import StoreUnavailable

ROW = StreamRow(
    stream="reviews",
    queued=1234,
    in_flight=32,
    deferred=5,
    oldest_seconds=7300.0,
    kafka_lag=None,
    accepted=9000,
    answered=4000,
    failed=3,
    duplicates=12,
    hit_rate=0.614,
    p50_ms=64,
    p95_ms=2048,
    tokens=1_000_000,
    cost_microdollars=1_234_500,
    saved_microdollars=250_000_000,
    spent_today_microdollars=2_500_000,
)
NOW = 1_000_000.0


def at(seconds: float, *rows: StreamRow) -> Snapshot:
    return Snapshot(at=NOW + seconds, streams=rows, workers=())


@pytest.mark.parametrize(
    ("story", "before", "after", "expected"),
    [
        ("four answers in two seconds", at(0, ROW), at(2, replace(ROW, answered=4004)), 2.0),
        ("nothing happened", at(0, ROW), at(2, ROW), 0.0),
        ("a stream that is new has no rate yet", at(0), at(2, ROW), None),
        ("counters that were lost begin again", at(0, ROW), at(2, replace(ROW, answered=7)), 0.0),
        ("a clock that was put back gives no rate", at(0, ROW), at(-5, ROW), None),
    ],
)
def test_answers_a_second(
    story: str, before: Snapshot, after: Snapshot, expected: float | None
) -> None:
    assert with_rates(after, before).streams[0].answered_per_second == expected, story


@pytest.mark.parametrize(
    ("microdollars", "text"),
    [(0, "$0.0000"), (1_234_500, "$1.2345"), (250_000_000, "$250"), (1_250_000_000, "$1,250")],
)
def test_dollars(microdollars: int, text: str) -> None:
    assert dollars(microdollars) == text


def screen(snapshot: Snapshot, trouble: str = "") -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(render(snapshot, trouble))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_stream_fits_a_screen_of_80_columns() -> None:
    now, totals = (line for line in screen(at(0, ROW)).splitlines() if "reviews" in line)

    assert now.split() == [
        *("reviews", "1,234", "32", "5", "2.0", "h", "-", "-", "64", "ms", "2.0", "s", "$2.5000")
    ]
    assert totals.split() == [
        *("reviews", "9,000", "4,000", "3", "12", "61%", "1,000,000", "$1.2345", "$250")
    ]


def test_the_screen_shows_workers_and_says_when_one_stops() -> None:
    worker = WorkerRow("w-1", 4, 32, 500, ("ai_processing", "reviews"), 3.2, stopping=True)
    shown = screen(replace(at(0, ROW), workers=(worker,)))

    (line,) = [line for line in shown.splitlines() if "w-1" in line]
    assert line.split() == [
        *("w-1", "4", "32", "500", "3", "s", "ago", "stopping", "ai_processing,", "reviews")
    ]


def test_a_worker_of_many_queues_keeps_its_numbers_on_a_narrow_screen() -> None:
    queues = tuple(f"a-long-name-of-a-stream-{number}" for number in range(9))
    worker = WorkerRow("eventstream-12345@host", 4, 32, 500, queues, 3.2, stopping=False)
    shown = screen(replace(at(0, ROW), workers=(worker,)))

    assert "eventstream-12345@host" in shown
    assert "running" in shown
    assert "…" not in shown


def test_the_screen_says_what_is_wrong_and_keeps_the_last_numbers() -> None:
    shown = screen(at(0, ROW), "Redis can't be reached while reading streams; trying again")

    assert "reviews" in shown
    assert "trying again" in shown


async def test_an_outage_is_said_once_and_the_looks_go_on_after_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    away = StoreUnavailable("reading streams")
    answers: list[Snapshot | StoreUnavailable] = [at(0, ROW), away, away, at(3, ROW)]
    answers += [away, at(5, ROW)]

    async def look() -> Snapshot:
        answer = answers.pop(0)
        if isinstance(answer, StoreUnavailable):
            raise answer
        return answer

    seen = []
    async for snapshot in looks(look, no_time):
        seen.append(snapshot.at - NOW)
        if not answers:
            break

    assert seen == [0, 3, 5]
    assert capsys.readouterr().err == f"eventstream: {away}; trying again\n" * 2


async def test_without_a_first_look_there_is_none() -> None:
    async def look() -> Snapshot:
        raise StoreUnavailable("reading streams")

    with pytest.raises(StoreUnavailable):
        await anext(looks(look, no_time))


async def no_time() -> None:
    """The next look is due at once."""
