"""A Redis master, its replica, and a Sentinel that watches them, for tests of a failover."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import redis

from eventstream.embedded.redis import find_binaries
from tests.support.redis_server import RedisServer, free_port

SERVICE = "mymaster"


class WatchedRedis:
    """Two servers and one Sentinel, which is all the quorum there is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._closing = contextlib.ExitStack()
        self._servers: list[RedisServer] = []
        self.port = free_port()

    def url(self, database: int) -> str:
        # The first one is not there: clients go on to the next.
        return f"sentinel://127.0.0.1:1,127.0.0.1:{self.port}/{SERVICE}/{database}"

    def master(self) -> int:
        """The port of the master, as the Sentinel says."""
        address = self._sentinel.execute_command(  # type: ignore[no-untyped-call]
            "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE
        )
        return int(address[1])

    def fail_over(self, seconds: float) -> None:
        """Make the replica the master; returns once the old one follows it."""
        old = self.master()
        self._sentinel.execute_command(  # type: ignore[no-untyped-call]
            "SENTINEL", "FAILOVER", SERVICE
        )
        with contextlib.closing(redis.Redis(port=old, retry=_patient())) as demoted:
            _until(lambda: self.master() != old and _role(demoted) == "slave", seconds)

    def __enter__(self) -> WatchedRedis:
        with contextlib.ExitStack() as closing:
            for name in ("one", "two"):
                (self._folder / name).mkdir(parents=True)
                server = RedisServer(self._folder / name, search=False)
                self._servers.append(closing.enter_context(server))
            one, two = self._servers
            with contextlib.closing(redis.Redis(port=two.port)) as client:
                client.replicaof("127.0.0.1", str(one.port))
            closing.callback(self._stop, self._start_sentinel(one.port))
            self._sentinel = redis.Redis(port=self.port, retry=_patient(), decode_responses=True)
            closing.callback(self._sentinel.close)
            _until(self._knows_the_replica, 60)
            self._closing = closing.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.close()

    def _start_sentinel(self, master: int) -> subprocess.Popen[bytes]:
        configuration = self._folder / "sentinel.conf"
        configuration.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self._folder}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {master} 1\n"
            f"sentinel down-after-milliseconds {SERVICE} 2000\n"
        )
        argv = [str(find_binaries().server), str(configuration), "--sentinel"]
        with (self._folder / "sentinel.log").open("ab") as log:
            return subprocess.Popen(argv, stdout=log, stderr=log)

    def _stop(self, sentinel: subprocess.Popen[bytes]) -> None:
        sentinel.terminate()
        sentinel.wait(20)

    def _knows_the_replica(self) -> bool:
        return any(
            replica["master-link-status"] == "ok"
            for replica in self._sentinel.sentinel_slaves(SERVICE)
        )


def _role(server: redis.Redis) -> str:
    return str(server.info("replication")["role"])


def _patient() -> redis.retry.Retry:
    return redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), 400)


def _until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)
