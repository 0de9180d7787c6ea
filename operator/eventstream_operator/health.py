"""Liveness and metrics over HTTP.

Alive is who finishes passes: a process whose watches run and whose loop hangs scales nothing.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from eventstream.errors import ConfigurationError
from eventstream_operator.metrics import REGISTRY


@asynccontextmanager
async def serve(
    host: str, port: int, *, finished_at: Callable[[], float | None], stalled_seconds: float
) -> AsyncIterator[int]:
    """Serve `/livez` and `/metrics` inside the block; yields the port.

    Raises ConfigurationError where the port can't be had.
    """
    started_at = time.monotonic()

    async def livez(_: web.Request) -> web.Response:
        last = finished_at()
        seconds = time.monotonic() - (started_at if last is None else last)
        what = "no pass yet" if last is None else "last pass finished"
        return web.Response(
            text=f"{what}, {seconds:.1f} s ago\n" if last else f"{what}, {seconds:.1f} s running\n",
            status=200 if seconds < stalled_seconds else 503,
        )

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    app = web.Application()
    app.router.add_get("/livez", livez)
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise ConfigurationError(
                "METRICS_PORT", f"port {port} can't be had ({error.strerror})", "Name another port"
            ) from error
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
