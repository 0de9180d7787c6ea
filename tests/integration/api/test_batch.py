"""POST /process/batch: one outcome an event, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from eventstream.api.schemas import BatchAccepted
from eventstream.inbox import Inbox
from eventstream.metrics import EVENTS_REFUSED


def refusals() -> dict[tuple[str, str], float]:
    """What is counted by stream and reason of what came over HTTP."""
    [metric] = EVENTS_REFUSED.collect()
    return {
        (sample.labels["stream"], sample.labels["reason"]): sample.value
        for sample in metric.samples
        if sample.name.endswith("_total") and sample.labels["via"] == "http"
    }


@contextmanager
def refusals_counted() -> Iterator[dict[tuple[str, str], float]]:
    """What is counted within, there once it is over."""
    before = refusals()
    counted: dict[tuple[str, str], float] = {}
    yield counted
    now = {key: value - before.get(key, 0.0) for key, value in refusals().items()}
    counted.update({key: value for key, value in now.items() if value})


async def send(client: httpx.AsyncClient, events: Any, **headers: str) -> httpx.Response:
    return await client.post("/process/batch", json={"events": events}, headers=headers)


async def test_a_thousand_events(client: httpx.AsyncClient, inbox: Inbox) -> None:
    answer = await send(client, [{"text": f"text {number}"} for number in range(1000)])
    assert answer.status_code == 202
    accepted = BatchAccepted.model_validate(answer.json())
    assert (accepted.accepted, accepted.refused) == (1000, 0)
    held = (await inbox.claim("ai_processing", "test", 1000)).fresh
    assert [one.event.id for one in held] == [outcome.task_id for outcome in accepted.outcomes]
    assert held[999].event.text == "text 999"


async def test_what_is_wrong_with_one_does_not_hold_up_the_others(
    client: httpx.AsyncClient,
) -> None:
    answer = await send(
        client,
        [{"text": "one"}, {"text": ""}, "three", {"text": "four", "stream": "nope"}, {"text": "5"}],
    )
    assert answer.status_code == 202
    outcomes = answer.json()["outcomes"]
    assert [outcome["status"] for outcome in outcomes] == [
        "pending", "refused", "refused", "refused", "pending",
    ]  # fmt: skip
    assert [outcome["index"] for outcome in outcomes] == [0, 1, 2, 3, 4]
    assert [outcome["errors"][0]["field"] for outcome in outcomes[1:4]] == [
        "events.1.text", "events.2", "events.3.stream",
    ]  # fmt: skip
    assert (answer.json()["accepted"], answer.json()["refused"]) == (2, 3)


async def test_nothing_to_accept_is_a_problem_that_names_every_event(
    client: httpx.AsyncClient,
) -> None:
    answer = await send(client, [{"text": ""}, {"text": "a", "task_type": "poetry"}])
    assert answer.status_code == 422
    assert answer.json()["reason"] == "nothing_accepted"
    assert [error["reason"] for error in answer.json()["errors"]] == [
        "invalid_field", "unknown_task_type",
    ]  # fmt: skip


async def test_an_event_with_many_errors_crowds_out_no_other_ones(
    client: httpx.AsyncClient,
) -> None:
    many = {f"field{number}": 1 for number in range(20)}
    answer = await send(client, [many] * 999 + [{"text": ""}])
    named = [error["field"].split(".")[1] for error in answer.json()["errors"]]
    assert named == [str(index) for index in range(1000)]


async def test_errors_are_told_in_the_order_of_the_events(client: httpx.AsyncClient) -> None:
    two = {"text": "", "model": ""}
    answer = await send(client, [two, {"text": ""}, two])
    assert [error["field"] for error in answer.json()["errors"]] == [
        "events.0.text", "events.0.model", "events.1.text", "events.2.text", "events.2.model",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"events": []},
        {"events": "text"},
        {"events": [{"text": "a"}] * 1001},
        {"events": [{"text": "a"}], "other": 1},
    ],
)
async def test_a_wrong_envelope_is_422(client: httpx.AsyncClient, body: Any) -> None:
    answer = await client.post("/process/batch", json=body)
    assert answer.status_code == 422
    assert answer.json()["reason"] in ("invalid_field", "not_an_object")


async def test_a_repeated_batch_is_the_same_tasks(client: httpx.AsyncClient) -> None:
    events = [{"text": "same"}, {"text": "same"}]
    key = {"Idempotency-Key": "import-7"}
    first = (await send(client, events, **key)).json()["outcomes"]
    again = (await send(client, events, **key)).json()["outcomes"]
    assert [outcome["task_id"] for outcome in again] == [outcome["task_id"] for outcome in first]
    assert first[0]["task_id"] != first[1]["task_id"]
    assert [outcome["duplicate"] for outcome in first + again] == [False, False, True, True]


async def test_a_changed_event_of_a_repeated_batch_is_refused_alone(
    client: httpx.AsyncClient,
) -> None:
    key = {"Idempotency-Key": "import-8"}
    await send(client, [{"text": "one"}, {"text": "two"}], **key)
    answer = await send(client, [{"text": "one"}, {"text": "changed"}], **key)
    kept, changed = answer.json()["outcomes"]
    assert (kept["status"], kept["duplicate"]) == ("pending", True)
    assert changed["errors"][0]["reason"] == "id_conflict"


async def test_a_batch_that_is_refused_as_a_whole_is_counted_once(
    open_client: Callable[..., Any],
) -> None:
    wrong = {"content": b"{", "headers": {"Content-Type": "application/json"}}
    with refusals_counted() as counted:
        async with open_client(api_max_backlog=1) as client:
            await client.post("/process/batch", **wrong)
            await client.post("/process/batch", json={"events": []})
            await send(client, [{"text": ""}, {"text": "  "}])
            await send(client, [{"text": "a"}, {"text": "b"}])
            full = await send(client, [{"text": "c"}, {"text": "d"}])
    assert full.status_code == 503
    assert counted == {
        ("unknown", "invalid_json"): 1,
        ("unknown", "invalid_field"): 1 + 2,
        ("unknown", "backlog_full"): 1,
    }
