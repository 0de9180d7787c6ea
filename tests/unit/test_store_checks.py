"""What a server's memory settings mean for accepted events."""

from __future__ import annotations

import pytest

from eventstream.store_checks import Memory, advice

SAFE = Memory("noeviction", 1_000_000)
EVICTS = Memory("allkeys-lru", 1_000_000)
UNLIMITED = Memory("noeviction", 0)
NO_BOUND = Memory("allkeys-lru", 0)
SILENT = Memory("", 0)
VOLATILE = Memory("volatile-lfu", 1_000_000)


@pytest.mark.parametrize(
    ("case", "state", "broker", "cache", "shared", "said"),
    [
        ("servers of their own, as they should be", SAFE, SAFE, EVICTS, False, []),
        ("inbox may be evicted", EVICTS, SAFE, EVICTS, False, ["results and inbox"]),
        ("broker may be evicted", SAFE, EVICTS, EVICTS, False, ["broker"]),
        ("cache refuses writes", SAFE, SAFE, SAFE, False, ["cache's Redis refuses"]),
        ("only wake-ups are in an unbounded broker", SAFE, UNLIMITED, UNLIMITED, False, []),
        ("inbox without a bound", UNLIMITED, SAFE, EVICTS, False, ["killed, instead"]),
        ("one server without a bound", UNLIMITED, UNLIMITED, UNLIMITED, True, ["killed, instead"]),
        ("nothing is evicted without a bound", SAFE, NO_BOUND, EVICTS, False, []),
        ("servers that do not tell are left in peace", SILENT, SILENT, SILENT, False, []),
        ("one server for all", SAFE, SAFE, SAFE, True, []),
        ("one server that evicts what lapses", VOLATILE, VOLATILE, VOLATILE, True, ["of a budget"]),
        (
            "one server for all that evicts anything",
            EVICTS,
            EVICTS,
            EVICTS,
            True,
            ["drop accepted"],
        ),
    ],
)
def test_advice(
    case: str, state: Memory, broker: Memory, cache: Memory, shared: bool, said: list[str]
) -> None:
    sentences = advice(state=state, broker=broker, cache=cache, shared=shared)

    assert len(sentences) == len(said), case
    for sentence, words in zip(sentences, said, strict=True):
        assert words in sentence
        assert "set maxmemory" in sentence
