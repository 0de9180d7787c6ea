"""How answers lie in Redis: one hash each, found by its name (exact) or by its vector.

A stored answer that this version can't read is a miss, never an error: another version may have
written it, and an operator may write anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from redisvl.query.filter import Tag

from eventstream.cache.contract import SCHEMA, CacheAnswer, CacheEntry, CacheQuery, FloatArray
from eventstream.cache.index import model_digest, vector_field
from eventstream.cache.keys import CacheKeys
from eventstream.cache.normalise import clean_text
from eventstream.cache.server import unavailable
from eventstream.cache.similarity import Similarity, from_distance

_SCHEMA: Final = str(SCHEMA).encode()
_EXACT_FIELDS: Final = ("schema", "response")
_DISTANCE: Final = "distance"
_READ_TOGETHER: Final = (
    "local found = {} for i, key in ipairs(KEYS) do"
    " found[i] = redis.pcall('HMGET', key, 'schema', 'response') end return found"
)
"""KEYS the entries; what `append_exact_read` answers for each, or its error."""
_READ_WITH_VECTORS: Final = (
    "local found = {} for i = 1, #KEYS, 2 do"
    " local entry = redis.pcall('HMGET', KEYS[i], 'schema', 'response')"
    " if not entry.err and (entry[1] ~= ARGV[1] or not entry[2]) then"
    " entry[3] = redis.pcall('GET', KEYS[i + 1]) end"
    " found[#found + 1] = entry end return found"
)
"""KEYS entries and vectors in turns, ARGV the schema; a vector only where no answer was found."""
_WRITE: Final = (
    "redis.call('UNLINK', KEYS[1]) redis.call('HSET', KEYS[1], unpack(ARGV, 2))"
    " return redis.call('EXPIRE', KEYS[1], ARGV[1])"
)
"""KEYS the entry, ARGV seconds, and fields and values in turns.

In one step, or a connection that breaks in its midst leaves an entry that never expires. First away
with what was there: another version's fields, or something that is no hash. The time is counted by
Redis' own clock, and once: reading an answer does not make it live longer.
"""


@dataclass(frozen=True)
class Candidate:
    """The nearest stored question of the same scope, and its answer."""

    text: str
    response: bytes
    similarity: Similarity


def entry_key(keys: CacheKeys, query: CacheQuery) -> str:
    """The key of the answer to exactly this question."""
    scope = query.scope
    return keys.entry(scope.stream, scope.task_type, scope.digest, query.text_digest)


def append_exact_read(pipeline: Any, keys: CacheKeys, query: CacheQuery) -> None:
    """Queue the one command whose reply `read_exact` reads."""
    pipeline.hmget(entry_key(keys, query), _EXACT_FIELDS)


def append_exact_reads(pipeline: Any, keys: CacheKeys, queries: Sequence[CacheQuery]) -> None:
    """Queue one command that reads many; its reply is for `read_together`.

    A command and its reply cost the client several times what they cost the server, so a claim is
    read by one script. Not on a cluster, where a command's keys must lie on one node.
    """
    names = [entry_key(keys, query) for query in queries]
    pipeline.eval(_READ_TOGETHER, len(names), *names)


def append_reads_with_vectors(
    pipeline: Any, keys: CacheKeys, queries: Sequence[CacheQuery], vectors: Sequence[str]
) -> None:
    """Queue one command that reads answers, and for those not there the vectors of their texts.

    Its reply is for `read_together`; `read_kept_vector` finds the vector in what that returns. One
    round trip fewer for a text that was seen before.
    """
    names = [
        name
        for query, vector in zip(queries, vectors, strict=True)
        for name in (entry_key(keys, query), vector)
    ]
    pipeline.eval(_READ_WITH_VECTORS, len(names), *names, _SCHEMA)


def read_kept_vector(reply: Any) -> Any:
    """What was kept under the vector's key, None where nothing was, or nobody looked."""
    found = isinstance(reply, list) and len(reply) > len(_EXACT_FIELDS)
    return reply[len(_EXACT_FIELDS)] if found else None


def read_together(reply: Any, count: int) -> list[Any]:
    """One reply a query, as `append_exact_read` has them; an error is the error of each."""
    return reply if isinstance(reply, list) and len(reply) == count else [reply] * count


def read_exact(reply: Any) -> bytes | None:
    """The response in the reply, if there is one of a known schema."""
    if not isinstance(reply, list) or len(reply) < len(_EXACT_FIELDS):
        return None
    schema, response = reply[: len(_EXACT_FIELDS)]
    return response if schema == _SCHEMA and isinstance(response, bytes) else None


def exact_answer(query: CacheQuery, reply: Any) -> CacheAnswer:
    """The exact hit in the reply of `append_exact_read`, or a miss."""
    response = read_exact(reply)
    if response is not None:
        return CacheAnswer("exact", "exact", query.key, response, 1.0, 1.0)
    refused = isinstance(reply, Exception) and not str(reply).startswith("WRONGTYPE")
    # A key that holds something else is just a miss.
    return CacheAnswer.miss(query, unavailable(reply) if refused else "")


def append_write(pipeline: Any, keys: CacheKeys, entry: CacheEntry) -> None:
    """Queue the command that stores `entry` and lets it expire; `read_writes` reads the reply."""
    scope = entry.query.scope
    fields: dict[str, bytes | str] = {
        "schema": _SCHEMA,
        "text": _bytes(clean_text(entry.query.text)),
        "response": entry.response,
        "stream": _bytes(scope.stream),
        "task_type": _bytes(scope.task_type),
        "model": _bytes(scope.model),
        "scope": scope.digest,
    }
    if entry.embedding is not None:
        vector = entry.embedding.vector
        name = vector_field(model_digest(entry.embedding.model, len(vector)))
        fields[name] = vector_bytes(vector)
    arguments = [word for field in fields.items() for word in field]
    pipeline.eval(_WRITE, 1, entry_key(keys, entry.query), entry.ttl_seconds, *arguments)


def read_writes(replies: Sequence[Any], entries: int) -> int:
    """How many of `entries` were stored, from the replies, which begin with their commands'."""
    return sum(not isinstance(reply, Exception) for reply in replies[:entries])


def search_command(
    alias: str, model: str, query: CacheQuery, vector: FloatArray, *, graph: bool = False
) -> tuple[bytes | str | int, ...]:
    """The command that finds the nearest stored question of the query's scope.

    `graph`: by walking the index's graph, else as the server chooses (see `plan`).
    """
    return (
        *("FT.SEARCH", alias, _nearest(query.scope.digest, model, graph)),
        *("RETURN", 4, "schema", "text", "response", _DISTANCE),
        *("SORTBY", _DISTANCE, "ASC", "LIMIT", 0, 1),
        *("PARAMS", 2, "vector", vector_bytes(vector), "DIALECT", 2),
    )


def count_command(alias: str, scope_digest: str) -> tuple[str | int, ...]:
    """The command that counts the entries of a scope."""
    scope = _in_scope(scope_digest)
    return ("FT.SEARCH", alias, scope, "NOCONTENT", "LIMIT", 0, 0, "DIALECT", 2)


@lru_cache(maxsize=1024)
def _nearest(scope_digest: str, model: str, graph: bool) -> str:
    how = "HYBRID_POLICY BATCHES " if graph else ""
    scope = _in_scope(scope_digest)
    return f"({scope})=>[KNN 1 @{vector_field(model)} $vector {how}AS {_DISTANCE}]"


def _in_scope(scope_digest: str) -> str:
    # The scope's digest covers stream, task type, model and prompt version, so one tag will do.
    return str(Tag("scope") == scope_digest)


def read_candidate(reply: Any) -> Candidate | None:
    """The candidate in a search reply; None when there is none or it can't be read."""
    fields = _first_document(reply)
    if fields is None or fields.get(b"schema") != _SCHEMA:
        return None
    text, response = fields.get(b"text"), fields.get(b"response")
    if not isinstance(text, bytes) or not isinstance(response, bytes):
        return None
    try:
        distance = float(fields[_DISTANCE.encode()])
        decoded = text.decode("utf-8", "surrogatepass")
    except (KeyError, ValueError):
        return None
    return Candidate(decoded, response, from_distance(distance))


def vector_bytes(vector: FloatArray) -> bytes:
    """The bytes of a vector as the index wants them: little-endian float32."""
    return np.ascontiguousarray(vector, dtype="<f4").tobytes()


def read_vector(stored: Any, dimension: int) -> FloatArray | None:
    """The vector in `stored`; None when that is not one of this dimension."""
    if not isinstance(stored, bytes) or len(stored) != 4 * dimension:
        return None
    return np.frombuffer(stored, dtype="<f4").astype(np.float32, copy=False)


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


def _first_document(reply: Any) -> dict[bytes, Any] | None:
    if isinstance(reply, dict):  # RESP3
        results = reply.get(b"results") or []
        attributes = results[0].get(b"extra_attributes") if results else None
        return attributes if isinstance(attributes, dict) else None
    if not isinstance(reply, list) or len(reply) < 3 or not isinstance(reply[2], list):
        return None
    pairs = reply[2]
    return {
        pairs[at]: pairs[at + 1]
        for at in range(0, len(pairs) - 1, 2)
        if isinstance(pairs[at], bytes)
    }
