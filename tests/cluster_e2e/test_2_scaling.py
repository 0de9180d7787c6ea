"""Load comes and goes: workers, API pods, a stream that keeps no worker, and ceilings.

What takes its time (a scale-in, a provider's minute, another look at a budget) goes on while the
next tests run: the last ones see how it ended.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.cluster.harness.api import wait_until
from tests.cluster_e2e.installation import (
    ANSWERED_SECONDS,
    HERE,
    SCALED_IN_SECONDS,
    SCALED_SECONDS,
    Installation,
)
from tests.cluster_e2e.prometheus import Prometheus

pytestmark = pytest.mark.timeout(600)

LOAD_EVENTS = 5_000
THROUGH_HTTP = 1_000
SENT_TWICE = 100
DRAINED_SECONDS = 400.0
PRESSED_SECONDS = 300
LOOKED_UP = 220
A_MINUTE = 60
FLOOD = 900
AFFORDED = 70
TOO_MANY = 150
RELEASED_SECONDS = 400.0

held: dict[str, list[str]] = {"limited": [], "throttled": [], "paid": []}
"""Stream -> the ids of its events, which a ceiling holds back and the last test sees answered."""


def test_load_brings_workers_and_its_end_takes_them_away(
    installation: Installation,
    prometheus: Prometheus,
    slow_stream: str,
    sleeping_stream: str,
    provider: str,
) -> None:
    assert installation.replicas("ai-worker-slow") == 1
    texts = [f"Parcel {number} came a day late." for number in range(LOAD_EVENTS)]
    through_http = installation.send(texts[:THROUGH_HTTP], slow_stream)
    through_kafka = {f"parcel-{n}": texts[n] for n in range(THROUGH_HTTP, LOAD_EVENTS)}
    installation.send_by_id(through_kafka, slow_stream, "--kafka")
    repeated = dict(list(through_kafka.items())[:SENT_TWICE])
    installation.send_by_id(repeated, slow_stream, "--kafka")

    # Up: one line of numbers says why.
    wait_until(
        lambda: installation.replicas("ai-worker-slow") == 4, "fourth worker", SCALED_SECONDS
    )
    wait_until(
        lambda: installation.stream(slow_stream)["decision"].endswith("-> 4"),
        "reason of the fourth worker",
        SCALED_SECONDS,
    )
    assert re.match(
        r"backlog \d+ \(queued \d+, in flight \d+, Kafka lag \d+\), [\d.]+ events/s in, .* -> 4$",
        installation.stream(slow_stream)["decision"],
    )

    ids = [*through_http, *through_kafka]
    account = installation.wait_finished(slow_stream, ids, DRAINED_SECONDS)
    assert account.states == {"SUCCESS": LOAD_EVENTS}
    # The second copies are the last in Kafka: nothing waits for them.
    wait_until(
        lambda: installation.account(slow_stream).duplicates >= SENT_TWICE,
        "duplicates that were sent last",
        SCALED_SECONDS,
    )
    account = installation.account(slow_stream)
    assert account.duplicates == SENT_TWICE
    assert (account.answered, account.failed) == (LOAD_EVENTS, 0)
    assert account.balanced
    # Nobody was asked, or paid, twice.
    [journal] = installation.fetch(f"{provider}/journal")
    assert journal["slow-1"] == {"questions": LOAD_EVENTS, "different": LOAD_EVENTS}

    # Down again, and it says so.
    wait_until(
        lambda: installation.replicas("ai-worker-slow") == 1, "scale-in to one", SCALED_IN_SECONDS
    )
    wait_until(
        lambda: installation.stream(slow_stream)["workers"]["summary"] == "1/1",
        "status of one worker",
        SCALED_SECONDS,
    )
    status = installation.stream(slow_stream)
    assert status["backlog"] == 0
    assert status["decision"].endswith("-> 1")
    history = [each["decision"] for each in status["history"]]
    assert any(sentence.endswith("-> 4") for sentence in history), history


def test_a_text_that_the_provider_refuses_is_a_dead_letter(
    installation: Installation, slow_stream: str
) -> None:
    before = installation.account(slow_stream)
    texts = {f"refused-{n}": f"Text {n} is forbidden." for n in range(20)}
    ids = installation.send_by_id(texts, slow_stream, "--kafka")

    account = installation.wait_finished(slow_stream, ids, ANSWERED_SECONDS)

    assert account.states == {"FAILURE": len(ids)}
    assert account.failed - before.failed == len(ids)
    listed = installation.in_client(
        "eventstream", "dlq", "list", "--stream", slow_stream, "--limit=100", "--json"
    )
    letters = json.loads(listed)
    assert {letter["event_id"] for letter in letters} == set(ids)
    assert {letter["reason"] for letter in letters} == {"provider_refused"}


def test_few_hits_are_worth_a_second_look_at_the_threshold(installation: Installation) -> None:
    before = installation.account("default")
    texts = [f"The parcel with the number {n} is here." for n in range(LOOKED_UP)]
    # One is answered before the others: what is looked up together can't find each other.
    ids = installation.send(texts[:1], "default")
    installation.wait_finished("default", ids, ANSWERED_SECONDS)
    ids += installation.send(texts[1:], "default")
    account = installation.wait_finished("default", ids, ANSWERED_SECONDS)
    assert account.answered - before.answered == LOOKED_UP
    # The same text again is a hit. (And what was counted leaves with the next look-up.)
    assert installation.result(texts[0])["from_cache"] is True

    # Neighbours in all but a number: none may have another one's answer.
    _wait_condition(installation, "default", "ReviewThreshold")
    wait_until(
        lambda: (
            "candidates were refused" in installation.condition("default", "ReviewThreshold")[1]
        ),
        "what the near misses say about the threshold",
        SCALED_SECONDS,
    )


def test_the_first_event_brings_a_worker_back(
    installation: Installation, sleeping_stream: str
) -> None:
    _wait_asleep(installation)
    assert installation.condition(sleeping_stream, "Ready")[0] == "True"

    assert installation.ask("Anybody there?", f"--stream={sleeping_stream}") == "neutral"

    assert installation.replicas("ai-worker-asleep") == 1
    _wait_told(installation, sleeping_stream, r"workers: 0 -> 1\. backlog 1 ")


@pytest.mark.usefixtures("ceilings")
@pytest.mark.parametrize("stream", ["limited", "throttled"])
def test_a_providers_limit_brings_no_workers(
    installation: Installation, prometheus: Prometheus, stream: str
) -> None:
    # As many as a minute allows, and a few that have to wait.
    held[stream] += installation.send(_texts(stream, 0, A_MINUTE + 20), stream)
    _wait_condition(installation, stream, "RateLimited")
    # Now a queue that would bring workers at once, and stays one until a pass has seen it.
    refused = (
        "eventstream_operator_decisions_total"
        f'{{stream="{stream}",role="workers",outcome="RateLimited"}} > 0'
    )
    with _held_up(installation, stream):
        held[stream] += installation.send(_texts(stream, A_MINUTE + 20, FLOOD), stream)
        wait_until(
            lambda: prometheus.holds(refused),
            f"{stream}: decision against a worker that the limit would leave idle",
            SCALED_SECONDS,
        )

    # Its own limit, or the provider's word.
    said = re.compile(r"^More workers bring nothing: | answered 429 and is left alone for \d+ s")
    wait_until(
        lambda: said.search(installation.condition(stream, "RateLimited")[1]) is not None,
        f"{stream}: why more workers would bring nothing",
        SCALED_SECONDS,
    )
    _wait_phase(installation, stream, "Limited")
    assert installation.replicas(f"ai-worker-{stream}") == 1


@pytest.mark.usefixtures("ceilings")
def test_a_spent_budget_holds_what_the_cache_cannot_answer(installation: Installation) -> None:
    first = _texts("paid", 0, AFFORDED)
    held["paid"] += installation.send(first, "paid")
    installation.wait_finished("paid", held["paid"], SCALED_SECONDS)
    held["paid"] += installation.send(_texts("paid", AFFORDED, TOO_MANY), "paid")
    _wait_condition(installation, "paid", "BudgetExhausted")

    _wait_phase(installation, "paid", "Held")
    assert re.match(
        r"\$0\.00\d+ of \$0\.0025 spent today .* wait for the next UTC day",
        installation.condition("paid", "BudgetExhausted")[1],
    )
    assert installation.result(first[0], "--stream=paid")["from_cache"] is True
    account = installation.account("paid", held["paid"])
    assert account.failed == 0
    assert account.states["SUCCESS"] < len(held["paid"])

    # Held events are looked at again within two minutes: let them go now.
    _patch(installation, "paid", {"limits": {"budget": {"usd": 1}}})


def test_a_busy_api_gets_a_second_pod(installation: Installation) -> None:
    # What one client can do is enough for two pods, and no more.
    _patch(installation, "default", {"scaling": {"api": {"max": 2}}})
    assert installation.replicas("ai-api") == 1
    installation.in_client("rm", "-f", "/tmp/enough")
    program = (HERE / "press.py").read_text()
    with ThreadPoolExecutor(1) as client:
        pressed = client.submit(
            installation.in_client,
            *("python", "-c", program, str(PRESSED_SECONDS)),
            seconds=PRESSED_SECONDS + 60.0,
        )
        wait_until(lambda: installation.replicas("ai-api") == 2, "second API pod", PRESSED_SECONDS)
        installation.in_client("touch", "/tmp/enough")
        assert int(pressed.result()) > 0
    installation.wait_ready("ai-api")

    wait_until(
        lambda: installation.stream("default")["api"]["summary"] == "2/2",
        "status of two API pods",
        SCALED_SECONDS,
    )
    _wait_told(installation, "default", r"api: 1 -> 2\. ScaledOut: CPU is at \d+ % of its request")


def test_the_first_record_in_kafka_brings_a_worker_back(
    installation: Installation, sleeping_stream: str
) -> None:
    _wait_asleep(installation)

    answer = installation.ask("And in Kafka?", f"--stream={sleeping_stream}", "--kafka")

    assert answer == "neutral"
    account = installation.account(sleeping_stream)
    assert (account.answered, account.failed) == (2, 0)
    assert account.balanced


def test_the_second_api_pod_leaves_when_it_is_quiet(installation: Installation) -> None:
    wait_until(lambda: installation.replicas("ai-api") == 1, "one API pod", SCALED_IN_SECONDS)
    _wait_told(installation, "default", r"api: 2 -> 1\. ScaledIn: CPU is at \d+ % of its request")


@pytest.mark.usefixtures("ceilings")
def test_what_was_held_back_is_answered_once_it_may_be(
    installation: Installation, provider: str
) -> None:
    _patch(installation, "limited", {"limits": {"requestsPerMinute": 100_000}})
    installation.fetch(f"{provider}/allowance/100000")

    for stream, ids in held.items():
        account = installation.wait_finished(stream, ids, RELEASED_SECONDS)
        assert account.states == {"SUCCESS": len(ids)}
        assert account.failed == 0
        assert account.balanced
    for stream, condition in (
        ("limited", "RateLimited"),
        ("throttled", "RateLimited"),
        ("paid", "BudgetExhausted"),
    ):
        _wait_condition(installation, stream, condition, "False", SCALED_IN_SECONDS)


@contextmanager
def _held_up(installation: Installation, stream: str) -> Iterator[None]:
    """The pool process of the stream's worker stands still: on a fast machine it puts hundreds of
    events off between two looks of the operator. The worker itself goes on with its heartbeats."""
    pod = installation.pod("worker", stream)["metadata"]["name"]

    def tell(name: str) -> None:
        # To all but the first process and this one.
        program = f"import os, signal; os.kill(-1, signal.{name})"
        installation.kubectl("exec", pod, "--", "python", "-c", program)

    tell("SIGSTOP")
    try:
        yield
    finally:
        tell("SIGCONT")


def _wait_asleep(installation: Installation) -> None:
    wait_until(
        lambda: installation.stream("asleep").get("workers", {}).get("summary") == "0/0",
        "stream without a worker",
        SCALED_IN_SECONDS,
    )
    _wait_phase(installation, "asleep", "Idle")
    assert installation.replicas("ai-worker-asleep") == 0


def _wait_condition(
    installation: Installation,
    stream: str,
    type_: str,
    status: str = "True",
    seconds: float = SCALED_SECONDS,
) -> None:
    wait_until(
        lambda: installation.condition(stream, type_)[0] == status,
        f"condition {type_} of {stream} that is {status}",
        seconds,
    )


def _wait_told(installation: Installation, stream: str, pattern: str) -> None:
    """An event is written after what it tells of."""
    wait_until(
        lambda: any(re.match(pattern, each) for each in installation.events(stream)),
        f"event of {stream} that begins with {pattern}",
        SCALED_SECONDS,
    )


def _wait_phase(installation: Installation, stream: str, phase: str) -> None:
    wait_until(
        lambda: installation.stream(stream)["phase"] == phase,
        f"phase {phase} of {stream}",
        SCALED_SECONDS,
    )


def _texts(stream: str, begin: int, end: int) -> list[str]:
    return [f"Order {number} of {stream} is on its way." for number in range(begin, end)]


def _patch(installation: Installation, stream: str, spec: dict[str, object]) -> None:
    installation.kubectl("patch", "es", stream, "--type=merge", "-p", json.dumps({"spec": spec}))
