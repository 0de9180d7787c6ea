"""Ends the process groups of a supervisor that died without ending them itself.

A child asks Linux to be killed with its parent (launch.py), but that does not reach the
child's own children, such as the pool processes of a Celery worker, and macOS has nothing
like it. So one guardian runs beside each supervisor, in a session of its own, and reads
from it which groups are alive: lines `+PGID` and `-PGID`. When its input ends, it kills
what is left. It is run with `python -I -S` and imports only the standard library.
"""

import os
import signal
import sys
from typing import TextIO


def groups_left(lines: TextIO) -> set[int]:
    """Reads until the supervisor is gone; returns the process groups that it left behind."""
    groups: set[int] = set()
    for line in lines:
        group = int(line[1:])
        if line[0] == "+":
            groups.add(group)
        else:
            groups.discard(group)
    return groups


def main() -> None:
    """Waits for the end of standard input and kills the groups that are still listed."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    for group in groups_left(sys.stdin):
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue  # gone in the meantime (macOS answers EPERM for a group of zombies)


if __name__ == "__main__":
    main()
