"""`GET /task/{id}` and `DELETE /task/{id}`."""

from __future__ import annotations

from starlette.requests import Request

from eventstream.api.context import context_of
from eventstream.api.parameters import wait_seconds
from eventstream.api.parts import parts_of
from eventstream.api.problems import HttpReason, Problem
from eventstream.api.replies import Reply, json_reply
from eventstream.api.schemas import TaskRemoved
from eventstream.api.waiting import finished_within, status_reply
from eventstream.claims import Cancellation


async def get_task(request: Request) -> Reply:
    """Where a task stands, or its result; with `?wait=` stay until it is finished."""
    task_id = _task_id(request)
    wait = wait_seconds(request)
    if wait:
        status = await finished_within(request, task_id, wait)
    else:
        status = await parts_of(request).results.status(task_id)
    if status is None:
        raise _not_found()
    return status_reply(status)


async def delete_task(request: Request) -> Reply:
    """Cancel an unfinished task, or forget a finished one's result."""
    task_id = _task_id(request)
    cancellation = await parts_of(request).inbox.cancel(task_id)
    if cancellation is Cancellation.NOT_FOUND:
        raise _not_found()
    if cancellation is Cancellation.CANCELLED:
        return json_reply(
            TaskRemoved(
                task_id=task_id,
                status="cancelled",
                message="The task will not be worked on; its status is FAILURE, reason cancelled",
            )
        )
    return json_reply(
        TaskRemoved(task_id=task_id, status="forgotten", message="The task's result is gone")
    )


def _task_id(request: Request) -> str:
    task_id: str = request.path_params["task_id"]
    context_of(request).name_event(task_id)
    return task_id


def _not_found() -> Problem:
    return Problem(
        HttpReason.TASK_NOT_FOUND,
        "No task with this id was ever accepted, or its result has expired (an hour after it was"
        " finished, unless RESULT_TTL_SECONDS says otherwise)",
    )
