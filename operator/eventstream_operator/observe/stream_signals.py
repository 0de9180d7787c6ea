"""What is counted up from reading to reading, or kept in a window, for each stream.

Redis holds counters that only grow; what a decision needs is what they did since the last reading.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from eventstream.heartbeat import WorkerHeartbeat
from eventstream.limit_buckets import read_bucket
from eventstream.logs import get_logger
from eventstream.spec import StreamSpec
from eventstream_operator.observe.cache import CacheReading, HitRate
from eventstream_operator.observe.heartbeats import BusyTime
from eventstream_operator.observe.observation import (
    BudgetUse,
    CacheWindow,
    ProviderUse,
    WorkerTime,
)
from eventstream_operator.observe.provider import ModelsInUse, ProviderView
from eventstream_operator.observe.state import State, StreamState
from eventstream_operator.observe.usage import budget_failures, budget_use

log = get_logger(__name__)


class StreamSignals:
    """`update` with every reading; the dictionaries then hold what is known of each stream."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._busy: defaultdict[str, BusyTime] = defaultdict(BusyTime)
        self._views: defaultdict[str, ProviderView] = defaultdict(ProviderView)
        self._hit_rates: defaultdict[str, HitRate] = defaultdict(HitRate)
        self._failures: dict[str, int] = {}
        self._failing: set[str] = set()
        self.models = ModelsInUse()
        self.worker_time: dict[str, WorkerTime] = {}
        self.provider: dict[str, ProviderUse] = {}
        self.budget: dict[str, BudgetUse | None] = {}
        self.cache: dict[str, CacheWindow] = {}

    def update(
        self,
        specs: Mapping[str, StreamSpec],
        state: State,
        heartbeats: Mapping[str, list[WorkerHeartbeat]],
        readings: Mapping[str, CacheReading],
    ) -> None:
        """Take in one reading."""
        for stream, spec in specs.items():
            one = state.streams.get(stream)
            if one is None:
                self._drop(stream)  # What can't be read is better missing than taken for fresh.
                continue
            try:
                self._take_in(stream, spec, one, state, heartbeats.get(stream, []), readings)
            except Exception as error:  # a heartbeat or bucket that nobody thought of
                if stream not in self._failing:
                    log.error("stream_not_observed", stream=stream, exc_info=error)
                self._failing.add(stream)
                self._drop(stream)
            else:
                self._failing.discard(stream)
        # For the next reading: this one holds only the buckets that were known before it.
        self.models.hear(heartbeats)

    def _take_in(
        self,
        stream: str,
        spec: StreamSpec,
        one: StreamState,
        state: State,
        heartbeats: list[WorkerHeartbeat],
        readings: Mapping[str, CacheReading],
    ) -> None:
        now, milliseconds = self._clock(), state.unix_now * 1000
        self.worker_time[stream] = self._busy[stream].add(heartbeats)
        failures = budget_failures(one.counters)
        budget = budget_use(
            spec.limits,
            one.usage,
            one.inbox,
            one.counters,
            self._failures.get(stream, failures),
        )
        self._failures[stream] = failures
        self.budget[stream] = budget
        models = self.models.of(stream)
        self.provider[stream] = self._views[stream].look(
            now,
            spec.limits,
            one.usage,
            one.inbox,
            None
            if models is None
            else [
                (model, read_bucket(state.buckets[model.bucket], model, milliseconds), own)
                for model, own in models
            ],
            budget_spent=budget is not None and budget.exhausted,
        )
        reading = readings.get(stream)
        self.cache[stream] = self._hit_rates[stream].add(
            now, one.counters, reading.near_misses if reading else {}
        )

    def _drop(self, stream: str) -> None:
        """What was known before is not what is: better missing than taken for fresh."""
        kept: MutableMapping[str, Any]
        for kept in (self.worker_time, self.provider, self.budget, self.cache):
            kept.pop(stream, None)

    def forget(self, stream: str) -> None:
        """The stream is gone."""
        self._drop(stream)
        kept: MutableMapping[str, Any]
        for kept in (self._busy, self._views, self._hit_rates, self._failures):
            kept.pop(stream, None)
        self._failing.discard(stream)
        self.models.forget(stream)
