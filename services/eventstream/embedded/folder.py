"""The one folder that holds a local stack's data, and the lock on it.

Two stacks on one folder would write into each other's append-only files, so the folder is
locked while a stack runs. The lock is the kernel's: it ends with the process, however that
ends.
"""

import fcntl
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from eventstream.embedded.errors import StackError

DEFAULT_FOLDER = Path(".eventstream")


@dataclass(frozen=True)
class DataFolder:
    """Where each part keeps its data."""

    root: Path

    @property
    def env_file(self) -> Path:
        """Shell lines that point other commands at the running stack."""
        return self.root / "env"

    @property
    def cache(self) -> Path:
        """The cache's Redis."""
        return self.root / "redis-cache"

    @property
    def state(self) -> Path:
        """The Redis of broker, inbox and results."""
        return self.root / "redis-state"

    @property
    def kafka(self) -> Path:
        """Apache Kafka's log, per version of its format."""
        return self.root / "kafka"


@contextmanager
def locked(root: Path) -> Iterator[DataFolder]:
    """Makes the folder if needed and holds it; raises StackError when another stack does."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        handle = os.open(root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StackError(
            f"The data folder {root} can't be used: {error.strerror}. Name another with --data DIR."
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.read(handle, 32).decode("ascii", "replace").strip() or "unknown"
            raise StackError(
                f"Another local stack (pid {pid}) uses the data folder {root}. "
                "Stop that one, or name another folder with --data DIR."
            ) from error
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        folder = DataFolder(root.resolve())
        folder.env_file.unlink(missing_ok=True)  # from the run before, perhaps with other ports
        yield folder
    finally:
        os.close(handle)


def running_stack_environment(root: Path = DEFAULT_FOLDER) -> dict[str, str]:
    """What the stack that runs on this folder listens on, as environment variables.

    Empty when none runs: the lock says so, a left-over file does not.
    """
    try:
        handle = os.open(root / "lock", os.O_RDONLY)
    except OSError:
        return {}
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _exports(root / "env")
    else:
        return {}
    finally:
        os.close(handle)


def _exports(path: Path) -> dict[str, str]:
    try:
        words = shlex.split(path.read_text())
    except OSError:  # it runs, but is not ready yet
        return {}
    pairs = (word.partition("=") for word in words if "=" in word)
    return {name: value for name, _, value in pairs}
