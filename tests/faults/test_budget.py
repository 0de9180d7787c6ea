"""A stream whose budget is spent in the middle of its events."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from eventstream.keys import Keys
from tests.e2e.services import until
from tests.faults.bench import Bench, good_events
from tests.faults.installation import Lines
from tests.faults.provider import Provider

pytestmark = pytest.mark.timeout(900)


def test_a_spent_budget_holds_and_a_raised_one_lets_go(
    bench: Bench, provider: Provider, tmp_path: Path
) -> None:
    def with_budget(usd: float) -> None:
        limits = {"budget": {"usd": usd, "per": "day", "onExhausted": "Hold"}}
        # Without the cache nothing is embedded, so that every call costs the same.
        spec = {"model": {"maxTokens": 20}, "cache": {"enabled": False}, "limits": limits}
        bench.apply(tmp_path / "thrifty.yaml", {"thrifty": spec})

    def spent() -> int:
        days = bench.state.scan_iter("usage:thrifty:*", _type="hash")
        return sum(int(bench.state.hget(day, "cost_microdollars") or 0) for day in days)

    with_budget(0.002)
    worker = bench.start_worker(WORKER_LEASE_SECONDS="30")
    lines = Lines(worker)
    events = good_events(1000, "t", stream="thrifty", max_tokens=20)
    bench.accept(events)
    deferred = Keys().deferred("thrifty")

    def all_held() -> bool:
        left = 1000 - bench.counters("thrifty").answered
        return 0 < left == bench.state.zcard(deferred)

    until(all_held, 300, lambda: f"{bench.counters('thrifty')} {bench.state.zcard(deferred)}")
    held_for = {line["why"] for line in lines if line["event"] == "event_deferred"}
    assert "budget" in held_for
    assert 0 < spent() <= 2000
    assert spent() <= 5 * provider.answered.total()

    with_budget(1)

    def finished() -> bool:
        # Held events look again after two minutes: these are over now. And again, because a worker
        # goes by the budget that it read last for two seconds more, and holds them once more.
        for name, _ in cast(list[tuple[bytes, float]], bench.state.zscan_iter(deferred)):
            bench.state.zadd(deferred, {name: 0}, xx=True)
        return bench.counters("thrifty").open == 0

    until(finished, 300, lambda: f"{bench.counters('thrifty')}\n{worker.tail()}")
    bench.until_finished(1000, "thrifty")
    assert bench.results_of(events) == 1000
    assert set(provider.answered.values()) == {1}
    assert spent() == 5 * 1000
    assert worker.stop() == 0
