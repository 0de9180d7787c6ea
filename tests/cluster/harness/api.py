"""The few requests that the harness itself makes to the API server.

Tests have kubectl and the client libraries; this is for waiting, where a process a question
would cost more than the question.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cluster.harness.errors import HarnessError

_REQUEST_SECONDS = 10.0


class ApiClient:
    """One request a connection, as the user `admin` of `pki`."""

    def __init__(self, pki: Path, port: int) -> None:
        self._port = port
        self._context = ssl.create_default_context(cafile=pki / "ca.crt")
        self._context.load_cert_chain(pki / "admin.crt", pki / "admin.key")

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        """Status and text of the answer; raises OSError or HTTPException when there is none."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self._port, timeout=_REQUEST_SECONDS, context=self._context
        )
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def answers(self, path: str) -> bool:
        """Whether a GET is answered with 200."""
        with warnings.catch_warnings():
            # Python's ssl leaves a socket open that is reset before its handshake begins.
            warnings.simplefilter("ignore", ResourceWarning)
            try:
                return self.ask("GET", path)[0] == http.client.OK
            except (OSError, http.client.HTTPException):
                return False

    def items(self, path: str) -> list[dict[str, Any]]:
        """The objects of a list; raises HarnessError when it is refused."""
        status, text = self.ask("GET", path)
        if status != http.client.OK:
            raise HarnessError(f"GET {path} was answered with {status}: {text}")
        found: list[dict[str, Any]] = json.loads(text)["items"]
        return found


def wait_until(condition: Callable[[], bool], what: str, seconds: float) -> None:
    """Returns when `condition` holds; raises HarnessError naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise HarnessError(f"after {seconds:.0f} s there is still no {what}")
        time.sleep(0.05)
