"""Which streams would take each other's records.

Kafka gives every record to one member of a consumer group. Two streams that read one topic in one
group each see a part of it, and nothing else would ever say so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from eventstream.spec import StreamSpec


def group_sharers(specs: Mapping[str, StreamSpec]) -> dict[str, tuple[str, ...]]:
    """Stream -> the others that read its topic in its consumer group; without those that have none.

    `specs` is stream name -> spec.
    """
    readers: defaultdict[tuple[str, str | None], list[str]] = defaultdict(list)
    for name, spec in sorted(specs.items()):
        if spec.source is not None:
            readers[spec.source.topic, spec.consumer_group(name)].append(name)
    return {
        name: tuple(other for other in names if other != name)
        for names in readers.values()
        if len(names) > 1
        for name in names
    }
