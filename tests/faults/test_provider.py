"""A provider of models on its bad days: events wait, and each gets the answer that is its own."""

from __future__ import annotations

import pytest

from tests.e2e.services import until
from tests.faults.installation import SECONDS, Installation, Lines
from tests.faults.provider import Mood

pytestmark = pytest.mark.timeout(900)

EVENTS = 1000
KINDS: dict[Mood, set[str]] = {
    "limits": {"rate_limited"},
    "breaks": {"server_error"},
    # The client's transport calls a connection that ends without a word a time-out.
    "cuts": {"connection", "timeout"},
    "cuts_body": {"connection"},
    "talks_nonsense": {"malformed_answer"},
    "refuses_key": {"key_refused"},
    "hangs": {"timeout"},
}
"""As what each mood shows in log and metrics."""


@pytest.mark.parametrize(
    ("mood", "requests"),
    [
        ("limits", 60),
        ("breaks", 60),
        ("cuts", 60),
        ("cuts_body", 60),
        ("talks_nonsense", 60),
        ("refuses_key", 20),
        # A call that never returns costs its slot until the event's deadline, and no event.
        ("hangs", 40),
    ],
)
def test_a_bad_mood_costs_time_and_no_event(site: Installation, mood: Mood, requests: int) -> None:
    before = site.counters()
    lines = Lines(site.worker)
    met = site.provider.misbehaved[mood]
    site.provider.seconds = 0.02
    ids = site.send(EVENTS)
    site.until_answered(50, before)

    site.provider.misbehave(mood, requests)
    posting = site.post_many(20)
    until(
        lambda: site.provider.misbehaved[mood] >= met + requests or lines.say("event_deferred"),
        SECONDS,
        lambda: f"{site.provider.misbehaved} {site.worker.tail()}",
    )

    site.provider.seconds = 0
    site.settle(before, [*ids, *posting()])
    assert site.provider.misbehaved[mood] > met
    assert lines.say("a model call failed")
    kinds = KINDS[mood]
    took = "gen_ai_client_operation_duration_seconds_count"
    assert sum(site.metric("worker", took, error_type=kind) for kind in kinds) > 0
    assert kinds & {line["kind"] for line in lines if line["event"] == "a model call failed"}
    if mood == "refuses_key":
        assert lines.say("the provider refuses the key or its account is spent: events wait")
    # Not even where the provider quotes it.
    for service in site.deployment.services:
        assert site.environment["OPENAI_API_KEY"] not in service.log.read_text("utf-8")
    site.works_as_ever()
