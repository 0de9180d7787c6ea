"""Linux namespaces of a cluster's own: network, mounts and processes.

Everything that a cluster makes (interfaces, routes, firewall tables, mounts, processes) belongs to
the namespaces and ends with their first process, so there is nothing to take back one by one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.cluster.harness.errors import HarnessError

_END_SECONDS = 30.0


@dataclass(frozen=True)
class ProcessId:
    """A process that can't be mistaken for a later one with the same number."""

    pid: int
    started: int  # clock ticks after boot: field 22 of /proc/PID/stat

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        """Raises ProcessLookupError when there is no such process."""
        started = _started(pid)
        if started is None:
            raise ProcessLookupError(pid)
        return cls(pid, started)

    def runs(self) -> bool:
        """False also for a process that has ended and waits to be reaped."""
        return _started(self.pid) == self.started

    def end(self) -> None:
        """Kills the process and returns when it is gone."""
        if self.runs():
            os.kill(self.pid, signal.SIGKILL)
        deadline = time.monotonic() + _END_SECONDS
        while self.runs():
            if time.monotonic() > deadline:
                raise HarnessError(f"process {self.pid} does not end")
            time.sleep(0.01)


def _started(pid: int) -> int | None:
    try:
        # The name, in brackets, may hold spaces.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else int(fields[19])


def child_of(process: subprocess.Popen[bytes]) -> int:
    """The process id of the one child of `process`, which starts it and then waits."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None:
        found = children.read_text().split()
        if found:
            return int(found[0])
        time.sleep(0.005)
    raise HarnessError(f"{process.args!r} ended with status {process.returncode} at once")


class Namespace:
    """Namespaces, known by their process 1."""

    def __init__(self, init: ProcessId, parent: subprocess.Popen[bytes] | None = None) -> None:
        self.init = init
        self._parent = parent  # holds the pipe that process 1 watches

    @classmethod
    def create(
        cls, setup: Sequence[Sequence[str]], *, stay: bool, keep_open: int, log: Path
    ) -> Namespace:
        """New namespaces in which each command of `setup` has run.

        They end with this process, in whatever way it ends, unless `stay`. The file descriptor
        `keep_open` stays open exactly as long as they are there.
        """
        init = [sys.executable, "-I", str(Path(__file__).with_name("init.py")), json.dumps(setup)]
        with log.open("ab") as errors:
            parent = subprocess.Popen(
                [
                    *("unshare", "--net", "--mount", "--pid", "--fork"),
                    *("--propagation", "private", "--mount-proc", "--"),
                    *init,
                    *(["--stay"] if stay else []),
                ],
                stdin=subprocess.DEVNULL if stay else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                pass_fds=(keep_open,),
                start_new_session=True,
            )
        assert parent.stdout is not None
        if parent.stdout.readline() != b"ready\n":
            status = parent.wait()
            raise HarnessError(
                f"the cluster's namespaces can't be made (status {status}); "
                f"this needs root and Linux:\n{log.read_text()}"
            )
        return cls(ProcessId.of(child_of(parent)), parent)

    def enter(self, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` in the network, and becomes it: its process id is argv's."""
        return ["nsenter", "--target", str(self.init.pid), "--net", "--", *argv]

    def spawn(
        self,
        argv: Sequence[str],
        log: IO[bytes],
        *,
        environment: Mapping[str, str] | None = None,
        pass_fds: tuple[int, ...] = (),
    ) -> subprocess.Popen[bytes]:
        """Starts `argv` as a process that ends with the namespaces.

        What is returned is its parent (see `child_of`), which ends when it does, and as it does.
        """
        return subprocess.Popen(
            [
                *("nsenter", "--target", str(self.init.pid)),
                *("--net", "--mount", "--pid", "--"),
                *argv,
            ],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=pass_fds,
            start_new_session=True,
        )

    def destroy(self) -> None:
        """Ends every process in the namespaces; returns when all are gone."""
        self.init.end()
        if self._parent is not None:
            self._parent.wait()
            for pipe in (self._parent.stdin, self._parent.stdout):
                if pipe is not None:
                    pipe.close()
