"""What the open files of a process are: how many, by the port that a connection goes to.

Linux only, read from /proc; a process that has just ended has none.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path


def open_files(pid: int, ports: Mapping[int, str]) -> Counter[str]:
    """How many open files of each kind: a name of `ports` for a connection to that port, or what
    stands before the `:` of the link (`socket`, `pipe`, `anon_inode`), or `file`.

    Raises OSError when the process has ended.
    """
    peers = _peers(pid)
    found: Counter[str] = Counter()
    for name in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208  # names only
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")  # noqa: PTH115  # no path of a file
        except FileNotFoundError:
            continue  # closed since it was listed
        kind, colon, rest = target.partition(":")
        port = peers.get(rest.strip("[]")) if kind == "socket" else None
        found[ports.get(port, "socket") if port is not None else kind if colon else "file"] += 1
    return found


def _peers(pid: int) -> dict[str, int]:
    """Inode of a TCP socket -> the port at its other end."""
    lines = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    ]
    return {fields[9]: int(fields[2].rpartition(":")[2], 16) for fields in lines}
