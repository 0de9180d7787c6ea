"""A worker's metrics: its prefork children write under their pool slot, not their pid.

prometheus_client's multiprocess mode keeps a file a process. Named by pid, every recycled child
would leave files behind for ever; named by slot, a child goes on where its predecessor stopped.

`prepare` must run before `eventstream.metrics` is first imported in the process: metrics bind their
storage when they are made.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

PARENT: Final = "parent"
PREFIX: Final = "eventstream-metrics-"
LOCK: Final = "lock"


class _Identity:
    """Who writes: the parent, or a pool slot. Changes once, right after the fork."""

    def __init__(self) -> None:
        self.name = PARENT

    def __call__(self) -> str:
        return self.name


_identity = _Identity()


def prepare() -> Path:
    """Switch prometheus_client to files named by slot; returns their folder (new, empty)."""
    _remove_abandoned(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    # Held by this process and its children as long as one of them lives; never closed.
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    # prometheus_client takes the folder from the environment only.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    from prometheus_client import values

    values.ValueClass = values.MultiProcessValue(process_identifier=_identity)  # type: ignore[no-untyped-call]
    return folder


def become_slot(slot: int) -> None:
    """Write under this pool slot from now on. Gauges of a predecessor begin at zero again."""
    _identity.name = f"slot-{slot}"
    from eventstream.metrics import EVENTS_IN_FLIGHT

    EVENTS_IN_FLIGHT.set(0)


def serve(host: str, port: int) -> Callable[[], None]:
    """Serve the metrics of parent and children together; returns what ends it."""
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    server, thread = start_http_server(port, addr=host, registry=registry)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join(5)

    return stop


def clean_up(folder: Path) -> None:
    """Remove the folder that `prepare` made."""
    for file in folder.glob("*.db"):
        file.unlink(missing_ok=True)
    (folder / LOCK).unlink(missing_ok=True)
    folder.rmdir()


def _remove_abandoned(parent: Path) -> None:
    """Remove the folders of workers that were killed: nobody holds their locks."""
    for folder in parent.glob(f"{PREFIX}*"):
        # No lock yet, somebody else's, or just removed by another worker: left alone.
        with contextlib.suppress(OSError):
            lock = os.open(folder / LOCK, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                clean_up(folder)
            finally:
                os.close(lock)
