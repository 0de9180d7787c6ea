"""The link to each neighbour cut in the middle of a reply, half open, slow, or gone for a while."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.e2e.services import until
from tests.faults.installation import SECONDS, Installation, Lines

pytestmark = pytest.mark.timeout(900)

EVENTS = 1000
POSTS = 40
LONGER_THAN_A_LEASE_SECONDS = 20.0


@dataclass(frozen=True)
class Link:
    """A neighbour, and by what the services show that they miss it."""

    name: str
    lines: tuple[str, ...]
    metric: Callable[[Installation], float]


def store_trouble(site: Installation) -> float:
    return sum(
        site.metric(service, "eventstream_store_unavailable_total")
        for service in ("worker", "consumer")
    )


def cache_trouble(site: Installation) -> float:
    return site.metric("worker", "eventstream_cache_errors_total")


def provider_trouble(site: Installation) -> float:
    return site.metric("worker", "eventstream_model_retries_total") + site.metric(
        "worker", "eventstream_events_deferred_total", why="provider"
    )


def wake_ups(site: Installation, outcome: str, *services: str) -> float:
    return sum(
        site.metric(service, "eventstream_wake_ups_total", outcome=outcome)
        for service in services or ("api", "worker", "consumer")
    )


def wakes_up(site: Installation) -> None:
    """Wait until the API and the consumer have woken a worker: a failure is news to both again."""
    before = site.counters()
    ids: list[str] = []

    def until_sent(service: str, begin_one: Callable[[], str]) -> None:
        sent = wake_ups(site, "sent", service)

        def more_are_sent() -> bool:
            ids.append(begin_one())
            return wake_ups(site, "sent", service) > sent

        until(more_are_sent, SECONDS, lambda: f"{service} sends no wake-up")

    until_sent("api", lambda: site.post(f"wake {uuid.uuid4().hex}"))
    until_sent("consumer", lambda: site.send(1)[0])
    site.settle(before, ids)


RESULTS = Link(
    "results",
    ("claim_failed", "finish_failed", "renew_failed", "redis_away", "consumer_waits"),
    store_trouble,
)
CACHE = Link("cache", (), cache_trouble)
PROVIDER = Link("provider", ("a model call failed",), provider_trouble)


def load(site: Installation) -> tuple[list[str], Callable[[], list[str]]]:
    """Events under way: some are answered, most are in Kafka still, and some come over HTTP."""
    before = site.counters()
    site.provider.seconds = 1.0
    ids = site.send(EVENTS)
    site.until_answered(50, before)
    return ids, site.post_many(POSTS)


@pytest.mark.parametrize("link", [RESULTS, CACHE, PROVIDER], ids=lambda link: link.name)
def test_a_link_that_breaks_in_the_middle_of_replies(site: Installation, link: Link) -> None:
    before, shown = site.counters(), link.metric(site)
    lines = Lines(site.worker, site.consumer, site.api)
    proxy = site.links[link.name]
    cuts = proxy.cuts
    ids, posting = load(site)

    proxy.cut_answers(17, times=40)
    until(lambda: proxy.cuts >= cuts + 40, SECONDS, lambda: f"{proxy.cuts - cuts} cut")
    proxy.mend()
    site.provider.seconds = 0

    site.settle(before, [*ids, *posting()])
    assert link.metric(site) > shown
    assert not link.lines or lines.say(*link.lines)
    site.works_as_ever()


@pytest.mark.parametrize("link", [RESULTS, CACHE, PROVIDER], ids=lambda link: link.name)
@pytest.mark.parametrize("fault", ["half_open", "away"])
def test_a_neighbour_that_is_gone_for_a_while(site: Installation, link: Link, fault: str) -> None:
    before, shown = site.counters(), link.metric(site)
    lines = Lines(site.worker, site.consumer, site.api)
    proxy = site.links[link.name]
    ids, posting = load(site)

    proxy.hang() if fault == "half_open" else proxy.refuse()
    until(lambda: link.metric(site) > shown, SECONDS, lambda: f"{link.name}: nothing is shown")
    until(lambda: not link.lines or lines.say(*link.lines), SECONDS, lambda: "nothing is said")
    proxy.mend()
    site.provider.seconds = 0

    site.settle(before, [*ids, *posting()])
    site.works_as_ever()


@pytest.mark.parametrize("name", ["results", "broker", "cache", "kafka"])
def test_connections_that_a_firewall_forgot(site: Installation, name: str) -> None:
    """Nobody mends them: each end has to find out, and connect anew."""
    before = site.counters()
    ids, posting = load(site)

    site.links[name].forget()
    site.provider.seconds = 0

    site.settle(before, [*ids, *posting()])
    site.works_as_ever()


@pytest.mark.parametrize(
    ("name", "seconds"), [("results", 0.1), ("broker", 0.1), ("cache", 1.0), ("kafka", 1.2)]
)
def test_a_neighbour_that_is_slow(site: Installation, name: str, seconds: float) -> None:
    """The cache is slower than a look-up may take, Kafka than a publication at first."""
    before, cache_errors = site.counters(), cache_trouble(site)
    ids, posting = load(site)

    site.links[name].delay(seconds)
    if name == "broker":
        sent = wake_ups(site, "sent")

        def one_was_sent() -> bool:
            ids.append(site.post(f"sent {uuid.uuid4().hex}"))
            return wake_ups(site, "sent") > sent

        until(one_was_sent, SECONDS, site.worker.tail)
    if name == "cache":
        until(lambda: cache_trouble(site) > cache_errors, SECONDS, site.worker.tail)
    site.until_answered(300, before)
    site.links[name].mend()
    site.provider.seconds = 0

    site.settle(before, [*ids, *posting()])
    site.works_as_ever()


def test_leases_are_renewed_over_a_slow_link(site: Installation) -> None:
    before = site.counters()
    lines = Lines(site.worker)
    site.links["results"].delay(0.1)
    site.provider.seconds = LONGER_THAN_A_LEASE_SECONDS
    posting = site.post_many(POSTS)

    site.settle(before, posting())
    assert not lines.say("event_redelivered", "lease_lost")


@pytest.mark.parametrize("fault", ["cut", "half_open", "away"])
def test_a_broker_of_wake_ups_that_is_gone_for_a_while(site: Installation, fault: str) -> None:
    """Who is at work looks for himself: nothing waits for a wake-up that never came."""
    wakes_up(site)
    before, missed = site.counters(), wake_ups(site, "failed")
    lines = Lines(site.worker, site.consumer, site.api)
    proxy = site.links["broker"]
    cuts = proxy.cuts
    ids, posting = load(site)

    if fault == "cut":
        proxy.cut_answers(3, times=6)
        until(lambda: proxy.cuts >= cuts + 6, SECONDS, lambda: f"{proxy.cuts - cuts} cut")
    elif fault == "half_open":
        proxy.hang()
    else:
        proxy.refuse()
    site.until_answered(300, before)
    if fault != "cut":

        def one_was_missed() -> bool:
            # One is wanted for what comes when the one before counts as lost. Not by the consumer:
            # it takes nothing in while the inbox is full and nobody is woken.
            ids.append(site.post(f"missed {uuid.uuid4().hex}"))
            return lines.say("wake_up_failed") and wake_ups(site, "failed") > missed

        until(one_was_missed, SECONDS, lambda: "no wake-up was missed")
    proxy.mend()
    site.provider.seconds = 0

    site.settle(before, [*ids, *posting()])
    wakes_up(site)
    site.works_as_ever()


@pytest.mark.parametrize("fault", ["cut", "half_open", "away"])
def test_a_kafka_that_is_gone_for_a_while(site: Installation, fault: str) -> None:
    before = site.counters()
    lines = Lines(site.worker, site.consumer)
    proxy = site.links["kafka"]
    cuts = proxy.cuts
    ids, posting = load(site)

    if fault == "cut":
        proxy.cut_answers(50, times=10)
        until(lambda: proxy.cuts >= cuts + 10, SECONDS, lambda: f"{proxy.cuts - cuts} cut")
    else:
        proxy.hang() if fault == "half_open" else proxy.refuse()
        # The consumer can't read, and what is answered can't be published.
        until(
            lambda: lines.say("lag_unknown") and lines.say("publish_failed"),
            SECONDS,
            lambda: f"{site.consumer.tail()}\n{site.worker.tail()}",
        )
        # Whoever came over HTTP is answered all the same.
        over_http = posting()
        until(
            lambda: site.results_of(over_http) == POSTS,
            SECONDS,
            lambda: f"{site.results_of(over_http)} answered",
        )
    proxy.mend()
    site.provider.seconds = 0

    site.settle(before, [*ids, *posting()])
    # Nothing counts as answered before its answer is in the sink.
    site.published(ids)
    site.works_as_ever()
