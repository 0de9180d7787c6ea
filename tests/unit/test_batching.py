"""Natural batching: what arrives while a flush is under way goes together."""

from __future__ import annotations

import asyncio

import pytest

from eventstream.batching import Batcher


async def test_the_first_does_not_wait_and_the_next_go_together() -> None:
    batches: list[list[int]] = []
    go_on = asyncio.Event()

    async def flush(batch: list[int]) -> list[int]:
        batches.append(batch)
        await go_on.wait()
        return [item * 10 for item in batch]

    batcher: Batcher[int, int] = Batcher(flush, max_items=3)
    tasks = [asyncio.create_task(batcher.submit(1))]
    while not batches:
        await asyncio.sleep(0)
    tasks += [asyncio.create_task(batcher.submit(item)) for item in (2, 3, 4, 5)]
    await asyncio.sleep(0)
    go_on.set()

    assert await asyncio.gather(*tasks) == [10, 20, 30, 40, 50]
    assert batches == [[1], [2, 3, 4], [5]]


async def test_a_failed_flush_fails_its_batch_and_no_other() -> None:
    async def flush(batch: list[int]) -> list[int]:
        if 1 in batch:
            raise OSError("away")
        return batch

    batcher: Batcher[int, int] = Batcher(flush, max_items=1)
    with pytest.raises(OSError, match="away"):
        await batcher.submit(1)

    assert await batcher.submit(2) == 2


async def test_an_exception_among_the_answers_is_raised_by_its_own_waiter_alone() -> None:
    async def flush(batch: list[int]) -> list[int | Exception]:
        return [OSError("away") if item == 2 else item for item in batch]

    batcher: Batcher[int, int] = Batcher(flush, max_items=3)
    answers = await asyncio.gather(
        *(batcher.submit(item) for item in (1, 2, 3)), return_exceptions=True
    )

    assert (answers[0], answers[2]) == (1, 3)
    assert isinstance(answers[1], OSError)


async def test_closing_waits_for_what_was_submitted_and_a_waiter_may_leave() -> None:
    flushed: list[int] = []

    async def flush(batch: list[int]) -> list[int]:
        await asyncio.sleep(0)
        flushed.extend(batch)
        return batch

    batcher: Batcher[int, int] = Batcher(flush, max_items=10)
    leaving = asyncio.create_task(batcher.submit(1))
    await asyncio.sleep(0)
    leaving.cancel()
    await batcher.aclose()

    assert flushed == [1]


async def test_what_nobody_waits_for_any_more_is_dropped_where_that_is_asked_for() -> None:
    flushed: list[list[int]] = []
    go_on = asyncio.Event()

    async def flush(batch: list[int]) -> list[int]:
        flushed.append(batch)
        await go_on.wait()
        return batch

    batcher: Batcher[int, int] = Batcher(flush, max_items=2, wanted_only=True)
    tasks = [asyncio.create_task(batcher.submit(1))]
    while not flushed:
        await asyncio.sleep(0)
    tasks += [asyncio.create_task(batcher.submit(item)) for item in range(2, 8)]
    await asyncio.sleep(0)
    for leaving in tasks[:4]:
        leaving.cancel()
    await asyncio.sleep(0)
    go_on.set()

    assert await asyncio.gather(*tasks[4:]) == [5, 6, 7]
    # The first was under way already.
    assert flushed == [[1], [5, 6], [7]]
