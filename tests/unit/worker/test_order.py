"""HTTP first, with a share kept for the rest, and turns among the rest."""

from __future__ import annotations

from eventstream.worker.order import claim_order

QUEUES = ("ai_processing", "kafka_events", "default", "reviews", "tickets")


def test_http_is_first_in_three_of_four_claims() -> None:
    first = [claim_order(QUEUES, turn)[0] for turn in range(8)]

    assert [queue == "ai_processing" for queue in first] == [True, True, True, False] * 2


def test_the_rest_takes_turns() -> None:
    rest = {claim_order(QUEUES, turn)[2] for turn in range(3)}

    assert rest == {"kafka_events", "reviews", "tickets"}


def test_every_claim_looks_everywhere() -> None:
    for turn in range(8):
        assert sorted(claim_order(QUEUES, turn)) == sorted(QUEUES)


def test_without_http_the_rest_has_everything() -> None:
    assert claim_order(("reviews",), 0) == ["reviews"]
