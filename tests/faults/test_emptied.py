"""A Redis that comes back without its data, in each of its roles, or only restarted."""

from __future__ import annotations

import shutil
from typing import cast

import orjson
import pytest
import redis
import requests

from eventstream.kafka_gap import Gap
from tests.e2e.services import until
from tests.faults.installation import DIFFERENT_TEXTS, SECONDS, Installation, Lines
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.timeout(900)

EVENTS = 1500


def empty(server: RedisServer) -> None:
    """kill -9, and back without a byte."""
    server.kill()
    for file in server.folder.glob("appendonlydir"):
        shutil.rmtree(file)
    server.start()


def gaps_of(site: Installation) -> list[Gap]:
    fields = site.state.hgetall(site.keys.kafka_gaps("default"))
    assert isinstance(fields, dict)
    return [Gap.model_validate_json(packed) for packed in fields.values()]


def test_results_emptied_the_gap_is_stated_and_a_replay_makes_kafkas_part_whole(
    site: Installation,
) -> None:
    lines = Lines(site.consumer)
    of_worker = Lines(site.worker)
    everywhere = Lines(site.api, site.consumer, site.worker)
    before = site.counters()
    site.provider.seconds = 0.05
    ids = site.send(EVENTS)
    site.until_answered(300, before)

    empty(site.deployment.state)
    until(lambda: bool(gaps_of(site)), SECONDS, site.consumer.tail)

    # It recovers by itself: what is still in Kafka is answered, and what comes over HTTP.
    site.provider.seconds = 0
    posting = site.post_many(50)
    until(
        lambda: site.results_of(posting()) == 50 and site.counters().open == 0,
        SECONDS,
        site.worker.tail,
    )
    # It says so: in the log, as a metric, in /health and in `top`.
    gaps = gaps_of(site)
    said = {
        (line["topic"], line["partition"], line["first_offset"], line["last_offset"])
        for line in lines
        if line["event"] == "results_lost" and line["records"]
    }
    assert {(gap.topic, gap.partition, gap.first, gap.end - 1) for gap in gaps} <= said
    records = sum(gap.end - gap.first for gap in gaps)
    assert site.metric("consumer", "eventstream_kafka_gap_records") == records
    health = requests.get(f"{site.deployment.url}/health", timeout=30).json()
    assert {gap["way_out"] for gap in health["kafka_gaps"]} == {gap.way_out for gap in gaps}
    top = site.command("top", "--once", "--json")
    assert len(orjson.loads(top)["kafka_gaps"]) == len(gaps)

    assert everywhere.say("registry_restored")
    until(lambda: of_worker.say("results_lost"), SECONDS, site.worker.tail)

    # And the command that it names brings the rest.
    earliest = min(gaps, key=lambda gap: gap.since)
    replayed = orjson.loads(site.command(*earliest.way_out.split()[1:], "--json"))
    assert replayed["gaps_closed"] == len(gaps)
    until(lambda: site.counters().open == 0, SECONDS, lambda: str(site.counters()))
    site.published(ids)
    assert requests.get(f"{site.deployment.url}/health", timeout=30).json()["kafka_gaps"] == []
    now = site.counters()
    assert now.accepted == now.answered + now.failed + now.duplicates
    site.works_as_ever()


def test_results_restarted_with_their_data(site: Installation) -> None:
    before = site.counters()
    lines = Lines(site.worker, site.consumer)
    site.provider.seconds = 0.05
    ids = site.send(EVENTS)
    posting = site.post_many(50)
    site.until_answered(200, before)

    site.deployment.state.stop()
    until(lambda: lines.say("redis_away", "claim_failed"), SECONDS, site.worker.tail)
    site.deployment.state.start()
    site.provider.seconds = 0

    site.settle(before, [*ids, *posting()])
    assert gaps_of(site) == []
    site.works_as_ever()


def cached_vectors(site: Installation) -> int:
    """How many entries the cache's vector index has; 0 without one."""
    with redis.Redis(port=site.deployment.cache.port) as cache:
        names = cast(list[bytes], cache.execute_command("FT._LIST"))
        return sum(int(cache.ft(name.decode()).info()["num_docs"]) for name in names)


@pytest.mark.parametrize("role", ["broker", "cache"])
def test_emptied_nothing_is_lost_but_wake_ups_or_hits(site: Installation, role: str) -> None:
    server = site.broker if role == "broker" else site.deployment.cache
    before = site.counters()
    site.provider.seconds = 0.05
    ids = site.send(EVENTS)
    posting = site.post_many(50)
    site.until_answered(200, before)

    empty(server)
    site.until_answered(600, before)
    empty(server)
    site.provider.seconds = 0

    site.settle(before, [*ids, *posting()])
    site.works_as_ever()
    # The index is made again with the first answers that go into it, and repeated texts are hits.
    assert cached_vectors(site) > 0
    again = site.counters()
    repeated = site.send(DIFFERENT_TEXTS * 2)
    site.settle(again, repeated)
    assert site.counters().hits >= again.hits + DIFFERENT_TEXTS


def test_an_event_that_is_not_known_any_more_is_a_404(site: Installation) -> None:
    before = site.counters()
    [task_id] = site.post_many(1)()
    site.settle(before, [task_id])

    empty(site.deployment.state)

    def status() -> int:
        return requests.get(f"{site.deployment.url}/task/{task_id}", timeout=30).status_code

    # 503 until the API's connection has found out that the server is another one.
    until(lambda: status() != 503, SECONDS, lambda: str(status()))
    assert status() == 404
    site.works_as_ever()
