"""The services as a user runs them: `eventstream ...` processes over real Redis and Kafka."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from tests.support.redis_server import RedisServer, free_port

START_SECONDS = 90


class Service:
    """One `eventstream` command (or another module) in a process group of its own."""

    def __init__(
        self,
        command: list[str],
        environment: dict[str, str],
        log: Path,
        *,
        module: str = "eventstream",
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def children(self) -> list[int]:
        """The pool processes of a worker."""
        path = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def stop(self, seconds: float = 60) -> int:
        """SIGTERM to the leader, as a supervisor or kubelet does; the exit code."""
        if self._process.poll() is None:
            self._process.terminate()
        return self.wait(seconds)

    def wait(self, seconds: float = 60) -> int:
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not end in {seconds} s:\n{self.tail()}") from None

    def kill(self) -> None:
        """kill -9 of the whole group: the machine under it is gone."""
        os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(30)

    def tail(self) -> str:
        return self.log.read_text("utf-8", "replace")[-4000:]

    @property
    def running(self) -> bool:
        return self._process.poll() is None


class Deployment:
    """Redis twice (cache; broker, inbox and results), and any number of services."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        for name in ("cache", "state"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.cache = RedisServer(folder / "cache")
        self.state = RedisServer(folder / "state", appendonly=True, search=False)
        self.api_port = free_port()
        self.services: list[Service] = []
        self._more = environment

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {
            **kept,
            "REDIS_URL": self.cache.url(0),
            "CELERY_BROKER_URL": self.state.url(1),
            "CELERY_RESULT_BACKEND": self.state.url(2),
            "API_PORT": str(self.api_port),
            "LOG_FORMAT": "json",
            **self._more,
            **more,
        }

    def run(self, *command: str, **environment: str) -> Service:
        log = self.folder / f"{len(self.services)}-{command[0]}.log"
        service = Service(list(command), self.environment(**environment), log)
        self.services.append(service)
        return service

    def run_module(self, module: str, **environment: str) -> Service:
        """A service with something done to it: a module that runs it."""
        log = self.folder / f"{len(self.services)}-{module}.log"
        service = Service([], self.environment(**environment), log, module=module)
        self.services.append(service)
        return service

    def run_api(self) -> Service:
        api = self.run("api")
        self.until_http_answers(f"{self.url}/readyz", api)
        return api

    def until_http_answers(self, url: str, service: Service) -> None:
        """Wait until a GET of `url` is answered with success."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            assert service.running, service.tail()
            try:
                urllib.request.urlopen(url, timeout=5).close()  # noqa: S310  # loopback
            except (urllib.error.URLError, OSError):
                until_next_try()
            else:
                return
        raise AssertionError(f"{url} never answered:\n{service.tail()}")

    def __enter__(self) -> Deployment:
        self.cache.start()
        self.state.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for service in self.services:
            if service.running:
                service.kill()
        if error is not None:
            for service in self.services:
                print(f"--- {service.log.name}\n{service.tail()}")
        self.cache.stop()
        self.state.stop()


def until_next_try() -> None:
    """What is awaited is in another process and gives no signal: look again soon."""
    signal.sigtimedwait([], 0.05)


def until(condition: Callable[[], bool], seconds: float, what: Callable[[], str]) -> float:
    """Wait for `condition`; how many seconds it took. Fails with `what()` after `seconds`."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"not within {seconds} s: {what()}")
        until_next_try()
    return time.monotonic() - began
