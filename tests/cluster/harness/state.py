"""What is left of a cluster in the machine's file system, and how it is taken away.

Each cluster has a folder with a lock file that its namespaces' process 1 (and, while it lives,
the process that made it) keeps locked. The kernel drops the lock with the last of them, so an
unlocked folder is a left-over, whatever went wrong.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.harness.errors import HarnessError
from tests.cluster.harness.layout import cgroup_name

_REMOVE_SECONDS = 20.0


def make_folder(clusters: Path, name: str) -> tuple[Path, int]:
    """A new cluster's folder, locked; the file descriptor of the lock is for process 1.

    Raises FileExistsError when there is one of that name.
    """
    clusters.mkdir(parents=True, exist_ok=True)
    folder = clusters / name
    with _guard(clusters):
        folder.mkdir(mode=0o700)
        descriptor = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return folder, descriptor


def in_use(folder: Path) -> bool:
    """Whether the folder's cluster still has its namespaces, or is being made."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def remove(folder: Path) -> None:
    """Removes cgroups and files of a cluster whose processes are gone."""
    for cgroup in cgroup_folders(folder):
        if cgroup.is_dir():
            _remove_cgroup(cgroup)
    shutil.rmtree(folder)


def sweep(clusters: Path) -> list[str]:
    """Removes what crashed runs left in the folder of clusters; returns the names."""
    clusters.mkdir(parents=True, exist_ok=True)
    with _guard(clusters):
        left = [folder for folder in clusters.iterdir() if folder.is_dir() and not in_use(folder)]
        for folder in left:
            remove(folder)
    return [folder.name for folder in left]


def cgroup_folders(folder: Path) -> list[Path]:
    """Where the pods of the folder's cluster are, in the one hierarchy of cgroup v2 or each of v1.

    They need not be there.
    """
    root = Path("/sys/fs/cgroup")
    hierarchies = [root] if (root / "cgroup.procs").exists() else sorted(root.iterdir())
    return [
        hierarchy / cgroup_name(folder)
        for hierarchy in hierarchies
        if (hierarchy / "cgroup.procs").exists() and not hierarchy.is_symlink()
    ]


@contextmanager
def _guard(clusters: Path) -> Iterator[None]:
    """One at a time: a folder is never swept between its making and its locking."""
    with (clusters / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _remove_cgroup(folder: Path) -> None:
    # A cgroup can go once its last process is reaped, which is a moment after its death.
    deadline = time.monotonic() + _REMOVE_SECONDS
    for path, _, _ in os.walk(folder, topdown=False):
        while True:
            try:
                Path(path).rmdir()
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise HarnessError(f"the cgroup {path} can't be removed: {error}") from error
                time.sleep(0.05)
