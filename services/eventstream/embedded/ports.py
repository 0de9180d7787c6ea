"""Whether the stack's ports are free, and who holds those that are not.

All are checked before anything starts, so a user reads one list instead of a stack that
fell over half way. The holder is read from /proc; elsewhere only the port is named.
"""

import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from eventstream.embedded.errors import StackError

LISTEN = "0A"  # the state in /proc/net/tcp, from the kernel's tcp_states.h


@dataclass(frozen=True)
class PortUse:
    """A port that the stack wants: what for, on which address, and the flag that moves it."""

    what: str
    port: int
    flag: str
    host: str = "127.0.0.1"


def check_ports(wanted: Iterable[PortUse], *, proc: Path = Path("/proc")) -> None:
    """Raises StackError with a line for every port that can't be listened on."""
    uses = list(wanted)
    problems = []
    first_use: dict[int, PortUse] = {}
    for use in uses:
        other = first_use.setdefault(use.port, use)
        if other is not use:
            problems.append(
                f"Port {use.port} is wanted by both {other.what} and {use.what}: "
                f"give one another with {use.flag} PORT."
            )
        elif (why := _why_not(use, proc)) is not None:
            problems.append(f"{why} Choose another with {use.flag} PORT.")
    if problems:
        raise StackError("\n".join(problems))


def holder(port: int, *, proc: Path = Path("/proc")) -> str | None:
    """Who listens on a port, as `command (pid N)`; None where that can't be seen."""
    inodes = {
        inode
        for table in ("tcp", "tcp6")
        for inode in _listening_inodes(proc / "net" / table, port)
    }
    sockets = {f"socket:[{inode}]" for inode in inodes}
    if not sockets:
        return None
    for folder in proc.iterdir():
        if folder.name.isdigit() and _holds(folder, sockets):
            return f"{_command(folder)} (pid {folder.name})"
    return None


def _why_not(use: PortUse, proc: Path) -> str | None:
    family = socket.AF_INET6 if ":" in use.host else socket.AF_INET
    with socket.socket(family) as probe:
        # Like the servers themselves: a port in TIME_WAIT is free, one that listens is not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((use.host, use.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                who = holder(use.port, proc=proc) or "another process"
                return f"Port {use.port} ({use.what}) is in use by {who}."
            return f"Port {use.port} ({use.what}) can't be used on {use.host}: {error.strerror}."
    return None


def _listening_inodes(table: Path, port: int) -> list[str]:
    try:
        rows = table.read_text().splitlines()[1:]
    except OSError:
        return []
    found = []
    for row in rows:
        columns = row.split()
        if columns[3] == LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
            found.append(columns[9])
    return found


def _holds(process: Path, sockets: set[str]) -> bool:
    try:
        return any(_target(entry) in sockets for entry in (process / "fd").iterdir())
    except OSError:
        return False  # another user's process, or gone in the meantime


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""  # closed in the meantime


def _command(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return "a process"
    text = b" ".join(word for word in words if word).decode("utf-8", "replace")
    return text if len(text) <= 60 else text[:59] + "…"
