"""Processes killed, stopped, frozen and added in the middle of their work."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient

from eventstream.keys import DEFAULT_STREAM, INBOX_GROUP, queues_of
from tests.e2e.services import Service, until
from tests.faults.installation import SECONDS, Installation, Lines

pytestmark = pytest.mark.timeout(900)

EVENTS = 2000


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
    ids = site.send(EVENTS)
    site.until_answered(50, before)

    second = site.run_consumer()
    until(lambda: members(site) == [1, 2], SECONDS, lambda: str(members(site)))
    ids += site.send(EVENTS // 2)
    third = site.run_consumer()
    until(lambda: members(site) == [1, 1, 1], SECONDS, lambda: str(members(site)))
    second.kill()
    assert third.stop() == 0
    until(lambda: members(site) == [3], SECONDS, lambda: str(members(site)))

    site.settle(before, ids)
    site.works_as_ever()


def test_a_consumer_killed_between_accepting_and_storing_offsets(site: Installation) -> None:
    """What was accepted and not committed is read again, and makes duplicates."""
    before = site.counters()
    ids = site.send(EVENTS)
    for more in (100, 400):
        site.until_answered(more, before)
        site.consumer.kill()
        site.consumer = site.run_consumer(METRICS_PORT=str(site.metrics_ports["consumer"]))

    site.settle(before, ids)
    site.works_as_ever()


def test_sigterm_to_everything_under_load(site: Installation) -> None:
    before = site.counters()
    site.provider.seconds = 0.1
    ids = site.send(EVENTS)
    posting = site.post_many(100)
    site.until_answered(200, before)

    services = (site.api, site.consumer, site.worker)
    for service in services:
        os.kill(service.pid, signal.SIGTERM)
    assert [service.wait() for service in services] == [0, 0, 0]
    # What it could not finish it gave back at once: nothing is held.
    held = [
        site.state.xpending(site.keys.inbox(queue), INBOX_GROUP)["pending"]
        for queue in queues_of(DEFAULT_STREAM)
    ]
    assert not any(held)
    site.provider.seconds = 0
    site.start_services()

    site.settle(before, [*ids, *posting()])
    site.works_as_ever()
