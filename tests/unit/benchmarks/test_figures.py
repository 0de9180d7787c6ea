"""What becomes of measurements: ratios by pair, reaches, the page, and a profile's summary."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from benchmarks.__main__ import publish
from benchmarks.figures import (
    Figure,
    Pairs,
    Reach,
    Section,
    Spread,
    Table,
    at_least,
    at_most,
    in_turns,
    number,
    section_from,
)
from benchmarks.profiles import read_raw, summary


def a_section(name: str = "ingest", ratio: float = 20.0) -> Section:
    return Section(
        name=name,
        title="A title",
        figures=(
            Figure(
                "ours ÷ theirs", Spread(ratio, 18, 22), 3, reach=at_least(25), ours="20 a second"
            ),
            Figure("a size", Spread(70, 69, 71), 5, unit="MB"),
        ),
        conditions="somewhere",
        where_the_time_goes="in Python",
        tables=(Table("Sizes", ("entry", "bytes"), (("small", "100"),)),),
    )


def test_the_ratio_is_taken_pair_by_pair() -> None:
    # The machine became twice as slow half-way: no pair noticed.
    assert Pairs([20, 10], [2, 1]).ratio == Spread(10, 10, 10)
    assert Pairs([3, 5], [2, 3]).difference == Spread(1.5, 1, 2)


async def test_sides_take_turns_and_so_does_who_begins() -> None:
    order: list[str] = []

    def one(name: str) -> Callable[[], Awaitable[float]]:
        async def run() -> float:
            order.append(name)
            return 1.0

        return run

    assert len(await in_turns(3, one("ours"), one("theirs"))) == 3
    assert order == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]


@pytest.mark.parametrize(
    ("reach", "value", "holds"),
    [(at_least(25), 25, True), (at_least(25), 24.9, False), (at_most(1), 1.1, False)],
)
def test_a_reach_has_a_side(reach: Reach, value: float, holds: bool) -> None:
    assert reach.holds(value) is holds


@pytest.mark.parametrize(
    ("value", "words"), [(12345.6, "12,346"), (123.4, "123"), (12.34, "12.3"), (0.0123, "0.012")]
)
def test_numbers_for_people(value: float, words: str) -> None:
    assert number(value) == words


def test_a_section_survives_json() -> None:
    section = a_section()
    assert section_from(json.loads(json.dumps(section.to_dict()))) == section


def test_a_run_of_one_benchmark_keeps_the_others_and_shows_what_is_out_of_reach(
    tmp_path: Path,
) -> None:
    publish({"ingest": a_section().to_dict()}, "a quiet machine", tmp_path)
    publish({"api": a_section("api", 30.0).to_dict()}, "a busy one", tmp_path)

    page = (tmp_path / "results.md").read_text()
    assert page.index("## ingest") < page.index("## api")
    assert "20.0 (18.0 to 22.0), 3 | at least 25.0 out of reach" in page
    assert "30.0 (18.0 to 22.0), 3 | at least 25.0 in reach" in page
    assert "a quiet machine" in page
    assert "a busy one" in page
    stored = json.loads((tmp_path / "results.json").read_text())
    assert [each["in_reach"] for each in stored["sections"]["api"]["figures"]] == [True, None]


def test_a_profile_is_summed_up_by_place() -> None:
    raw = (
        "main (a.py:1);look_up (/x/services/eventstream/pipeline.py:9);"
        "pack (/y/site-packages/redis/connection.py:3) 30\n"
        "main (a.py:1);look_up (/x/services/eventstream/pipeline.py:12) 10\n"
        "not a line\n"
    )
    assert summary("worker", read_raw(raw)).splitlines() == [
        "worker (40 samples while busy)",
        " 75.0%  look_up (eventstream/pipeline.py) > redis",
        " 25.0%  look_up (eventstream/pipeline.py)",
    ]
