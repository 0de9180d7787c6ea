"""What every request gets, whatever its handler does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import httpx
import orjson
import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from eventstream.api.access import Doorkeeper
from eventstream.api.access_log import AccessRecord
from eventstream.api.edge import Edge
from eventstream.api.replies import Reply
from eventstream.errors import StoreUnavailable
from eventstream.settings import Settings

Behaviour = Callable[[], Awaitable[Reply]]


async def fine() -> Reply:
    return Reply(200, b"{}")


def behind_edge(
    behaviour: Behaviour = fine,
    route: str | None = "/task/{task_id}",
    settings: Settings | None = None,
    **options: Any,
) -> tuple[ASGIApp, list[AccessRecord]]:
    """An application that does as `behaviour` says, and the access records it leaves."""
    records: list[AccessRecord] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if route is not None:
            scope["route"] = SimpleNamespace(path_format=route)
        reply = await behaviour()
        await reply(scope, receive, send)

    door = Doorkeeper(settings or Settings())
    return Edge(app, door=door, access_log=records.append, **options), records


async def get(app: ASGIApp, path: str = "/task/7", **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.get(path, headers=headers)


async def test_every_answer_has_a_request_id_and_safe_headers() -> None:
    app, records = behind_edge()
    answer = await get(app)
    assert answer.headers["x-request-id"] == records[0].context.request_id
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_two_requests_have_two_ids() -> None:
    app, _ = behind_edge()
    first, second = await get(app), await get(app)
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


async def test_a_given_request_id_is_kept() -> None:
    app, _ = behind_edge()
    answer = await get(app, **{"X-Request-ID": "order-7.retry:2"})
    assert answer.headers["x-request-id"] == "order-7.retry:2"


@pytest.mark.parametrize("given", ["", "with space", "x" * 129, 'quote"', "new<line"])
async def test_a_request_id_that_could_harm_a_log_is_replaced(given: str) -> None:
    app, _ = behind_edge()
    answer = await get(app, **{"X-Request-ID": given})
    assert answer.headers["x-request-id"] != given


async def test_an_error_nobody_foresaw_is_a_problem_and_the_service_goes_on() -> None:
    async def fails() -> Reply:
        raise ZeroDivisionError("inside")

    app, records = behind_edge(fails)
    answer = await get(app)
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert records[0].fields()["reason"] == "internal_error"


async def test_a_store_that_is_away_is_503_and_counted() -> None:
    async def away() -> Reply:
        raise StoreUnavailable("Redis can't be reached while reading", 3)

    app, _ = behind_edge(away, route="/counted-away")
    answer = await get(app)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")
    assert sample("eventstream_store_unavailable_total", call="/counted-away") == 1


async def test_metrics_know_the_template_and_never_the_path() -> None:
    app, _ = behind_edge(route="/measured/{name}")
    await get(app, "/measured/a-secret-name")
    labels = {"method": "GET", "route": "/measured/{name}"}
    assert sample("eventstream_http_requests_total", status="200", **labels) == 1
    assert sample("eventstream_http_request_seconds_count", **labels) == 1


async def test_made_up_methods_share_a_label() -> None:
    app, _ = behind_edge(route="/methods")
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        await client.request("BREW", "/methods")
        await client.request("STEEP", "/methods")
    assert (
        sample("eventstream_http_requests_total", method="other", route="/methods", status="200")
        == 2
    )


async def test_a_bound_on_what_is_under_way_and_probes_always_pass() -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def waits() -> Reply:
        entered.set()
        await release.wait()
        return Reply(200, b"{}")

    app, _ = behind_edge(waits, most_at_once=1)
    first = asyncio.create_task(get(app))
    await entered.wait()
    refused = await get(app)
    assert (refused.status_code, refused.json()["reason"]) == (503, "busy")
    probe = asyncio.create_task(get(app, "/livez"))
    release.set()
    assert [(await first).status_code, (await probe).status_code] == [200, 200]
    assert (await get(app)).status_code == 200


async def test_a_client_that_left_is_noted_and_nothing_is_sent() -> None:
    async def left() -> Reply:
        raise ClientDisconnect

    app, records = behind_edge(left)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "path": "/task/1", "method": "GET", "headers": []}
    await app(scope, receive, send)
    assert sent == []
    assert records[0].status == 499


async def test_the_access_record_says_who_and_what_and_no_text() -> None:
    app, records = behind_edge()
    await get(app, "/task/a-secret-name?wait=3")
    fields = records[0].fields()
    assert {name: fields[name] for name in ("method", "route", "status", "principal")} == {
        "method": "GET",
        "route": "/task/{task_id}",
        "status": 200,
        "principal": "anonymous",
    }
    assert b"secret" not in orjson.dumps(fields)


async def test_who_has_no_key_asked_for_no_unknown_path() -> None:
    key = SecretStr("a-key-that-is-long-enough")
    app, records = behind_edge(settings=Settings(api_keys=(key,)))
    await get(app)
    await get(app, **{"X-API-Key": key.get_secret_value()})

    told = [(record.status, record.route, record.context.reason) for record in records]
    assert told == [(401, "not_routed", "key_missing"), (200, "/task/{task_id}", "")]
    assert sample("eventstream_http_requests_total", method="GET", route="not_routed", status="401")


async def test_a_path_that_no_route_has_is_unmatched() -> None:
    app, records = behind_edge(route=None)
    await get(app, "/nowhere")

    assert records[0].route == "unmatched"


def sample(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)
