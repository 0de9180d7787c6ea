"""`eventstream flower`: Celery's own dashboard, as a browser meets it."""

from __future__ import annotations

import asyncio

import httpx

from tests.integration.cli.conftest import Live
from tests.support.redis_server import free_port


async def get_when_it_listens(url: str) -> httpx.Response:
    async with httpx.AsyncClient() as browser, asyncio.timeout(60):
        while True:
            try:
                return await browser.get(url)
            except httpx.ConnectError:
                await asyncio.sleep(0.1)


async def test_flower_shows_its_page_but_keeps_its_api_closed(
    env: dict[str, str], live: Live
) -> None:
    address = f"http://127.0.0.1:{(port := free_port())}"
    flower = await live("flower", "--port", str(port), env=env)

    page = await get_when_it_listens(f"{address}/workers")
    api = await get_when_it_listens(f"{address}/api/workers")

    assert "Flower" in page.text
    assert api.status_code == 401
    assert (await flower.interrupt())[0] == 0


async def test_with_a_log_in_the_page_asks_for_it(env: dict[str, str], live: Live) -> None:
    port = free_port()
    await live("flower", "--port", str(port), env={**env, "FLOWER_BASIC_AUTH": "ana:secret"})

    page = await get_when_it_listens(f"http://127.0.0.1:{port}/workers")

    assert page.status_code == 401
