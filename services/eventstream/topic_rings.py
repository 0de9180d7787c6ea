"""Whether what a stream writes comes back to it.

A stream's own topics differ. Through other streams its records may still come back: what one can't
read goes to its dead-letter topic as it came, and where that is another's source, and so on round,
the same record is read for ever.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping

from eventstream.spec import StreamSpec


def way_back(specs: Mapping[str, StreamSpec], stream: str) -> tuple[str, ...]:
    """The shortest way of records from a stream through others to itself, itself at both ends;
    empty where there is none.

    `specs` is stream name -> spec.
    """
    readers: defaultdict[str, list[str]] = defaultdict(list)
    for name, spec in sorted(specs.items()):
        if spec.source is not None:
            readers[spec.source.topic].append(name)
    seen: set[str] = set()
    ways: deque[tuple[str, ...]] = deque([(stream,)])
    while ways:
        way = ways.popleft()
        spec = specs[way[-1]]
        sink = spec.sink.topic if spec.sink else None
        for topic in filter(None, (sink, spec.dead_letter_topic)):
            for reader in readers[topic]:
                if reader == stream:
                    return (*way, stream)
                if reader not in seen:
                    seen.add(reader)
                    ways.append((*way, reader))
    return ()
