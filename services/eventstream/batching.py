"""Natural batching: while one flush is under way, the next items gather; at low load nothing waits.

Knows nothing of what it batches.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Batcher(Generic[Item, Answer]):
    """Gathers items into batches of at most `max_items` and hands each item its answer.

    `flush` takes a batch and returns one answer an item, in order. What it raises, every waiter of
    that batch raises; an exception among its answers, its own waiter alone. One flush runs at a
    time. `wanted_only`: an item whose waiter has left before its flush began is dropped.
    """

    def __init__(
        self,
        flush: Callable[[list[Item]], Awaitable[Sequence[Answer | Exception]]],
        *,
        max_items: int,
        wanted_only: bool = False,
    ) -> None:
        self._flush = flush
        self._max_items = max_items
        self._wanted_only = wanted_only
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Answer:
        """The answer for `item`, as soon as its batch is flushed."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._run())
        return await future

    async def aclose(self) -> None:
        """Wait until everything submitted so far is flushed."""
        while self._worker is not None and not self._worker.done():
            await asyncio.wait([self._worker])

    async def _run(self) -> None:
        while self._waiting:
            batch = self._next_batch()
            if not batch:
                return
            try:
                answers = await self._flush([item for item, _ in batch])
            except Exception as error:  # noqa: BLE001  # handed to every waiter, who decides
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
            else:
                for (_, future), answer in zip(batch, answers, strict=True):
                    if future.done():
                        continue
                    if isinstance(answer, Exception):
                        future.set_exception(answer)
                    else:
                        future.set_result(answer)

    def _next_batch(self) -> list[tuple[Item, asyncio.Future[Answer]]]:
        batch: list[tuple[Item, asyncio.Future[Answer]]] = []
        while self._waiting and len(batch) < self._max_items:
            waiting = self._waiting.popleft()
            if not (self._wanted_only and waiting[1].done()):
                batch.append(waiting)
        return batch
