"""The same question in several processes at once: one call of the model for all of them."""

import subprocess
import sys

from eventstream.redis_client import AsyncRedis
from tests.integration.cache.support import command

PROCESSES = 4


async def test_one_question_in_four_processes_is_asked_once(
    cache_url: str, cache_client: AsyncRedis, prefix: str
) -> None:
    asker = [sys.executable, "-m", "tests.integration.cache.asker", cache_url, prefix]
    processes = [
        subprocess.Popen(asker, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)
    ]
    try:
        joined = 0
        while joined < PROCESSES:  # nobody gets an answer before all lead or wait
            joined += bool(await command(cache_client, "BLPOP", f"{prefix}joined", 4))
            assert all(process.poll() is None for process in processes)
        await command(cache_client, "RPUSH", f"{prefix}go", *range(PROCESSES))
        answers = [process.communicate(timeout=60)[0].strip() for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait(20)

    assert answers == ["on its way"] * PROCESSES
    assert int(await command(cache_client, "GET", f"{prefix}asked")) == 1
