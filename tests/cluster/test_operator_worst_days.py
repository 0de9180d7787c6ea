"""Days on which something is away, jumps or is killed: the operator holds, and recovers calmly.

Pass by pass (`steps`), on a real control plane and a real Redis; minutes go by on a clock that the
test moves.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from eventstream.inbox import Inbox
from eventstream.kafka_lag import PartitionLag, publish
from eventstream.keys import Keys
from eventstream.redis_client import AsyncRedis
from tests.cluster.harness.errors import CommandFailed
from tests.cluster.operator_runner import (
    Namespace,
    Operator,
    stream,
    wait_for,
    wait_in_line,
    workers,
)
from tests.cluster.steps import Clocks, Steps, requests, stepped
from tests.support.redis_server import free_port

pytestmark = pytest.mark.timeout(300)

WORKERS = "ai-worker-reviews"

Start = Callable[[], AbstractAsyncContextManager[Steps]]


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def start(namespace: Namespace, cache_url: str, prefix: str, clocks: Clocks) -> Start:
    """Starts an operator, also once more after the last one was killed."""
    return lambda: stepped(namespace, cache_url, prefix, clocks)


async def scaled_to_four(namespace: Namespace, inbox: Inbox, steps: Steps) -> None:
    """The stream `reviews` has all of its four workers, and their pods are ready."""
    await wait_in_line(inbox, "reviews", 900)
    await steps.run(60)
    assert namespace.replicas(WORKERS) == 4
    await pods_ready(namespace, 4)


async def pods_ready(namespace: Namespace, count: int, deployment: str = WORKERS) -> None:
    def ready() -> bool:
        status = namespace.get("deployment", deployment).get("status", {})
        return bool(status.get("readyReplicas") == count)

    wait_for(f"{count} ready pods", ready)


async def test_the_first_event_in_an_inbox_is_answered_within_two_passes(
    namespace: Namespace, inbox: Inbox, start: Start
) -> None:
    namespace.apply(stream("reviews", **workers(min=1, max=8)))
    async with start() as steps:
        await steps.step()
        await pods_ready(namespace, 1)
        # The Deployment is quiet, and the operator has seen it so.
        await steps.run(30)
        assert namespace.replicas(WORKERS) == 1
        await wait_in_line(inbox, "reviews", 500)
        passes = 0
        while namespace.replicas(WORKERS) == 1:
            await steps.step(2)
            passes += 1
            assert passes <= 2
    assert "backlog 500" in namespace.status("reviews")["decision"]


async def test_to_zero_and_back_with_the_first_event(
    namespace: Namespace, inbox: Inbox, redis_client: AsyncRedis, keys: Keys, start: Start
) -> None:
    namespace.apply(stream("reviews", **workers(min=0, max=4)))
    async with start() as steps:
        await steps.step()
        await pods_ready(namespace, 1)
        await steps.run(140)
        assert namespace.replicas(WORKERS) == 0
        status = namespace.status("reviews")
        assert (status["phase"], status["workers"]["summary"]) == ("Idle", "0/0")
        assert namespace.condition("reviews", "Ready")["reason"] == "ScaledToZero"

        await wait_in_line(inbox, "reviews", 1)
        await steps.step(2)
        assert namespace.replicas(WORKERS) == 1
        await pods_ready(namespace, 1)
        await steps.step()
        assert namespace.status("reviews")["phase"] == "Running"

        # As long as the event is unfinished somebody stays; then it is quiet for a window again.
        await steps.run(140)
        assert namespace.replicas(WORKERS) == 1
        await redis_client.delete(keys.inbox("reviews"))
        await steps.run(140)
        assert namespace.replicas(WORKERS) == 0
    warnings = [one for one in namespace.list("events") if one["type"] == "Warning"]
    about = [one["message"] for one in warnings if one["involvedObject"]["kind"] == "EventStream"]
    assert about == []


async def test_an_api_server_away_for_minutes_costs_a_request_a_pass_and_no_jump(
    namespace: Namespace,
    inbox: Inbox,
    redis_client: AsyncRedis,
    keys: Keys,
    start: Start,
) -> None:
    namespace.apply(stream("reviews", **workers(min=1, max=4)))
    async with start() as steps:
        await scaled_to_four(namespace, inbox, steps)
        namespace.cluster.stop_api_server()
        try:
            await redis_client.delete(keys.inbox("reviews"))
            before, passes = requests(), 0
            for _ in range(90):
                await steps.step(2)
                passes += 1
            assert requests() - before <= passes
            assert requests("unreachable") > 0
        finally:
            namespace.cluster.start_api_server()
        # It is ready before it serves what resource definitions define; passes take no time here.
        wait_for("streams again", lambda: serves_streams(namespace))
        await heard_again(steps)
        # Nobody saw the three minutes: they are no window in which one worker was enough.
        await steps.run(55)
        assert namespace.replicas(WORKERS) == 4
        assert namespace.status("reviews")["reason"] == "JustStarted"
        await steps.run(30)
        assert namespace.replicas(WORKERS) == 1, namespace.status("reviews")


async def heard_again(steps: Steps) -> None:
    """Returns when a pass reached the API server with all that it asked."""
    async with asyncio.timeout(60):
        while True:
            before = requests("unreachable")
            await steps.step(0)
            if requests("unreachable") == before:
                return
            await asyncio.sleep(0.1)


def serves_streams(namespace: Namespace) -> bool:
    try:
        namespace.list("eventstreams")
    except CommandFailed:
        return False
    return True


async def test_kafka_away_keeps_whom_there_is_and_the_inbox_still_brings_workers(
    namespace: Namespace,
    inbox: Inbox,
    redis_client: AsyncRedis,
    keys: Keys,
    cache_url: str,
    prefix: str,
    clocks: Clocks,
) -> None:
    async def consumers_say(lag: int, *, seconds_ago: float = 0) -> None:
        seconds, _ = await redis_client.time()
        figure = PartitionLag(lag=lag, end=lag, position=0, measured_at=seconds - seconds_ago)
        await publish(redis_client, keys, "reviews", "reviews.raw", {0: figure})

    source = {"topic": "reviews.raw", "partitions": 1}
    namespace.apply(stream("reviews", source=source, **workers(min=1, max=4)))
    nobody = f"127.0.0.1:{free_port()}"
    async with stepped(namespace, cache_url, prefix, clocks, kafka=nobody) as steps:
        await consumers_say(0)
        await wait_in_line(inbox, "reviews", 250)
        while namespace.replicas(WORKERS) < 2:
            await consumers_say(0)
            await steps.step(2)
        two = namespace.replicas(WORKERS)
        await redis_client.delete(keys.inbox("reviews"))

        # The broker goes: the consumers have nothing new to say for minutes.
        for _ in range(20):
            await consumers_say(0, seconds_ago=100)
            await steps.step()
        assert namespace.replicas(WORKERS) == two
        degraded = namespace.condition("reviews", "Degraded")
        assert (degraded["status"], degraded["reason"]) == ("True", "SignalsMissing")
        assert "the Kafka lag (" in degraded["message"]
        assert namespace.status("reviews")["reason"] == "SignalMissing"

        await wait_in_line(inbox, "reviews", 900)
        for _ in range(4):
            await consumers_say(0, seconds_ago=100)
            await steps.step(2)
        assert namespace.replicas(WORKERS) == 4
        await redis_client.delete(keys.inbox("reviews"))

        # It is back: a window begins, and only after that they leave.
        for seconds in range(0, 55, 11):
            await consumers_say(0)
            await steps.step()
            assert namespace.replicas(WORKERS) == 4, f"after {seconds} s"
        for _ in range(3):
            await consumers_say(0)
            await steps.step()
        assert namespace.condition("reviews", "Degraded")["status"] == "False"
        assert namespace.replicas(WORKERS) == 1


@pytest.mark.parametrize("jump", [3600.0, -3600.0], ids=["an hour ahead", "an hour back"])
async def test_a_wall_clock_that_jumps_moves_no_worker(
    namespace: Namespace,
    inbox: Inbox,
    redis_client: AsyncRedis,
    keys: Keys,
    clocks: Clocks,
    start: Start,
    jump: float,
) -> None:
    namespace.apply(stream("reviews", **workers(min=1, max=4)))
    async with start() as steps:
        await scaled_to_four(namespace, inbox, steps)
        clocks.jump(jump)
        await steps.run(60)
        assert namespace.replicas(WORKERS) == 4
        await redis_client.delete(keys.inbox("reviews"))
        await steps.step(2)
        clocks.jump(-2 * jump)
        await steps.run(40)
        # An hour by the wall clock is no window.
        assert namespace.replicas(WORKERS) == 4
    # Nor is it one for the next process, which reads times of that clock from the status.
    clocks.now, clocks.offset = 100.0, clocks.offset + clocks.now - 100.0 + 2 * jump
    async with start() as steps:
        await steps.run(55)
        assert namespace.replicas(WORKERS) == 4
        await steps.run(30)
        assert namespace.replicas(WORKERS) == 1


async def test_figures_of_many_streams_are_written_a_few_a_pass(
    namespace: Namespace, start: Start
) -> None:
    names = [f"s{number}" for number in range(30)]
    namespace.apply(*(stream(name, **workers(min=1, max=4)) for name in names))
    async with start() as steps:
        await steps.step()
        for name in names:
            await pods_ready(namespace, 1, f"ai-worker-{name}")
        await steps.run(60)
        # All of them are due, every 30 s; a pass every 2 s has two of them.
        written = []
        for _ in range(20):
            before = requests(verb="patch_status")
            await steps.step(2)
            written.append(requests(verb="patch_status") - before)
        # Where passes are further apart, each stream still has its turn.
        earlier = versions(namespace)
        for _ in range(12):
            await steps.step(3)
        late = versions(namespace)
    assert max(written) <= 2
    assert sum(written) >= 25
    assert [name for name in names if late[name] == earlier[name]] == []


def versions(namespace: Namespace) -> dict[str, str]:
    """Stream -> the version that its last write made."""
    return {
        one["metadata"]["name"]: one["metadata"]["resourceVersion"]
        for one in namespace.list("eventstreams")
    }


async def replicas_of(namespace: Namespace, steps: Steps, count: int) -> AsyncIterator[int]:
    """Replicas after each of so many passes."""
    for _ in range(count):
        await steps.step()
        yield namespace.replicas(WORKERS)


async def test_killed_in_the_middle_of_a_scale_out_the_next_one_goes_on(
    namespace: Namespace, inbox: Inbox, start: Start
) -> None:
    namespace.apply(stream("reviews", **workers(min=1, max=8)))
    await wait_in_line(inbox, "reviews", 5_000)
    async with start() as steps:
        path = [count async for count in replicas_of(namespace, steps, 2)]
    async with start() as steps:
        path += [count async for count in replicas_of(namespace, steps, 6)]
    assert path == sorted(path)
    assert path[1] < 8
    assert path[-1] == 8


async def test_killed_in_the_middle_of_a_scale_in_the_next_one_waits_for_a_window(
    namespace: Namespace, inbox: Inbox, redis_client: AsyncRedis, keys: Keys, start: Start
) -> None:
    namespace.apply(stream("reviews", **workers(min=1, max=4)))
    async with start() as steps:
        await scaled_to_four(namespace, inbox, steps)
        await redis_client.delete(keys.inbox("reviews"))
        await steps.run(50)
        assert namespace.replicas(WORKERS) == 4
    async with start() as steps:
        await steps.run(55)
        assert namespace.replicas(WORKERS) == 4
        await steps.run(40)
        assert namespace.replicas(WORKERS) == 1
        assert namespace.status("reviews")["reason"] == "AtMin"


async def test_killed_at_any_moment_it_never_takes_back_what_it_added(
    namespace: Namespace, operator: Operator, inbox: Inbox
) -> None:
    """The process itself, with SIGKILL, as soon as its first step is seen."""
    namespace.apply(stream("reviews", **workers(min=1, max=8)))
    await wait_in_line(inbox, "reviews", 5_000)
    seen = [1]

    def replicas() -> int:
        seen.append(max(1, namespace.replicas(WORKERS)))
        return seen[-1]

    operator.start()
    try:
        wait_for("step", lambda: replicas() > 1, 60)
        operator.kill()
        replicas()
        with operator:
            wait_for("all of them", lambda: replicas() == 8)
    finally:
        if operator.process is not None and operator.process.poll() is None:
            operator.kill()
    assert seen == sorted(seen)
