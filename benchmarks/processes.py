"""Processes that a benchmark starts, watches and ends: CPU, memory, and nothing left behind.

Reads `/proc`, so it runs on Linux only. A process is started in a session of its own and ended with
all that it started; nobody else's is ever touched.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 90.0
STOP_SECONDS = 20.0


class DidNotStart(Exception):
    """A part of a benchmark ended or stayed silent; says where its output is."""


class Child:
    """One started process with its output in a file."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self.started_at = time.perf_counter()
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                argv,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until(self, ready: Callable[[], bool], seconds: float = START_SECONDS) -> Child:
        """Returns when `ready` says so; raises DidNotStart."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise DidNotStart(f"{self.name} did not start; its output is in {self.log}")
            time.sleep(0.01)
        return self

    def says(self, words: str) -> bool:
        """Whether its output holds `words`."""
        return words.encode() in self.log.read_bytes()

    def stop(self) -> None:
        """SIGTERM, and its whole session SIGKILL when that was not enough."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def python(module: str, *arguments: str) -> list[str]:
    """The argv of a module run by this Python."""
    return [sys.executable, "-m", module, *arguments]


def family(pid: int) -> Iterator[int]:
    """The process and all that it started and that still lives."""
    yield pid
    for task in _tasks(pid):
        with contextlib.suppress(OSError):
            children = (task / "children").read_text().split()
            for child in children:
                yield from family(int(child))


def _tasks(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []


def cpu_seconds(*pids: int) -> float:
    """CPU that these processes and their children have taken so far, user and system."""
    total = 0
    for pid in pids:
        for member in family(pid):
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
                total += int(stat[11]) + int(stat[12])
    return total / CLOCK_TICKS


def own_megabytes(pid: int) -> float:
    """Memory that is the process's own (private, resident), in MB of 10^6 bytes.

    What a child shares with its parent since the fork is not its own.
    """
    private_kb = 0
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(("Private_Clean:", "Private_Dirty:")):
            private_kb += int(line.split()[1])
    return private_kb * 1024 / 1e6


def resident_megabytes(pid: int) -> float:
    """Resident memory, shared pages included, in MB of 10^6 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0
