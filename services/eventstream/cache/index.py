"""The vector index of one embedding model: made when missing, rebuilt as HNSW when it has grown.

A flat index is exact and cheap up to about ten thousand entries; above, a search of it holds the
server up for everyone. The rebuilt index fills up under a new name while searches still go to the
old one; then the alias moves. One process builds at a time, under a lock that expires by itself.
Answers are stored once, as hashes; every index only points at them.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from redis.exceptions import ResponseError
from redisvl.schema import IndexSchema

from eventstream.cache.keys import CacheKeys, text_digest
from eventstream.cache.server import RELEASE_SCRIPT, RENEW_SCRIPT, search_node

Algorithm = Literal["flat", "hnsw"]

HNSW_FROM_ENTRIES = 10_000
HNSW_EF_RUNTIME = 128
"""How many candidates a search keeps. Among 100,000 vectors without any structure (of 384 numbers,
the worst case) the server's default of 10 finds the nearest in 42 % of all searches, 100 in 98 %,
and 200 always, at 5 and 9 times the time; a flat index takes 80 times as long.
"""
_LOCK_MILLISECONDS = 60_000
_BUILD_POLL_SECONDS = 0.1


def model_digest(embedding_model: str, dimension: int) -> str:
    """The name of an embedding model inside keys and fields: 16 hexadecimal digits."""
    return text_digest(f"{embedding_model}\n{dimension}")[:16]


def vector_field(model: str) -> str:
    """The field that holds the vectors of the embedding model with this digest."""
    return f"vector_{model}"


@dataclass(frozen=True)
class IndexInfo:
    """An index as the server describes it."""

    name: str
    algorithm: Algorithm
    entries: int
    building: bool


class VectorIndex:
    """The index of one embedding model on one server, reached through its alias."""

    def __init__(
        self,
        client: Any,
        keys: CacheKeys,
        model: str,
        dimension: int,
        *,
        hnsw_from_entries: int = HNSW_FROM_ENTRIES,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._keys = keys
        self._model = model
        self._dimension = dimension
        self._hnsw_from_entries = hnsw_from_entries
        self._sleep = sleep
        self.alias = keys.alias(model)

    async def ensure(self) -> bool:
        """Whether there is an index to search; makes one when nobody else does.

        Raises redis' ResponseError where the server has no vector search.
        """
        if await self.info() is not None:
            return True
        token = await self._lock()
        if token is None:
            return False
        try:
            if await self.info() is None:
                size = await self._client.dbsize()
                grown = size >= self._hnsw_from_entries
                await self._build("hnsw" if grown else "flat")
        finally:
            await self._unlock(token)
        return True

    async def grow(self) -> bool:
        """Rebuild a flat index that has grown as HNSW; whether this call did.

        Takes seconds for ten thousand entries, during which searches use the old index.
        """
        info = await self.info()
        if info is None or info.algorithm == "hnsw" or info.entries < self._hnsw_from_entries:
            return False
        token = await self._lock()
        if token is None:
            return False
        try:
            info = await self.info()
            if info is None or info.algorithm == "hnsw":
                return False
            await self._build("hnsw", token)
            # The hashes stay: they are the answers, and the new index points at them now.
            await self._on_index("FT.DROPINDEX", info.name)
            return True
        finally:
            await self._unlock(token)

    async def info(self) -> IndexInfo | None:
        """The index behind the alias; None when there is none.

        Raises redis' ResponseError, also where the server describes it in other words than Redis.
        """
        return await self._info(self.alias)

    async def _info(self, name: str) -> IndexInfo | None:
        try:
            reply = await self._on_index("FT.INFO", name)
        except ResponseError as error:
            if is_missing_index(error):
                return None
            raise
        return read_info(reply)

    async def _build(self, algorithm: Algorithm, token: str = "") -> None:
        await self._drop_leftovers()
        name = self._keys.index(self._model, algorithm, secrets.token_hex(4))
        schema = IndexSchema.from_dict(
            {
                "index": {
                    "name": name,
                    "prefix": self._keys.entries,
                    "storage_type": "hash",
                },
                "fields": [
                    {"name": "stream", "type": "tag", "attrs": {"case_sensitive": True}},
                    {"name": "task_type", "type": "tag", "attrs": {"case_sensitive": True}},
                    {"name": "model", "type": "tag", "attrs": {"case_sensitive": True}},
                    {"name": "scope", "type": "tag"},
                    {
                        "name": vector_field(self._model),
                        "type": "vector",
                        "attrs": {
                            "algorithm": algorithm,
                            "dims": self._dimension,
                            "distance_metric": "cosine",
                            "datatype": "float32",
                            **({"ef_runtime": HNSW_EF_RUNTIME} if algorithm == "hnsw" else {}),
                        },
                    },
                ],
            }
        )
        # Sent by hand: RedisVL's own call does not know where to send it in a cluster.
        fields = [part for field in schema.redis_fields for part in field.redis_args()]
        place = ("ON", "HASH", "PREFIX", 1, self._keys.entries)
        await self._on_index("FT.CREATE", name, *place, "SCHEMA", *fields)
        while token and (info := await self._info(name)) is not None and info.building:
            await self._renew(token)
            await self._sleep(_BUILD_POLL_SECONDS)
        await self._on_index("FT.ALIASUPDATE", self.alias, name)

    async def _on_index(self, *command: str | int) -> Any:
        node = await search_node(self._client)
        return await self._client.execute_command(*command, **node)

    async def _drop_leftovers(self) -> None:
        """Remove what a builder left that was killed before its alias moved."""
        current = await self.info()
        for name in map(_text, await self._on_index("FT._LIST")):
            if name.startswith(f"{self.alias}:") and (current is None or name != current.name):
                await self._on_index("FT.DROPINDEX", name)

    async def _lock(self) -> str | None:
        token = secrets.token_hex(8)
        taken = await self._client.set(
            self._keys.index_lock(self._model), token, nx=True, px=_LOCK_MILLISECONDS
        )
        return token if taken else None

    async def _renew(self, token: str) -> None:
        key = self._keys.index_lock(self._model)
        await self._client.eval(RENEW_SCRIPT, 1, key, token, _LOCK_MILLISECONDS)

    async def _unlock(self, token: str) -> None:
        await self._client.eval(RELEASE_SCRIPT, 1, self._keys.index_lock(self._model), token)


def is_missing_index(error: BaseException) -> bool:
    """Whether the server says that the index is not there (any more)."""
    message = str(error).lower()
    return "no such index" in message or "unknown index" in message or "not found" in message


def read_info(reply: Any) -> IndexInfo:
    """What FT.INFO says; raises redis' ResponseError where it is in other words than Redis'."""
    try:
        fields = _as_dict(reply)
        algorithm: Algorithm = "flat"
        for attribute in fields[b"attributes"]:
            if b"HNSW" in _flattened(attribute):
                algorithm = "hnsw"
        return IndexInfo(
            name=_text(fields[b"index_name"]),
            algorithm=algorithm,
            entries=int(fields[b"num_docs"]),
            building=float(fields[b"indexing"]) > 0,
        )
    except (LookupError, TypeError, ValueError) as error:
        # MemoryDB, for one, uses other words.
        raise ResponseError(f"its FT.INFO can't be read: {error!r}") from error


def _as_dict(reply: Any) -> dict[bytes, Any]:
    if isinstance(reply, dict):
        return {_bytes(key): value for key, value in reply.items()}
    return {_bytes(reply[at]): reply[at + 1] for at in range(0, len(reply), 2)}


def _flattened(attribute: Any) -> list[bytes]:
    parts = attribute.values() if isinstance(attribute, dict) else attribute
    return [_bytes(part) for part in parts if isinstance(part, bytes | str)]


def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
