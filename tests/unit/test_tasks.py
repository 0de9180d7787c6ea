"""A task that loses its first cancellation is ended all the same."""

from __future__ import annotations

import asyncio
import contextlib

from eventstream.tasks import end


async def test_a_lost_cancellation_is_repeated() -> None:
    lost = 0

    async def loses_one() -> None:
        nonlocal lost
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        lost += 1
        await asyncio.Event().wait()

    task = asyncio.create_task(loses_one())
    await asyncio.sleep(0)
    await end(task)
    assert lost == 1
    assert task.cancelled()


async def test_what_a_task_raised_stays_with_it() -> None:
    async def fails() -> None:
        raise ValueError("seen by whoever asks")

    task = asyncio.create_task(fails())
    await asyncio.sleep(0)
    await end(task)
    assert isinstance(task.exception(), ValueError)
