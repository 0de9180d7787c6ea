"""What a child process of the stack is, and how one alone is started and ended.

`ProcessSpec` is a value: the supervisor runs many of them with asyncio, `LocalProcess`
runs one from plain code such as a test fixture. Neither uses a shell, and both end the
leader first and its whole process group only when that was not enough.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from eventstream.embedded.errors import StackError

LAUNCHER = Path(__file__).with_name("launch.py")
READY_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class ProcessSpec:
    """One child process: what to run, when it counts as ready and how it is ended.

    `ready` is asked again and again, from a thread, until it returns True; it must answer
    within about a second and never raise for "not yet". `after` names the processes that
    have to be ready first. When one named in `restart_with` has been started again, this
    one is started again too.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    ready: Callable[[], bool] | None = None
    ready_timeout_seconds: float = 30.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_seconds: float = 10.0
    after: tuple[str, ...] = ()
    restart_with: tuple[str, ...] = ()

    def command(self) -> list[str]:
        """The argv that is really started: the launcher, which becomes `argv`."""
        return [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), *self.argv]

    def environment(self) -> dict[str, str]:
        """This process's environment with `env` on top."""
        return {**os.environ, **self.env}


def end_group(group: int) -> None:
    """Kills whatever is left of a process group; a group that is gone is fine."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # macOS answers EPERM for a group of zombies


class LocalProcess:
    """One child process for plain (not asyncio) code; its output goes to a file."""

    def __init__(self, spec: ProcessSpec, log_path: Path) -> None:
        self.spec = spec
        self.log_path = log_path
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs, else None."""
        return self._child.pid if self._child is not None else None

    def start(self) -> None:
        """Starts the process and returns when it is ready.

        Raises StackError when it ends early or is not ready in time; it is ended then.
        """
        with self.log_path.open("ab") as log:
            self._child = subprocess.Popen(
                self.spec.command(),
                env=self.spec.environment(),
                cwd=self.spec.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + self.spec.ready_timeout_seconds
        while self.spec.ready is not None and not self.spec.ready():
            code = self._child.poll()
            if code is None and time.monotonic() < deadline:
                time.sleep(READY_POLL_SECONDS)
                continue
            self.kill()
            what = (
                f"ended with code {code} before it was ready"
                if code is not None
                else f"was not ready within {self.spec.ready_timeout_seconds:g} s"
            )
            raise StackError(f"{self.spec.name} {what}; its output is in {self.log_path}")

    def stop(self) -> None:
        """Asks the process to end, waits, and kills its group when it takes too long."""
        if self._child is None:
            return
        self._child.send_signal(self.spec.stop_signal)
        with contextlib.suppress(subprocess.TimeoutExpired):  # kill() is the answer to that
            self._child.wait(self.spec.stop_timeout_seconds)
        self.kill()

    def kill(self) -> None:
        """Kills the process and its group at once (as kill -9 does) and waits for it."""
        if self._child is None:
            return
        end_group(self._child.pid)
        self._child.wait()
        self._child = None
