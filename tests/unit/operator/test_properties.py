"""What holds in every situation, tried on many."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from eventstream.spec import ApiScaling, StreamSpec
from eventstream_operator.decide import Memory, decide, from_status, to_status
from eventstream_operator.decide.memory import Ineffective, Level, Rate, Sample, Want
from eventstream_operator.decide.tuning import INEFFECTIVE_MOST_SECONDS
from eventstream_operator.observe.observation import (
    Allowance,
    BudgetUse,
    Conflicts,
    CpuUse,
    EventCounts,
    Frozen,
    InboxDepth,
    KafkaBacklog,
    Measured,
    Observation,
    ProviderUse,
    Replicas,
    WorkerTime,
)
from tests.unit.operator.situations import NOW, remembering, seen, spec

settings.register_profile(
    "decisions", deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow]
)
quickly = settings(settings.get_profile("decisions"))

counts = st.one_of(st.integers(0, 300), st.integers(0, 100_000))
pods = st.integers(0, 30)
ages = st.floats(0, 200)
past = st.floats(0, 500).map(lambda ago: round(NOW - ago, 3))
rates = st.builds(Rate, at=past, per_second=st.floats(0.01, 1000))


@st.composite
def specs(draw: st.DrawFn) -> StreamSpec:
    """Auto-scaled streams with and without a source and an API."""
    least = draw(st.integers(0, 20))
    return spec(
        min=least,
        max=draw(st.integers(max(least, 1), 40)),
        kafka=draw(st.booleans()),
        api=draw(st.sampled_from([None, ApiScaling(min=2, max=6)])),
    )


@st.composite
def measured(draw: st.DrawFn, values: st.SearchStrategy[object]) -> object:
    """A signal that is there, mostly fresh."""
    return Measured(draw(values), draw(st.sampled_from([0.0, 1.0, 14.0, 16.0, 100.0])))


def maybe(values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """A signal that may be missing."""
    return st.one_of(st.none(), measured(values))


allowances = st.one_of(
    st.none(), st.builds(Allowance, limit=st.floats(1, 10_000), used=st.floats(0, 10_000))
)


def worlds(
    maybe: Callable[[st.SearchStrategy[object]], st.SearchStrategy[object]],
) -> st.SearchStrategy[Observation]:
    """One pass's views; `maybe` says how sure each signal is."""
    return st.builds(
        Observation,
        stream=st.just("reviews"),
        inbox=maybe(st.builds(InboxDepth, counts, counts, counts, ages)),
        kafka=maybe(st.builds(KafkaBacklog, counts, st.integers(1, 12))),
        counts=maybe(st.builds(EventCounts, counts, counts)),
        worker_time=maybe(
            st.builds(
                WorkerTime, st.floats(0, 1e6), pods, st.one_of(st.none(), st.integers(1, 128))
            )
        ),
        workers=maybe(st.builds(Replicas, pods, pods)),
        consumers=maybe(st.builds(Replicas, pods, pods)),
        api=maybe(st.builds(Replicas, pods, pods)),
        api_cpu=maybe(st.builds(CpuUse, st.one_of(st.none(), st.floats(0, 1000)))),
        provider=maybe(
            st.builds(
                ProviderUse,
                allowances,
                allowances,
                calls=st.integers(0, 99),
                throttled=st.integers(0, 9),
                frozen=st.none()
                | st.builds(
                    Frozen,
                    st.just("openai (gpt-4o)"),
                    st.sampled_from(("rate_limited", "key_refused", "account_spent")),
                    st.floats(0, 9),
                    st.booleans(),
                ),
            )
        ),
        budget=maybe(st.builds(BudgetUse, counts, counts, st.booleans())),
        conflicts=st.sampled_from([Conflicts(), Conflicts(api_owner="reviews")]),
    )


observations = worlds(maybe)
certain_observations = st.builds(
    lambda world, alone: replace(world, provider=None) if alone else world,
    worlds(lambda values: values.map(Measured)),
    st.integers(0, 3).map(bool),
)


def inside(observation: Observation, stream: StreamSpec) -> Observation:
    """The same, with as many workers as the spec allows: what is decided is then not only that."""
    bounds = stream.scaling.workers
    assert observation.workers is not None
    desired = max(bounds.min, min(observation.workers.value.desired, bounds.max))
    return replace(observation, workers=Measured(Replicas(desired, desired)))


@st.composite
def samples(draw: st.DrawFn) -> tuple[Sample, ...]:
    """A window as it is kept: counters that rise, and now and then one that is counted anew."""
    rows = []
    accepted, finished, busy = 0, 0, 0.0
    for ago in range(2 * draw(st.integers(0, 6)), 0, -2):
        accepted += draw(st.integers(0, 2_000))
        finished = 0 if draw(st.integers(0, 9)) == 9 else finished + draw(st.integers(0, 2_000))
        busy += draw(st.floats(0, 40))
        rows.append(
            Sample(
                at=NOW - ago,
                accepted=accepted,
                finished=finished,
                busy_worker_seconds=busy,
                lag=draw(st.one_of(st.none(), st.integers(0, 5_000))),
                ready=draw(st.integers(1, 4)),
                waiting=draw(st.booleans()),
                limited=draw(st.integers(0, 4)) == 4,
            )
        )
    return tuple(rows)


def wants() -> st.SearchStrategy[tuple[Want, ...]]:
    """Windows as they are kept: later, and fewer."""
    return st.lists(st.tuples(past, pods), max_size=5, unique_by=lambda row: row[1]).map(
        lambda rows: tuple(
            Want(at, count)
            for at, count in zip(
                sorted(row[0] for row in rows),
                sorted((row[1] for row in rows), reverse=True),
                strict=True,
            )
        )
    )


memories = st.builds(
    Memory,
    started_at=past,
    samples=samples(),
    worker_wants=wants(),
    consumer_wants=wants(),
    api_wants=wants(),
    capacity=st.one_of(st.none(), rates),
    consumer_capacity=st.one_of(st.none(), rates),
    level=st.one_of(
        st.none(), st.builds(Level, past, st.integers(1, 20), st.floats(0.01, 1000))
    ),
    ineffective=st.one_of(
        st.none(),
        st.builds(
            Ineffective, st.integers(1, 20), past.map(lambda at: at + 300), st.integers(1, 4),
            st.just("nothing gained"),
        ),
    ),
    scaled_out_at=st.one_of(st.none(), past),
    consumers_scaled_at=st.one_of(st.none(), past),
    trigger_answered_at=st.one_of(st.none(), past),
    starting_since=st.one_of(st.none(), past),
    asleep_at=st.one_of(st.none(), past),
)  # fmt: skip


@quickly
@given(specs(), observations, memories)
def test_never_outside_min_and_max(
    stream: StreamSpec, observation: Observation, memory: Memory
) -> None:
    decision = decide(stream, observation, memory, NOW)

    bounds = stream.scaling.workers
    assert decision.workers.target is None or (bounds.min <= decision.workers.target <= bounds.max)
    assert decision.api.target is None or 2 <= decision.api.target <= 6
    assert decision.consumers.target is None or (
        observation.kafka is not None
        and 1 <= decision.consumers.target <= observation.kafka.value.partitions
    )


def _blinded(observation: Observation, signal: str, old: bool) -> Observation:
    value = getattr(observation, signal)
    changed: dict[str, Any] = {signal: Measured(value.value, 999.0) if old and value else None}
    return replace(observation, **changed)


@quickly
@given(
    specs(),
    certain_observations,
    memories,
    st.sampled_from(["inbox", "counts", "worker_time", "workers", "kafka"]),
    st.booleans(),
)
def test_never_down_on_missing_or_stale_data(
    stream: StreamSpec, observation: Observation, memory: Memory, signal: str, old: bool
) -> None:
    if signal == "kafka" and stream.source is None:
        signal = "inbox"
    # The case in which everything else lets workers leave.
    memory = replace(memory, started_at=NOW - 500, worker_wants=())
    observation = inside(observation, stream)
    blind = _blinded(observation, signal, old)

    decision = decide(stream, blind, memory, NOW)

    replicas = observation.workers.value if observation.workers else None
    if replicas is not None and replicas.desired <= stream.scaling.workers.max:
        assert decision.workers.target is None or decision.workers.target >= replicas.desired
    if signal != "worker_time" and decision.consumers.target is not None:
        assert observation.consumers is not None
        assert observation.kafka is not None
        known = min(observation.consumers.value.desired, observation.kafka.value.partitions)
        assert signal == "workers" or decision.consumers.target >= known


@quickly
@given(specs(), certain_observations, memories, counts, counts, counts, counts)
def test_more_backlog_never_asks_for_fewer_workers(
    stream: StreamSpec,
    observation: Observation,
    memory: Memory,
    queued: int,
    more_queued: int,
    lag: int,
    more_lag: int,
) -> None:
    observation = inside(observation, stream)
    memory = replace(memory, started_at=NOW - 500, worker_wants=())

    def wanted(queued: int, lag: int) -> int | None:
        inbox, kafka = observation.inbox, observation.kafka
        world = replace(
            observation,
            inbox=inbox and replace(inbox, value=replace(inbox.value, queued=queued)),
            kafka=kafka and replace(kafka, value=replace(kafka.value, lag=lag)),
        )
        return decide(stream, world, memory, NOW).workers.recommended

    few, many = wanted(queued, lag), wanted(queued + more_queued, lag + more_lag)

    assert (few is None) == (many is None)
    assert few is None or many is None or few <= many


@quickly
@given(st.integers(0, 3_000), st.integers(0, 3_000), st.floats(0, 100), st.integers(1, 20))
def test_nor_on_a_stream_whose_rates_are_known(
    queued: int, more: int, arrivals: float, workers: int
) -> None:
    memory = remembering(arrivals=arrivals)

    few = decide(spec(max=100), seen(queued=queued, workers=workers), memory, NOW)
    many = decide(spec(max=100), seen(queued=queued + more, workers=workers), memory, NOW)

    assert few.workers.recommended is not None
    assert many.workers.recommended is not None
    assert few.workers.recommended <= many.workers.recommended


@quickly
@given(specs(), observations, memories, st.floats(0, 59))
def test_after_a_start_no_worker_leaves_for_one_window(
    stream: StreamSpec, observation: Observation, memory: Memory, watched: float
) -> None:
    bounds = stream.scaling.workers
    # A verdict on additions in vain is remembered across a start; it may be carried out at once.
    memory = replace(memory, started_at=NOW - watched, ineffective=None, level=None)

    target = decide(stream, observation, memory, NOW).workers.target

    if target is not None and observation.workers is not None:
        assert target >= min(observation.workers.value.desired, bounds.max)


@quickly
@given(memories, st.floats(1e9, 2e9))
def test_a_memory_comes_back_from_status_as_it_was(memory: Memory, unix_now: float) -> None:
    status = json.loads(json.dumps(to_status(memory, now=NOW, unix_now=unix_now)))
    assume(status)  # Of a stream that nothing is remembered of, see below.

    # Another process, whose monotonic clock stands elsewhere.
    later = from_status(status, now=500.0, unix_now=unix_now)

    assert later.started_at == 500.0
    assert _flat(later, 500.0) == pytest.approx(_flat(memory, NOW), abs=0.01)


def _flat(memory: Memory, now: float) -> list[float]:
    """Every number and truth of a memory, times as seconds before `now`."""
    rows: list[object] = [
        *memory.samples,
        *memory.worker_wants,
        *memory.consumer_wants,
        *memory.api_wants,
        memory.capacity,
        memory.consumer_capacity,
        memory.level,
        memory.ineffective,
    ]
    numbers: list[float] = []
    for row in rows:
        values = {} if row is None else asdict(row)  # type: ignore[call-overload]
        for name, value in values.items():
            if name in ("at", "until"):
                numbers.append(now - value)
            elif value is None:
                numbers.append(-1.0)  # A lag that was not known.
            elif name != "cause":
                numbers.append(float(value))
    for moment in (
        memory.scaled_out_at,
        memory.consumers_scaled_at,
        memory.trigger_answered_at,
        memory.starting_since,
        memory.asleep_at,
    ):
        numbers.append(-1.0 if moment is None else now - moment)
    return numbers


def test_a_memory_that_cannot_be_read_is_a_fresh_start() -> None:
    assert from_status({"samples": "?"}, now=5.0, unix_now=1e9) == Memory(started_at=5.0)


def test_a_stream_that_nothing_is_remembered_of_is_new() -> None:
    assert from_status(None, now=5.0, unix_now=1e9) == Memory(started_at=5.0, starting_since=5.0)


def test_a_wall_clock_that_went_back_leaves_nothing_in_the_future() -> None:
    memory = Memory(
        started_at=0.0,
        worker_wants=(Want(90.0, 7),),
        scaled_out_at=95.0,
        ineffective=Ineffective(workers=4, until=400.0, times=1, cause="in vain"),
    )
    status = to_status(memory, now=100.0, unix_now=1_000_000.0)

    back_by_hours = from_status(status, now=3.0, unix_now=1_000_000.0 - 7200)

    assert back_by_hours.ineffective is not None
    assert back_by_hours.ineffective.until == 3.0 + INEFFECTIVE_MOST_SECONDS
    assert back_by_hours.worker_wants == (Want(3.0, 7),)
    assert back_by_hours.scaled_out_at == 3.0


@settings(deadline=None, max_examples=12)
@given(
    per_second=st.floats(0.5, 120),
    capacity=st.floats(1, 20),
    workers=st.integers(1, 20),
)
def test_constant_load_settles_and_stays(per_second: float, capacity: float, workers: int) -> None:
    """Fluid workers: what comes in is done, as fast as those that are there can."""
    stream = spec(min=1, max=20)
    memory, queued, finished, accepted, busy = Memory(started_at=0.0), 0.0, 0.0, 0.0, 0.0
    changes: list[tuple[int, int]] = []
    for second in range(0, 1800, 2):
        accepted += 2 * per_second
        done = min(queued + 2 * per_second, 2 * workers * capacity)
        queued += 2 * per_second - done
        finished += done
        busy += done / capacity
        observation = Observation(
            stream="reviews",
            inbox=Measured(InboxDepth(int(queued), round(done / 2))),
            counts=Measured(EventCounts(round(accepted), round(finished))),
            worker_time=Measured(WorkerTime(busy, 0, max(1, round(capacity)))),
            workers=Measured(Replicas(workers, workers)),
        )
        decision = decide(stream, observation, memory, float(second))
        memory = decision.memory
        if decision.workers.target is not None:
            workers = decision.workers.target
            changes.append((second, workers))

    late = [pods for second, pods in changes if second >= 900]
    assert len(late) <= 1, changes
    if per_second < 20 * capacity * 0.9:
        assert workers * capacity >= per_second - 1e-6
