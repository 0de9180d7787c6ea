"""Apache Kafka itself killed and restarted, in the middle of reading and of dead-lettering."""

from __future__ import annotations

import pytest

from tests.e2e.services import until
from tests.faults.installation import SECONDS, Installation, Lines
from tests.faults.records import records_of

pytestmark = pytest.mark.timeout(900)

EVENTS = 1500


def test_kill_9_and_a_restart_while_records_are_read_and_answers_published(
    site: Installation,
) -> None:
    before = site.counters()
    lines = Lines(site.worker, site.consumer)
    site.provider.seconds = 0.05
    ids = site.send(EVENTS)
    site.until_answered(100, before)

    site.kafka.kill()
    until(
        lambda: lines.say("lag_unknown") and lines.say("publish_failed"),
        SECONDS,
        lambda: f"{site.consumer.tail()}\n{site.worker.tail()}",
    )
    site.kafka.start()
    site.provider.seconds = 0

    site.settle(before, ids)
    assert lines.say("lag_known")
    assert lines.say("kafka_takes_answers_again")
    site.published(ids)
    site.works_as_ever()


def test_a_restart_while_dead_letters_are_written_skips_none(site: Installation) -> None:
    # Its place in the group outlives the restart: nobody reads again what it holds.
    assert site.consumer.stop() == 0
    site.start_consumer(KAFKA_SESSION_TIMEOUT_MS="240000")
    before = site.counters()
    lines = Lines(site.consumer)
    until(lambda: lines.say("kafka_assigned"), SECONDS, site.consumer.tail)
    bad = {b"bad %d" % number for number in range(150)}
    ids = []
    # It gets a batch of good and bad ones in hand and is held up with it, until Kafka is away.
    site.links["results"].refuse()
    for value in sorted(bad):
        site.producer.produce(site.topic, value)
        ids += site.send(1, flush=False)
    assert site.producer.flush(SECONDS) == 0

    def waits(doing: str) -> bool:
        return any(line["event"] == "consumer_waits" and line["doing"] == doing for line in lines)

    until(lambda: waits("accepting events"), SECONDS, site.consumer.tail)
    site.kafka.kill()
    site.links["results"].mend()
    until(lambda: waits("writing dead letters"), SECONDS, site.consumer.tail)
    site.kafka.start()

    site.settle(before, ids)
    records_of(site.kafka, f"{site.topic}.dlq", lambda values: set(values) >= bad)
    assert site.counters().dead_lettered >= before.dead_lettered + len(bad)
    site.works_as_ever()
