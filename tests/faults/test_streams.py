"""Many streams at once, served by one worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.services import until
from tests.faults.bench import Bench, good_events

pytestmark = pytest.mark.timeout(900)

STREAMS = 200
EVENTS_A_STREAM = 10


def test_two_hundred_streams_are_all_served(bench: Bench, tmp_path: Path) -> None:
    names = [f"stream-{number}" for number in range(STREAMS)]
    bench.apply(tmp_path / "streams.yaml", {name: {} for name in names})
    worker = bench.start_worker(WORKER_LEASE_SECONDS="30")

    for name in names:
        bench.accept(good_events(EVENTS_A_STREAM, name, stream=name))

    def unfinished() -> list[str]:
        return [name for name in names if bench.counters(name).answered < EVENTS_A_STREAM]

    until(lambda: not unfinished(), 600, lambda: f"{unfinished()}\n{worker.tail()}")
    for name in names:
        bench.until_finished(EVENTS_A_STREAM, name)
        assert bench.counters(name).answered == EVENTS_A_STREAM
    assert worker.stop() == 0
