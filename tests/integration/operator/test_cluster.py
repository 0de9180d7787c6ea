"""What a request that failed says of itself: above all, whether it may have been carried out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from kubernetes.aio import client

from eventstream_operator.cluster import DEPLOYMENTS, Cluster, ClusterError
from tests.support.redis_server import free_port

Answer = Callable[[web.Request], Awaitable[web.Response]]


async def nothing(_: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


async def cut_off(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def unable(_: web.Request) -> web.Response:
    return web.json_response({"message": "etcdserver: request timed out"}, status=500)


async def a_page(_: web.Request) -> web.Response:
    return web.Response(text="<html>signed out</html>")


async def conflict(_: web.Request) -> web.Response:
    return web.json_response({"message": "the object has been modified"}, status=409)


@pytest.fixture
async def cluster(answer: Answer) -> AsyncIterator[Cluster]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    configuration = client.Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")
    # Only where no answer comes is the end of patience what is looked at.
    patience = 0.3 if answer is nothing else 20
    async with Cluster(configuration, "ai", timeout_seconds=patience) as cluster:
        yield cluster
    await runner.cleanup()


@pytest.mark.parametrize(
    ("answer", "status", "perhaps_done"),
    [
        (nothing, 0, True),
        (cut_off, 0, True),
        (unable, 500, True),
        (a_page, 0, True),
        (conflict, 409, False),
    ],
)
async def test_what_may_have_been_done_is_said(
    cluster: Cluster, status: int, perhaps_done: bool
) -> None:
    with pytest.raises(ClusterError) as raised:
        await cluster.merge(DEPLOYMENTS, "worker", {"spec": {"replicas": 2}}, subresource="scale")
    assert (raised.value.status, raised.value.perhaps_done) == (status, perhaps_done)


async def test_what_could_not_be_sent_was_not_done() -> None:
    nowhere = client.Configuration(host=f"http://127.0.0.1:{free_port()}")
    async with Cluster(nowhere, "ai", timeout_seconds=5) as cluster:
        with pytest.raises(ClusterError) as raised:
            await cluster.merge(DEPLOYMENTS, "worker", {}, subresource="scale")
    assert (raised.value.status, raised.value.perhaps_done) == (0, False)
