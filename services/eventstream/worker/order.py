"""In which order queues are claimed from: HTTP first, with a share kept for the rest.

Somebody waits for an HTTP answer, so those queues come first in three claims of four; in the fourth
the rest comes first, so that a flood of HTTP can't starve a topic. Among the rest, turns rotate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from eventstream.keys import QUEUE_DEFAULT, QUEUE_HTTP

REST_FIRST_EVERY: Final = 4


def claim_order(queues: Sequence[str], turn: int) -> list[str]:
    """The order for claim number `turn` (0, 1, 2, ...)."""
    first = [queue for queue in queues if queue in (QUEUE_HTTP, QUEUE_DEFAULT)]
    rest = [queue for queue in queues if queue not in (QUEUE_HTTP, QUEUE_DEFAULT)]
    if rest:
        start = turn % len(rest)
        rest = rest[start:] + rest[:start]
    if turn % REST_FIRST_EVERY == REST_FIRST_EVERY - 1:
        return rest + first
    return first + rest
