"""Processes killed, stopped, frozen and added in the middle of their work."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import cast

import pytest
from confluent_kafka.admin import AdminClient

from eventstream.keys import DEFAULT_STREAM, INBOX_GROUP, queues_of
from tests.e2e.services import Service, until
from tests.faults.installation import SECONDS, Installation, Lines

pytestmark = pytest.mark.timeout(900)

EVENTS = 2000
SLOW_SECONDS = 2.0
"""A model call; a text is asked once, so what is sent takes a handful of them."""


@pytest.fixture
def second_worker(site: Installation) -> Iterator[Service]:
    worker = site.run_worker()
    yield worker
    if worker.running:
        assert worker.stop() == 0


def members(site: Installation) -> list[int]:
    """How many partitions each consumer of the group holds."""
    admin = AdminClient({"bootstrap.servers": site.kafka.bootstrap_servers})
    future = admin.describe_consumer_groups([site.topic])[site.topic]
    return sorted(len(each.assignment.topic_partitions) for each in future.result().members)


def partitions_of(lines: Lines) -> set[object]:
    """The partitions that a consumer has ever been assigned."""
    return {
        number
        for line in lines
        if line["event"] == "kafka_assigned"
        for number in cast(list[object], line["partitions"])
    }


def hold_up_the_consumer(site: Installation) -> None:
    """It has records in hand that Redis does not take, for longer than a commit takes."""
    lines = Lines(site.consumer)

    def seconds_waited() -> float:
        waits = (line for line in lines if line["event"] == "consumer_waits")
        return sum(float(str(line["next_try_seconds"])) for line in waits)

    site.links["results"].refuse()
    until(lambda: seconds_waited() > 5, SECONDS, site.consumer.tail)


def test_kill_9_of_pool_processes_and_of_a_whole_worker(
    site: Installation, second_worker: Service
) -> None:
    before = site.counters()
    lines = Lines(site.worker)
    site.provider.seconds = 0.05
    ids = site.send(EVENTS)
    posting = site.post_many(50)

    for more in (100, 300, 500):
        site.until_answered(more, before)
        os.kill(site.worker.children()[0], signal.SIGKILL)
    site.until_answered(700, before)
    second_worker.kill()
    # What the dead one held comes to the other when its leases end.
    until(lambda: lines.say("event_redelivered"), SECONDS, site.worker.tail)
    site.provider.seconds = 0

    site.settle(before, [*ids, *posting()])
    assert site.metric("worker", "eventstream_events_redelivered_total") > 0
    site.works_as_ever()


def test_an_event_that_two_workers_answer_has_one_result(
    site: Installation, second_worker: Service
) -> None:
    """One is frozen in the middle of its calls; it wakes when others have done its work."""
    before = site.counters()
    site.provider.mood = "hangs"
    met = site.provider.misbehaved["hangs"]
    os.killpg(site.worker.pid, signal.SIGSTOP)
    posting = site.post_many(64)
    ids = posting()
    until(lambda: site.provider.misbehaved["hangs"] >= met + 20, SECONDS, second_worker.tail)
    os.killpg(second_worker.pid, signal.SIGSTOP)
    site.provider.behave()  # the frozen one's answers are on their way to it
    os.killpg(site.worker.pid, signal.SIGCONT)
    # The other one takes over what it held, and answers it.
    site.settle(before, ids)
    os.killpg(second_worker.pid, signal.SIGCONT)
    lines = Lines(second_worker)

    def late() -> bool:
        return site.counters().late_answers > before.late_answers or lines.say("lease_lost")

    until(late, SECONDS, second_worker.tail)
    site.settle(before, ids)
    site.works_as_ever()


def test_consumers_join_and_leave_under_load(site: Installation) -> None:
    before = site.counters()
    site.provider.seconds = SLOW_SECONDS
    ids = site.send(EVENTS)
    site.until_answered(50, before)

    lines = Lines(site.consumer)
    second = site.run_consumer()
    assigned = Lines(second)
    until(lambda: members(site) == [1, 2], SECONDS, lambda: str(members(site)))
    ids += site.send(EVENTS // 2)
    third = site.run_consumer()
    until(lambda: members(site) == [1, 1, 1], SECONDS, lambda: str(members(site)))
    assert third.stop() == 0
    until(lambda: members(site) == [1, 2], SECONDS, lambda: str(members(site)))
    assert lines.say("kafka_revoked")
    assert assigned.say("kafka_assigned")
    site.provider.seconds = 0
    site.settle(before, ids)

    site.provider.seconds = SLOW_SECONDS
    ids += site.send(EVENTS)
    second.kill()
    until(lambda: members(site) == [3], SECONDS, lambda: str(members(site)))
    site.provider.seconds = 0
    site.settle(before, ids)
    site.works_as_ever()


def test_a_consumer_killed_between_accepting_and_storing_offsets(site: Installation) -> None:
    """What was accepted and not committed is read again, and makes duplicates."""
    before = site.counters()
    assert site.consumer.stop() == 0
    ids = site.send(EVENTS)
    dying = site.deployment.run_module("tests.faults.dying_consumer", **site.environment)
    dying.wait(SECONDS)
    accepted = site.counters().accepted - before.accepted
    assert accepted > 0

    site.start_consumer()

    site.settle(before, ids)
    assert site.counters().duplicates - before.duplicates == accepted
    site.works_as_ever()


def test_a_consumer_killed_while_nothing_is_accepted_skips_nothing(site: Installation) -> None:
    """Its offsets stand where they stood, however long it has tried."""
    before = site.counters()
    site.provider.seconds = SLOW_SECONDS
    ids = site.send(EVENTS)
    site.until_answered(100, before)
    hold_up_the_consumer(site)
    site.consumer.kill()
    site.links["results"].mend()
    site.start_consumer()
    site.provider.seconds = 0

    site.settle(before, ids)
    site.works_as_ever()


def test_a_frozen_consumer_loses_its_partitions_and_skips_nothing(site: Installation) -> None:
    before = site.counters()
    site.provider.seconds = SLOW_SECONDS
    ids = site.send(EVENTS)
    site.until_answered(100, before)
    lines = Lines(site.consumer)
    hold_up_the_consumer(site)

    os.killpg(site.consumer.pid, signal.SIGSTOP)
    site.links["results"].mend()
    assert site.counters().accepted - before.accepted < EVENTS
    second = site.run_consumer()
    assigned = Lines(second)
    until(lambda: partitions_of(assigned) == {0, 1, 2}, SECONDS, second.tail)
    os.killpg(site.consumer.pid, signal.SIGCONT)
    until(lambda: lines.say("kafka_lost"), SECONDS, site.consumer.tail)
    site.provider.seconds = 0

    site.settle(before, ids)
    assert second.stop() == 0
    site.works_as_ever()


def test_sigterm_to_everything_under_load(site: Installation) -> None:
    """What can't be finished in time comes back at once: no lease ends within this test."""
    long_leases = {"WORKER_LEASE_SECONDS": "3600"}
    assert site.worker.stop() == 0
    site.start_worker(WORKER_SHUTDOWN_SECONDS="1", **long_leases)
    before = site.counters()
    lines = Lines(site.worker)
    ids = site.send(EVENTS)
    posting = site.post_many(100)
    site.until_answered(200, before)
    met = site.provider.misbehaved["hangs"]
    site.provider.mood = "hangs"
    until(lambda: site.provider.misbehaved["hangs"] >= met + 20, SECONDS, site.worker.tail)

    services = (site.api, site.consumer, site.worker)
    for service in services:
        os.kill(service.pid, signal.SIGTERM)
    assert [service.wait() for service in services] == [0, 0, 0]
    given_back = [line["events"] for line in lines if line["event"] == "events_given_back"]
    assert sum(int(str(events)) for events in given_back) >= 20
    held = [
        site.state.xpending(site.keys.inbox(queue), INBOX_GROUP)["pending"]
        for queue in queues_of(DEFAULT_STREAM)
    ]
    assert not any(held)
    site.provider.behave()
    site.start_services(**long_leases)

    site.settle(before, [*ids, *posting()])
    site.works_as_ever()
