"""A batch of observations leaves the same figures as one by one."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from eventstream.metrics import BatchHistogram


def test_a_batch_counts_like_its_observations_one_by_one() -> None:
    registry = CollectorRegistry()
    seconds = (0.5, 1.0, 2.5)
    one, batch = (
        BatchHistogram(name, "x", ["stream"], buckets=seconds, registry=registry).labels("a")
        for name in ("one", "batch")
    )
    amounts = [0.1, 0.5, 0.7, 1.0, 2.5, 9.0]

    for amount in amounts:
        one.observe(amount)
    batch.observe_all(amounts)
    batch.observe_all([])

    def samples(name: str) -> list[tuple[str, object, float]]:
        return [
            (sample.name.removeprefix(name), sample.labels, sample.value)
            for metric in registry.collect()
            for sample in metric.samples
            if sample.name.startswith(name) and not sample.name.endswith("_created")
        ]

    assert samples("batch") == samples("one")
