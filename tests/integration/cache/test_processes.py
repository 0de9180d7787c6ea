"""The same question in several processes at once: one call of the model for all of them."""

import asyncio
import sys
from asyncio.subprocess import PIPE

from eventstream.redis_client import AsyncRedis
from tests.integration.cache.support import command

PROCESSES = 4


async def test_one_question_in_four_processes_is_asked_once(
    cache_url: str, cache_client: AsyncRedis, prefix: str
) -> None:
    asker = [sys.executable, "-m", "tests.integration.cache.asker", cache_url, prefix]
    processes = [
        await asyncio.create_subprocess_exec(*asker, stdout=PIPE) for _ in range(PROCESSES)
    ]
    try:
        joined: set[bytes] = set()
        while len(joined) < PROCESSES:  # nobody gets an answer before all lead or wait
            came = await command(cache_client, "BLPOP", f"{prefix}joined", 4)
            joined |= {came[1]} if came else set()
            assert all(process.returncode is None for process in processes)
        await command(cache_client, "RPUSH", f"{prefix}go", *range(PROCESSES))
        async with asyncio.timeout(60):
            answers = [(await process.communicate())[0] for process in processes]
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
                await process.wait()

    assert answers == [b"on its way\n"] * PROCESSES
    assert int(await command(cache_client, "GET", f"{prefix}asked")) == 1
