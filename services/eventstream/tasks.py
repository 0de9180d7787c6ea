"""Ending tasks for certain."""

from __future__ import annotations

import asyncio
from typing import Any, Final

ASK_AGAIN_SECONDS: Final = 0.5


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel the tasks and wait until they are over; what they raise is left in them.

    Cancelling once is not enough: on Python 3.11 `asyncio.wait_for`, which libraries use (the Redis
    client to connect), loses a cancellation that comes as what it waits for completes.
    """
    running = {task for task in tasks if not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=ASK_AGAIN_SECONDS)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # Marks it as seen.
