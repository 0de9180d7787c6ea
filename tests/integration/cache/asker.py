"""A process that asks one question through the cache: `python -m ... URL PREFIX`.

What it does it says in Redis: `PREFIXjoined` when it leads or waits, `PREFIXasked` for each call of
the model, whose answer is there once something is in `PREFIXgo`.
"""

import asyncio
import os
import sys

from eventstream.cache.contract import CacheEntry
from eventstream.cache.flight import FlightLease
from eventstream.cache.store import SemanticCache
from eventstream.redis_client import AsyncRedis, connect
from tests.integration.cache.support import command, query

ASKED = query("Where is my parcel?")


async def answer(client: AsyncRedis, prefix: str) -> bytes:
    cache = SemanticCache(client, prefix=prefix, timeout_seconds=5)
    while True:
        [found] = await cache.look_up([ASKED], None)
        if found.response is not None:
            return found.response
        claim = await cache.claim_flight(found.key)
        await command(client, "LPUSH", f"{prefix}joined", os.getpid())
        if not isinstance(claim, FlightLease):
            await claim.wait()
            continue
        async with claim:
            again = await cache.look_again(ASKED)
            if again.response is not None:
                return again.response
            await command(client, "INCR", f"{prefix}asked")
            await command(client, "BLPOP", f"{prefix}go", 60)
            await cache.store([CacheEntry(ASKED, b"on its way", 60)])
            return b"on its way"


async def main(url: str, prefix: str) -> None:
    client = connect(url, timeout_seconds=60)
    print((await answer(client, prefix)).decode())
    await client.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
