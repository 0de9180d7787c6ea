"""What people ask of the cache rather than events: count, list, remove.

Everything walks with SCAN, a little at a time, so the server goes on serving look-ups; KEYS and
FLUSHDB would not let it, or would take other people's keys along. Raises what Redis raises.
"""

from typing import Any, Final

from eventstream.cache.histogram import HistogramWindow, read_window
from eventstream.cache.keys import CacheKeys
from eventstream.cache.server import search_node

_KEYS_AT_ONCE: Final = 1000


async def count_keys(client: Any, pattern: str) -> int:
    """How many keys match `pattern`."""
    count = 0
    async for _ in client.scan_iter(match=pattern, count=_KEYS_AT_ONCE):
        count += 1
    return count


async def unlink_all(client: Any, pattern: str) -> int:
    """Remove the keys that match `pattern`; how many were removed."""
    removed = 0
    batch: list[bytes] = []
    async for key in client.scan_iter(match=pattern, count=_KEYS_AT_ONCE):
        batch.append(key)
        if len(batch) == _KEYS_AT_ONCE:
            removed += await _unlink(client, batch)
            batch = []
    return removed + await _unlink(client, batch)


async def _unlink(client: Any, batch: list[bytes]) -> int:
    if not batch:
        return 0
    pipeline = client.pipeline(transaction=False)
    for key in batch:
        # Not `pipeline.unlink`: a cluster's pipeline turns that into many keys at once.
        pipeline.execute_command("UNLINK", key)
    return sum(await pipeline.execute())


async def read_indexes(client: Any, keys: CacheKeys) -> dict[str, str]:
    """The vector indexes under our prefix: embedding model digest -> FLAT or HNSW."""
    indexes = {}
    node = await search_node(client)
    for name in await client.execute_command("FT._LIST", **node):
        parts = keys.read_index(name.decode())
        if parts is not None:
            indexes[parts[0]] = parts[1].upper()
    return indexes


async def read_windows(client: Any, keys: CacheKeys, stream: str) -> list[HistogramWindow]:
    """The histogram of `stream`, by hour and task type, oldest first."""
    windows = []
    pattern = keys.similarities_pattern(stream)
    async for key in client.scan_iter(match=pattern, count=_KEYS_AT_ONCE):
        task_type, hour = keys.read_similarities(key.decode())
        windows.append(read_window(task_type, hour, await client.hgetall(key)))
    return sorted(windows, key=lambda window: (window.hour_start, window.task_type))
