"""GET and DELETE /task/{id}."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import quote

import httpx
import pytest

from eventstream.claims import Arrival, Held
from eventstream.events import Event, KafkaSource, TaskStatus
from eventstream.inbox import Inbox

Answer = Callable[..., Awaitable[list[Held]]]


async def accepted(client: httpx.AsyncClient) -> str:
    answer = await client.post("/process", json={"text": "How is it?"})
    task_id: str = answer.json()["task_id"]
    return task_id


async def test_pending_then_started_then_success(
    client: httpx.AsyncClient, inbox: Inbox, answer: Answer
) -> None:
    task_id = await accepted(client)
    pending = (await client.get(f"/task/{task_id}")).json()
    assert pending.keys() == {"task_id", "status", "result", "error", "progress"}
    assert (pending["status"], pending["result"]) == ("PENDING", None)
    await answer()
    done = (await client.get(f"/task/{task_id}")).json()
    assert (done["task_id"], done["status"], done["error"]) == (task_id, "SUCCESS", None)
    assert done["result"] == {
        "response": "positive",
        "task_type": "general_analysis",
        "model": "test/model",
        "processing_time": 0.25,
        "from_cache": False,
        "metadata": {"tokens_used": 12},
    }
    TaskStatus.model_validate(done, strict=False)


@pytest.mark.parametrize(
    "task_id",
    ["never-accepted", "x" * 3000, "a/b/c", "%00", "%0a", "%ff%fe", "..%2f..", "%F0%9F%98%80", ""],
)
async def test_an_id_never_accepted_is_404(client: httpx.AsyncClient, task_id: str) -> None:
    for method in ("GET", "DELETE"):
        answer = await client.request(method, f"/task/{task_id}")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("task_id", ["orders/2026/7", "a b", "ñandú", "reviews.raw-0-17-1", "?#%"])
async def test_ids_from_kafka_may_be_anything_printable(
    client: httpx.AsyncClient, inbox: Inbox, task_id: str
) -> None:
    event = Event(
        id=task_id,
        stream="default",
        via="kafka",
        text="How is it?",
        task_type="general_analysis",
        temperature=0.7,
        max_tokens=1000,
        source=KafkaSource(topic="reviews.raw", partition=0, offset=17),
    )
    await inbox.accept([Arrival(event)])
    answer = await client.get(f"/task/{quote(task_id)}")
    assert answer.status_code == 200
    assert answer.json()["task_id"] == task_id


async def test_a_long_poll_ends_with_the_result(client: httpx.AsyncClient, answer: Answer) -> None:
    task_id = await accepted(client)
    polls = [asyncio.create_task(client.get(f"/task/{task_id}?wait=30")) for _ in range(5)]
    await asyncio.sleep(0.05)
    await answer()
    assert {(await poll).json()["status"] for poll in polls} == {"SUCCESS"}


async def test_a_long_poll_ends_with_its_time(client: httpx.AsyncClient) -> None:
    task_id = await accepted(client)
    answer = await client.get(f"/task/{task_id}?wait=0.05")
    assert (answer.status_code, answer.json()["status"]) == (200, "PENDING")


async def test_a_long_poll_for_an_unknown_id_does_not_wait(client: httpx.AsyncClient) -> None:
    assert (await client.get("/task/never?wait=60")).status_code == 404


@pytest.mark.parametrize("wait", ["-1", "61", "NaN", "soon"])
async def test_a_wrong_wait_is_422(client: httpx.AsyncClient, wait: str) -> None:
    answer = await client.get(f"/task/never?wait={wait}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "wait")


async def test_cancelling_ends_a_task_and_whoever_waits_for_it(
    client: httpx.AsyncClient, inbox: Inbox
) -> None:
    task_id = await accepted(client)
    poll = asyncio.create_task(client.get(f"/task/{task_id}?wait=30"))
    await asyncio.sleep(0.05)
    cancelled = await client.delete(f"/task/{task_id}")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    status = (await poll).json()
    assert (status["status"], status["progress"]["reason"]) == ("FAILURE", "cancelled")
    assert (await inbox.claim("ai_processing", "test", 10)).fresh == ()


async def test_deleting_a_finished_task_forgets_it(
    client: httpx.AsyncClient, answer: Answer
) -> None:
    task_id = await accepted(client)
    await answer()
    assert (await client.delete(f"/task/{task_id}")).json()["status"] == "forgotten"
    assert (await client.get(f"/task/{task_id}")).status_code == 404
    assert (await client.delete(f"/task/{task_id}")).status_code == 404
