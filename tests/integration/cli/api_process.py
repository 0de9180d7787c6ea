"""The real API as a process of its own, for commands to talk to."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import orjson


class ApiProcess:
    """`eventstream api` on 127.0.0.1; `url` says where. Use it as a context manager."""

    def __init__(self, env: Mapping[str, str], port: int = 0) -> None:
        self._env = env
        self._port = port
        self.url = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "eventstream", "api", "--port", str(self._port)],
            env={**os.environ, "LOG_FORMAT": "json", **self._env},
            stderr=subprocess.PIPE,
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            said = orjson.loads(line)
            self.url = said.get("url", self.url)
            if said["event"] == "ready":
                return self
        raise AssertionError(f"the API ended with {self._process.wait()}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.communicate()
