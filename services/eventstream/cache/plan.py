"""How the server is asked to search: by going through a whole scope, or along the index's graph.

A search is bounded to one scope. An HNSW index knows two ways to do that: compute the distance to
every entry of the scope, whose time grows with the scope, or walk its graph and leave out what
belongs to others, whose time grows with what is left out. The server's own choice takes the first
up to some 30,000 entries whatever the scope. Measured with 384 numbers a vector and a scope that is
the whole index (ms, the first way and the second): 10,000 entries 0.60 and 0.36, 20,000 entries 3.8
and 0.5, 30,000 entries 5.4 and 0.6. With one entry of 100,000 it is 0.1 and 69 ms: the second way
is asked for only where the scope is known to be large.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final

from redis.exceptions import ResponseError

from eventstream.cache.contract import CacheQuery
from eventstream.cache.entries import count_command
from eventstream.cache.index import read_info

GRAPH_FROM_ENTRIES: Final = 5_000
"""From a scope of so many entries on, the graph of an HNSW index is walked: below, going through
all of them takes less time (100,000 entries in all: 0.65 ms against 0.77 at 5,000).
"""
SERVER_CHOOSES_FROM_ENTRIES: Final = 40_000
"""In an index of so many entries the server takes the graph by itself, as fast as where it is told
to: nothing has to be said there.
"""
_LEAST_SHARE: Final = 1 / 20
"""Where a scope is a smaller part of the index, most of what the graph leads to is others'."""
REFRESH_SECONDS: Final = 60.0
_MOST_SCOPES: Final = 1024
_NEVER: Final = float("-inf")

Look = tuple[str, str]
"""An embedding model's digest, and the scope to count in its index; "" for the index itself."""


class SearchPlan:
    """What one process knows about the indexes and scopes that it searches.

    It looks again each `REFRESH_SECONDS`, with a search that it sends anyway.
    """

    def __init__(self, *, graph_from_entries: int, monotonic: Callable[[], float]) -> None:
        self._graph_from_entries = graph_from_entries
        self._monotonic = monotonic
        self._in_graph: dict[str, int] = {}
        self._entries: dict[Look, int] = {}
        self._looked_at: OrderedDict[Look, float] = OrderedDict()
        self._refused = False

    def graph(self, model: str, query: CacheQuery) -> bool:
        """Whether to ask for the graph."""
        of_all = self._in_graph.get(model, 0)
        if self._refused or not 0 < of_all < SERVER_CHOOSES_FROM_ENTRIES:
            return False
        entries = self._entries.get((model, query.scope.digest), 0)
        return entries >= max(self._graph_from_entries, of_all * _LEAST_SHARE)

    def append_looks(
        self,
        pipeline: Any,
        alias: str,
        model: str,
        queries: Sequence[CacheQuery],
        node: dict[str, Any],
    ) -> list[Look]:
        """Queue a look at what is due of an index and its scopes; `read` takes the replies."""
        if self._refused:
            return []
        wanted = [(model, ""), *((model, query.scope.digest) for query in queries)]
        now = self._monotonic()
        due = [
            look
            for look in dict.fromkeys(wanted)
            if now - self._looked_at.get(look, _NEVER) >= REFRESH_SECONDS
        ]
        for _, scope in due:
            command = count_command(alias, scope) if scope else ("FT.INFO", alias)
            pipeline.execute_command(*command, **node)
        return due

    def read(self, looks: Sequence[Look], replies: Sequence[Any]) -> None:
        """Take in what was seen; what can't be read leaves the choice to the server."""
        now = self._monotonic()
        for look, reply in zip(looks, replies, strict=True):
            model, scope = look
            if scope:
                self._entries[look] = _total(reply)
            else:
                self._in_graph[model] = _in_graph(reply)
            self._looked_at[look] = now
            self._looked_at.move_to_end(look)
        while len(self._looked_at) > _MOST_SCOPES:
            oldest, _ = self._looked_at.popitem(last=False)
            self._entries.pop(oldest, None)

    def forget(self, model: str) -> None:
        """What was known of an index may be wrong: the next search chooses nothing, and asks."""
        for look in [look for look in self._looked_at if look[0] == model]:
            del self._looked_at[look]
            self._entries.pop(look, None)

    def refused(self, error: Exception) -> bool:
        """Whether the server does not know what a search with a choice says; then none is made."""
        if "hybrid" in str(error).lower() or "syntax" in str(error).lower():
            self._refused = True
        return self._refused


def _in_graph(reply: Any) -> int:
    """How many entries an HNSW index has; 0 for another, or one that can't be read."""
    if isinstance(reply, Exception):
        return 0
    try:
        info = read_info(reply)
    except ResponseError:
        return 0
    return info.entries if info.algorithm == "hnsw" else 0


def _total(reply: Any) -> int:
    total = reply.get(b"total_results") if isinstance(reply, dict) else reply
    if isinstance(total, list):
        total = total[0] if total else 0
    return total if isinstance(total, int) else 0
