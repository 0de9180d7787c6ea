"""Long polls: waiting for a result by notification, for no longer than somebody is there to get it.

A wait ends with the result, with its time, with the client, or with the process: whichever is
first. It never asks Redis again and again.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request

from eventstream.api.context import context_of
from eventstream.api.parts import parts_of
from eventstream.api.replies import NO_STORE, Reply
from eventstream.events import TaskStatus
from eventstream.metrics import HTTP_WAITING
from eventstream.tasks import end


async def finished_within(request: Request, task_id: str, seconds: float) -> TaskStatus | None:
    """The task's status once it is finished, or as it stands when the wait ends.

    None: never accepted, or expired. Raises StoreUnavailable; ClientDisconnect when the client
    left.
    """
    parts = parts_of(request)
    context_of(request).waited = True
    waits: tuple[asyncio.Task[Any], ...] = (
        finished := asyncio.create_task(parts.finished.wait_for(parts.results, task_id, seconds)),
        left := asyncio.create_task(_client_left(request)),
        asyncio.create_task(parts.lifecycle.stopping.wait()),
    )
    HTTP_WAITING.inc()
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if finished.done():
            return finished.result()
        if left.done():
            raise ClientDisconnect
        return await parts.results.status(task_id)  # The process stops: answer what is known.
    finally:
        HTTP_WAITING.dec()
        await end(*waits)


def status_reply(status: TaskStatus) -> Reply:
    """`GET /task/{id}`'s body: all five fields; a result leaves out what it does not have."""
    result = status.result.model_dump(exclude_none=True) if status.result is not None else None
    return Reply(
        200,
        orjson.dumps(
            {
                "task_id": status.task_id,
                "status": status.status,
                "result": result,
                "error": status.error,
                "progress": status.progress,
            }
        ),
        (NO_STORE,),
    )


async def _client_left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass  # What is left of a body that nobody needs.
