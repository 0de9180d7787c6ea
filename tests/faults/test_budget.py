"""A stream whose budget is spent in the middle of its events."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import yaml

from eventstream.keys import Keys
from tests.e2e.services import until
from tests.faults.bench import Bench, good_events
from tests.faults.provider import Provider

pytestmark = pytest.mark.timeout(900)


def apply(bench: Bench, file: Path, *streams: tuple[str, dict[str, object]]) -> None:
    """`eventstream streams apply -f FILE`."""
    file.write_text(
        yaml.safe_dump_all(
            {
                "apiVersion": "ai-eventstream.io/v1alpha1",
                "kind": "EventStream",
                "metadata": {"name": name},
                "spec": spec,
            }
            for name, spec in streams
        )
    )
    applied = bench.deployment.run("streams", "apply", "-f", str(file))
    assert applied.wait() == 0, applied.tail()


def test_a_spent_budget_holds_and_a_raised_one_lets_go(
    bench: Bench, provider: Provider, tmp_path: Path
) -> None:
    file = tmp_path / "thrifty.yaml"

    def with_budget(usd: float) -> None:
        limits = {"budget": {"usd": usd, "per": "day", "onExhausted": "Hold"}}
        # Without the cache nothing is embedded, so that every call costs the same.
        spec: dict[str, object] = {
            "model": {"maxTokens": 20},
            "cache": {"enabled": False},
            "limits": limits,
        }
        apply(bench, file, ("thrifty", spec))

    def spent() -> int:
        [usage] = [bench.state.hgetall(key) for key in bench.state.scan_iter("usage:thrifty:*")]
        return int(cast(dict[bytes, bytes], usage)[b"cost_microdollars"])

    with_budget(0.002)
    worker = bench.start_worker(WORKER_LEASE_SECONDS="30")
    events = good_events(1000, "t", stream="thrifty", max_tokens=20)
    bench.accept(events)
    deferred = Keys().deferred("thrifty")

    def all_held() -> bool:
        left = 1000 - bench.counters("thrifty").answered
        return 0 < left == bench.state.zcard(deferred)

    until(all_held, 120, lambda: f"{bench.counters('thrifty')} {bench.state.zcard(deferred)}")
    assert 0 < spent() <= 2000
    assert spent() <= 5 * provider.answered.total()

    with_budget(1)
    # Held events look again after two minutes; these are over now.
    for name, _ in cast(list[tuple[bytes, float]], bench.state.zscan_iter(deferred)):
        bench.state.zadd(deferred, {name: 0}, xx=True)

    bench.until_finished(1000, "thrifty")
    assert bench.results_of(events) == 1000
    assert set(provider.answered.values()) == {1}
    assert spent() == 5 * 1000
    assert worker.stop() == 0
