"""Asked in a pod of the installation: what became of events, as the services' own readers see it.

Run as `python -c PROGRAM STREAM` with ids on standard input, one a line: prints, as JSON, the
stream's counters and how many of those events are in which state. Reads only.
"""

import asyncio
import json
import sys
from collections import Counter
from dataclasses import asdict

from eventstream.keys import Keys
from eventstream.redis_client import connect
from eventstream.results import Results
from eventstream.settings import load_settings

COUNTED = ("accepted", "answered", "failed", "duplicates", "conflicts")


async def main(stream: str, ids: list[str]) -> None:
    settings = load_settings()
    redis = connect(settings.state_url, timeout_seconds=10)
    try:
        results = Results(redis, Keys(settings.eventstream_prefix))
        counters = asdict((await results.counters([stream]))[stream])
        found = await results.statuses(ids) if ids else []
    finally:
        await redis.aclose()
    states = Counter("MISSING" if each is None else each.status.value for each in found)
    print(json.dumps({name: counters[name] for name in COUNTED} | {"states": states}))


asyncio.run(main(sys.argv[1], sys.stdin.read().split()))
