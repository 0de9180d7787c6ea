"""What the cache's modules share about talking to its Redis, one server or a cluster."""

from typing import Any, Final

from redis.asyncio import RedisCluster
from redis.exceptions import RedisClusterException, RedisError

REDIS_FAILURES: Final = (RedisError, RedisClusterException, OSError, TimeoutError)
"""Everything that a Redis which is away, slow or refusing makes the client raise."""

RELEASE_SCRIPT: Final = (
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"
)
"""Give a lock up, if it is still one's own: KEYS the lock, ARGV one's token."""

RENEW_SCRIPT: Final = (
    "if redis.call('get', KEYS[1]) == ARGV[1] then"
    " return redis.call('pexpire', KEYS[1], ARGV[2]) end return 0"
)
"""Keep a lock, if it is still one's own: KEYS the lock, ARGV one's token and milliseconds."""


async def search_node(client: Any) -> dict[str, Any]:
    """Where a command on an index goes, which has no key to tell: options of `execute_command`.

    In a cluster any node answers for all of them; one fixed node sees its own changes at once.
    """
    if not isinstance(client, RedisCluster):
        return {}
    await client.initialize()
    return {"target_nodes": client.get_default_node()}
