"""One access record a request: method, route template, status, seconds, key, reason. Never a text.

Two ways to write it. `log_access` is an ordinary structured line. `AccessLines` is for a process
that writes JSON for machines under load: formatting and writing line by line cost as much as
accepting an event, so it gathers records and writes them with one call, at most a moment later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import orjson

from eventstream.api.context import RequestContext
from eventstream.logs import get_logger

log = get_logger(__name__)

GATHERED_SECONDS: Final = 0.1
GATHERED_LINES: Final = 1000


@dataclass(frozen=True, slots=True)
class AccessRecord:
    """What is said of one request."""

    method: str
    route: str
    status: int
    seconds: float
    context: RequestContext

    def fields(self) -> dict[str, Any]:
        """The record as the fields of a log line; the request id is bound elsewhere."""
        fields: dict[str, Any] = {
            "method": self.method,
            "route": self.route,
            "status": self.status,
            "seconds": round(self.seconds, 6),
            "principal": self.context.principal.name,
        }
        if self.context.event_id:
            fields["event_id"] = self.context.event_id
        if self.context.reason:
            fields["reason"] = self.context.reason
        return fields


AccessLog = Callable[[AccessRecord], None]


def log_access(record: AccessRecord) -> None:
    """Write a record as a structured log line."""
    log.info("request", **record.fields())


class AccessLines:
    """Gathers records and writes them as JSON lines, of the same form as every other log line."""

    def __init__(
        self, stream: TextIO, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._stream = stream
        self._now = now
        self._lines: list[bytes] = []

    def __call__(self, record: AccessRecord) -> None:
        """Take a record; it is written within `GATHERED_SECONDS`, or by `flush`."""
        line = record.fields()
        line["event"] = "request"
        line["request_id"] = record.context.request_id
        line["service"] = "api"
        line["level"] = "info"
        line["logger"] = __name__
        line["timestamp"] = self._now()
        self._lines.append(orjson.dumps(line, option=orjson.OPT_UTC_Z))
        if len(self._lines) == 1:
            asyncio.get_running_loop().call_later(GATHERED_SECONDS, self.flush)
        elif len(self._lines) >= GATHERED_LINES:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered, with one call."""
        lines, self._lines = self._lines, []
        if lines:
            self._stream.write(b"\n".join(lines).decode() + "\n")
            self._stream.flush()
