"""What a request that failed says of itself: above all, whether it may have been carried out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from kubernetes.aio import client

from eventstream_operator.cluster import DEPLOYMENTS, POD_METRICS, PODS, Cluster, ClusterError
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


async def fails_to_write(request: web.Request) -> web.Response:
    return await unable(request) if request.method != "GET" else web.json_response({})


async def hangs_at_writes(request: web.Request) -> web.Response:
    return await nothing(request) if request.method != "GET" else web.json_response({})


async def metrics_unable(request: web.Request) -> web.Response:
    return await unable(request) if "metrics.k8s.io" in request.path else await empty(request)


async def metrics_hang(request: web.Request) -> web.Response:
    return await nothing(request) if "metrics.k8s.io" in request.path else await empty(request)


async def empty(_: web.Request) -> web.Response:
    return web.json_response({"metadata": {"resourceVersion": "9"}, "items": []})


PATIENCE: dict[Answer, float] = {nothing: 0.3, hangs_at_writes: 2.0, metrics_hang: 2.0}
"""Seconds. Only where no answer comes is its end what is looked at; the last two answer too."""


@pytest.fixture
async def cluster(answer: Answer) -> AsyncIterator[Cluster]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    configuration = client.Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")
    patience = PATIENCE.get(answer, 20.0)
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


@pytest.mark.parametrize(
    ("answer", "interruptions"),
    [(fails_to_write, 0), (hangs_at_writes, 0), (unable, 1), (nothing, 1)],
)
async def test_what_still_reads_an_object_is_not_away(cluster: Cluster, interruptions: int) -> None:
    with pytest.raises(ClusterError) as raised:
        await cluster.merge(DEPLOYMENTS, "worker", {"spec": {"replicas": 2}}, subresource="scale")
    assert cluster.interruptions == interruptions
    # It may be over in a moment.
    assert not raised.value.refused


@pytest.mark.parametrize("answer", [metrics_unable, metrics_hang])
async def test_a_metrics_server_that_is_away_is_no_api_server_that_is(cluster: Cluster) -> None:
    for _ in range(2):
        with pytest.raises(ClusterError):
            await cluster.list(POD_METRICS)
        await cluster.list(PODS)
    assert cluster.interruptions == 0
