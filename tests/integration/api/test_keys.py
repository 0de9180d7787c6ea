"""API keys as a client meets them, and the key that is made."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from eventstream.keys import Keys
from eventstream.redis_client import AsyncRedis

Open = Callable[..., Any]
BODY = {"text": "How is it?"}
EVERYWHERE = "0.0.0.0"  # noqa: S104  # nothing listens there in these tests


async def test_without_a_key_only_the_open_paths_answer(open_client: Open) -> None:
    async with open_client(api_keys="one") as client:
        for path in ("/livez", "/readyz", "/health", "/docs", "/openapi.json"):
            assert (await client.get(path)).status_code == 200
        for path in ("/workers", "/metrics", "/streams", "/task/1", "/nope"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["reason"]) == (401, "key_missing")
            assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "headers", [{"Authorization": "Bearer two"}, {"X-API-Key": "one"}, {"X-API-Key": "two"}]
)
async def test_any_of_the_keys_opens(open_client: Open, headers: dict[str, str]) -> None:
    async with open_client(api_keys="one,two") as client:
        answer = await client.post("/process", json=BODY, headers=headers)
        assert answer.status_code == 202


async def test_a_read_only_key(open_client: Open) -> None:
    async with open_client(api_keys="writer", api_read_only_keys="reader") as client:
        client.headers["X-API-Key"] = "reader"
        assert (await client.get("/metrics")).status_code == 200
        refused = await client.post("/process", json=BODY)
        assert (refused.status_code, refused.json()["reason"]) == (403, "key_read_only")


async def test_a_key_is_made_once_and_every_instance_knows_it(
    open_client: Open,
    capsys: pytest.CaptureFixture[str],
    redis_client: AsyncRedis,
    keys: Keys,
) -> None:
    async with open_client(api_host=EVERYWHERE) as first:
        printed = capsys.readouterr().err
        (made,) = re.findall(r"es_[\w-]{40,}", printed)
        async with open_client(api_host=EVERYWHERE) as second:
            assert "es_" not in capsys.readouterr().err
            for client in (first, second):
                assert (await client.post("/process", json=BODY)).status_code == 401
                headers = {"Authorization": f"Bearer {made}"}
                answer = await client.post("/process", json=BODY, headers=headers)
                assert answer.status_code == 202
    stored = await redis_client.get(keys.api_keys)
    assert stored is not None
    assert made not in str(stored)


async def test_a_digest_that_is_none_keeps_the_door_shut(
    open_client: Open, redis_client: AsyncRedis, keys: Keys
) -> None:
    await redis_client.set(keys.api_keys, "not a digest")
    async with open_client(api_host=EVERYWHERE, wait_until_ready=False) as client:
        assert (await client.get("/streams", headers={"X-API-Key": "x"})).status_code == 503
        await redis_client.delete(keys.api_keys)
        await client.ready()
        assert (await client.get("/streams", headers={"X-API-Key": "x"})).status_code == 401


async def test_api_auth_none_opens_every_door_where_no_key_is_set(open_client: Open) -> None:
    async with open_client(api_host=EVERYWHERE, api_auth="none") as client:
        assert (await client.post("/process", json=BODY)).status_code == 202


async def test_a_web_page_that_points_its_name_at_this_machine_is_refused(
    open_client: Open,
) -> None:
    async with open_client() as client:
        answer = await client.post("/process", json=BODY, headers={"Host": "page.example:8000"})
        assert (answer.status_code, answer.json()["reason"]) == (403, "host_not_allowed")


async def test_no_other_origin_may_read(open_client: Open) -> None:
    async with open_client() as client:
        answer = await client.get("/metrics", headers={"Origin": "https://page.example"})
        assert "access-control-allow-origin" not in answer.headers
