"""Endings as finish.lua takes them: the keys and the arguments of one event each.

Pure: the inbox calls the script. The order is the script's own.
"""

from __future__ import annotations

from typing import Any

from eventstream.claims import Answered, Failed
from eventstream.events import State
from eventstream.keys import Keys


def keys_of(keys: Keys, ending: Answered | Failed) -> list[str]:
    """The keys around an event that ends."""
    if isinstance(ending, Answered):
        queue, event_id = ending.held.queue, ending.held.event.id
        stream = ending.held.event.stream
    else:
        queue, event_id, stream = ending.queue, ending.event_id, ending.stream
    return [
        keys.inbox(queue),
        keys.task_meta(event_id),
        keys.result(event_id),
        keys.counters(stream),
        keys.deferred(queue),
        keys.deferred_entries(queue),
        keys.again(queue),
    ]


def arguments_of(ending: Answered | Failed) -> list[Any]:
    """Which event ends, how, and what is counted with it."""
    if isinstance(ending, Failed):
        return [
            ending.entry,
            ending.event_id,
            ending.acceptance,
            State.FAILURE.value,
            b"",
            ending.failure.model_dump_json(),
            ending.failure.reason.value,
            *(0, 0, 0, 0, 0),
        ]
    return [
        ending.held.entry,
        ending.held.event.id,
        ending.held.acceptance,
        State.SUCCESS.value,
        ending.result.to_json(),
        b"",
        ending.source,
        ending.tokens,
        ending.cost_microdollars,
        ending.tokens_saved,
        ending.saved_microdollars,
        round(ending.result.processing_time * 1_000_000),
    ]
