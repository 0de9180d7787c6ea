"""Liveness of a worker or consumer: is there work, and does anything move?

Reads the process's own metrics. No answer, or work in hand while no counter has moved for longer
than is allowed, ends with 1, and the pod is started again; nothing is lost by that, because what a
worker held comes back when its lease ends. Having nothing to do is progress. A Redis or a provider
that is away moves counters too (calls that failed, retries), so it restarts nobody.

Standard library only, and little of it: it runs every half minute and must cost next to nothing.
"""

import socket
import sys
import time
from pathlib import Path

METRICS = ("127.0.0.1", 9090)
MEMORY = Path("/tmp/progress")  # noqa: S108 (the pod's own, see the chart)
# What each kind has in hand when these are above zero.
WORK = {
    "worker": ("eventstream_events_in_flight",),
    "consumer": ("eventstream_kafka_lag_records",),
}
# Not stalled, but told to wait: the backlog is full.
HELD_BACK = "eventstream_kafka_paused_partitions"


def figures(text: str, kind: str) -> tuple[bool, float]:
    """(there is work to do, the sum of all counters of the project)."""
    work = 0.0
    moved = 0.0
    held_back = 0.0
    for line in text.splitlines():
        if not line.startswith(("eventstream_", "gen_ai_")):
            continue
        name = line.split("{", 1)[0].split(" ", 1)[0]
        value = float(line.rsplit(" ", 1)[1])
        if name in WORK[kind]:
            work += value
        elif name == HELD_BACK:
            held_back += value
        elif name.endswith(("_total", "_count")):
            moved += value
    return work > 0 and held_back == 0, moved


def judge(before: str, working: bool, moved: float, now: float) -> tuple[str, float]:
    """(what to remember, seconds without progress). `before`: what the last call remembered."""
    try:
        moved_before, since = (float(part) for part in before.split())
    except ValueError:
        return f"{moved} {now}", 0.0
    # A clock that was set back begins the waiting anew.
    if not working or moved != moved_before or now < since:
        return f"{moved} {now}", 0.0
    return before, now - since


def fetch(address: tuple[str, int]) -> str:
    """The process's metrics. Raises OSError when it does not answer with them."""
    with socket.create_connection(address, timeout=8) as connection:
        # HTTP/1.0: the answer ends with the connection, so no library has to be loaded to read it.
        connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        answer = connection.makefile("rb").read()
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise OSError(f"no metrics: {head[:200]!r}")
    return body.decode()


def main(kind: str, stalled_seconds: float) -> int:
    """0: alive."""
    working, moved = figures(fetch(METRICS), kind)
    before = MEMORY.read_text() if MEMORY.exists() else ""
    after, still = judge(before, working, moved, time.time())
    MEMORY.write_text(after)
    if still > stalled_seconds:
        print(f"work in hand, and nothing has moved for {still:.0f} s")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2])))
