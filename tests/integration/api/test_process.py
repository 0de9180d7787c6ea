"""POST /process: accepted means stored."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from eventstream.api import create_app
from eventstream.claims import Arrival, Held, Outcome
from eventstream.events import Event
from eventstream.inbox import Inbox
from eventstream.keys import Keys
from eventstream.redis_client import AsyncRedis
from eventstream.registry import Registry
from eventstream.settings import Settings
from eventstream.spec import Model, StreamSpec, Task

Answer = Callable[..., Awaitable[list[Held]]]

TEXT = "The parcel came two days late, but the support was lovely."


async def test_the_documented_answer(client: httpx.AsyncClient) -> None:
    answer = await client.post("/process", json={"text": TEXT, "task_type": "sentiment_analysis"})
    assert answer.status_code == 202
    body = answer.json()
    assert body.keys() == {"task_id", "status", "message", "estimated_time"}
    assert body["status"] == "pending"
    assert body["estimated_time"] == 2.0


async def test_an_accepted_event_is_in_the_inbox_as_it_was_asked(
    client: httpx.AsyncClient, inbox: Inbox
) -> None:
    answer = await client.post(
        "/process",
        json={
            "text": TEXT,
            "task_type": "sentiment",
            "use_cache": False,
            "temperature": 0,
            "max_tokens": 7,
        },
    )
    (held,) = (await inbox.claim("ai_processing", "test", 10)).fresh
    assert held.event == Event(
        id=answer.json()["task_id"],
        stream="default",
        via="http",
        text=TEXT,
        task_type="sentiment_analysis",
        use_cache=False,
        temperature=0,
        max_tokens=7,
    )


async def test_what_is_left_out_takes_the_documented_values(
    client: httpx.AsyncClient, inbox: Inbox
) -> None:
    await client.post("/process", json={"text": TEXT})
    (held,) = (await inbox.claim("ai_processing", "test", 10)).fresh
    event = held.event
    assert (event.task_type, event.use_cache, event.model) == ("general_analysis", True, None)
    assert (event.temperature, event.max_tokens) == (0.7, 1000)


async def test_an_accepted_event_wakes_a_worker(
    client: httpx.AsyncClient, redis_client: AsyncRedis, keys: Keys
) -> None:
    await client.post("/process", json={"text": TEXT})
    assert await redis_client.exists(keys.wake("ai_processing"))


async def test_other_streams_have_their_own_queue_labels_and_models(
    open_client: Callable[..., Any], registry: Registry, inbox: Inbox
) -> None:
    spec = StreamSpec(
        task=Task(type="triage", prompt="Where does this ticket belong?"),
        model=Model(provider="openai", name="gpt-4o-mini", allow=("gpt-4o",)),
    )
    await registry.write({"tickets": spec})
    body = {"text": TEXT, "stream": "tickets", "model": "gpt-4o"}
    async with open_client() as client:
        answer = await client.post("/process", json=body)
    assert answer.status_code == 202
    (held,) = (await inbox.claim("tickets", "test", 10)).fresh
    assert (held.event.task_type, held.event.model) == ("triage", "gpt-4o")


async def test_who_names_a_model_that_is_not_allowed_is_told_which_are(
    open_client: Callable[..., Any], registry: Registry
) -> None:
    two = StreamSpec.model_validate({"model": {"name": "gpt-4o-mini", "allow": ["gpt-4o"]}})
    await registry.write({"default": StreamSpec(), "two": two})
    said = {}
    async with open_client() as client:
        for stream in ("default", "two"):
            body = {"text": TEXT, "stream": stream, "model": "gpt-9"}
            said[stream] = (await client.post("/process", json=body)).json()["detail"]

    assert said["default"].endswith("'gpt-9'; leave it out: it allows no other (model.allow)")
    assert said["two"].endswith("; leave it out or name one of: gpt-4o-mini, gpt-4o")


@pytest.mark.parametrize(
    ("body", "status", "reason", "field"),
    [
        ({"text": TEXT, "stream": "nope"}, 404, "stream_not_found", "stream"),
        ({"text": TEXT, "task_type": "poetry"}, 422, "unknown_task_type", "task_type"),
        ({"text": TEXT, "model": "gpt-4o"}, 422, "model_not_allowed", "model"),
        ({"text": ""}, 422, "invalid_field", "text"),
        ({}, 422, "missing_text", "text"),
    ],
)
async def test_a_refusal_names_field_and_reason(
    client: httpx.AsyncClient, body: dict[str, Any], status: int, reason: str, field: str
) -> None:
    answer = await client.post("/process", json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["reason"], problem["errors"][0]["field"]) == (reason, field)
    assert str(body.get(field, "missing")) in problem["detail"] or field == "text"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b'{"text": "a", "temperature": NaN}', 422),
        (b'{"text": "\\ud800"}', 422),
        (b'{"text":' + b"[" * 50_000, 400),
        (b"null", 422),
        (b'["text"]', 422),
    ],
)
async def test_hostile_bodies_are_the_clients_mistake(
    client: httpx.AsyncClient, body: bytes, status: int
) -> None:
    headers = {"content-type": "application/json"}
    answer = await client.post("/process", content=body, headers=headers)
    assert answer.status_code == status
    assert (await client.post("/process", json={"text": TEXT})).status_code == 202


async def test_a_form_is_415(client: httpx.AsyncClient) -> None:
    answer = await client.post("/process", data={"text": TEXT})
    assert (answer.status_code, answer.json()["reason"]) == (415, "unsupported_media_type")


async def test_an_idempotency_key_makes_a_repeat_the_same_task(
    client: httpx.AsyncClient, inbox: Inbox
) -> None:
    headers = {"Idempotency-Key": "order-7"}
    first = await client.post("/process", json={"text": TEXT}, headers=headers)
    again = await client.post("/process", json={"text": TEXT}, headers=headers)
    assert first.json()["task_id"] == again.json()["task_id"]
    assert again.status_code == 202
    assert len((await inbox.claim("ai_processing", "test", 10)).fresh) == 1


async def test_an_idempotency_key_with_another_body_is_422(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "order-7"}
    await client.post("/process", json={"text": TEXT}, headers=headers)
    other = await client.post("/process", json={"text": "something else"}, headers=headers)
    assert (other.status_code, other.json()["reason"]) == (422, "id_conflict")
    assert other.json()["errors"][0]["field"] == "Idempotency-Key"


async def test_a_key_that_is_another_programs_is_422_and_says_so(
    client: httpx.AsyncClient, redis_client: AsyncRedis, keys: Keys
) -> None:
    headers = {"Idempotency-Key": "order-7"}
    first = await client.post("/process", json={"text": TEXT}, headers=headers)
    task_id = first.json()["task_id"]
    await redis_client.delete(keys.task_meta(task_id))
    await redis_client.set(keys.task_meta(task_id), "mine")

    refused = await client.post("/process", json={"text": TEXT}, headers=headers)

    assert (refused.status_code, refused.json()["reason"]) == (422, "id_conflict")
    assert "another program" in refused.json()["detail"]
    assert (await client.get(f"/task/{task_id}")).status_code == 404


async def test_two_idempotency_keys_are_422(client: httpx.AsyncClient) -> None:
    headers = [("Idempotency-Key", "order-7"), ("Idempotency-Key", "order-8")]
    answer = await client.post("/process", json={"text": TEXT}, headers=headers)
    assert (answer.status_code, answer.json()["reason"]) == (422, "invalid_parameter")
    assert answer.json()["detail"] == "Idempotency-Key is given more than once"


async def test_idempotency_keys_of_two_principals_do_not_meet(
    open_client: Callable[..., Any],
) -> None:
    async with open_client(api_keys="one,two") as client:
        answers = [
            await client.post(
                "/process",
                json={"text": text},
                headers={"Idempotency-Key": "order-7", "X-API-Key": key},
            )
            for key, text in (("one", "mine"), ("two", "yours"))
        ]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json()["task_id"] != answers[1].json()["task_id"]


async def test_with_wait_the_answer_comes_with_the_result(
    client: httpx.AsyncClient, answer: Answer
) -> None:
    asking = asyncio.create_task(client.post("/process?wait=30", json={"text": TEXT}))
    while not await answer():
        await asyncio.sleep(0.01)
    got = await asking
    assert got.status_code == 200
    assert got.json()["status"] == "SUCCESS"
    assert got.json()["result"]["response"] == "positive"
    assert got.json() == (await client.get(f"/task/{got.json()['task_id']}")).json()


async def test_with_a_wait_too_short_the_answer_is_the_usual_one(
    client: httpx.AsyncClient,
) -> None:
    got = await client.post("/process?wait=0.05", json={"text": TEXT})
    assert got.status_code == 202
    assert got.json()["status"] == "pending"


async def test_many_at_once_are_stored_once_each(client: httpx.AsyncClient, inbox: Inbox) -> None:
    answers = await asyncio.gather(
        *(client.post("/process", json={"text": f"text {number}"}) for number in range(300))
    )
    assert {answer.status_code for answer in answers} == {202}
    ids = {answer.json()["task_id"] for answer in answers}
    held = (await inbox.claim("ai_processing", "test", 1000)).fresh
    assert {one.event.id for one in held} == ids
    assert len(ids) == len(held) == 300


async def test_what_was_handed_in_before_the_end_is_stored(
    settings_for: Callable[..., Settings], inbox: Inbox
) -> None:
    app = create_app(settings_for())
    async with app.router.lifespan_context(app):
        handed_in = [
            asyncio.create_task(app.state.parts.acceptor.submit(Arrival(an_event(number))))
            for number in range(50)
        ]
        await asyncio.sleep(0)
    assert {(await acceptance).outcome for acceptance in handed_in} == {Outcome.ACCEPTED}
    assert len((await inbox.claim("ai_processing", "test", 100)).fresh) == 50


def an_event(number: int) -> Event:
    return Event(
        id=f"event-{number}",
        stream="default",
        via="http",
        text=TEXT,
        task_type="general_analysis",
        temperature=0.7,
        max_tokens=1000,
    )
