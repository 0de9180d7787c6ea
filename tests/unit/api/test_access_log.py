"""Access records, gathered and written in one go."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import orjson
import pytest

from eventstream.api.access_log import GATHERED_LINES, AccessLines, AccessRecord
from eventstream.api.context import RequestContext

NOW = datetime(2026, 11, 23, 12, 0, 0, 5, UTC)


def record(request_id: str) -> AccessRecord:
    return AccessRecord("GET", "/workers", 200, 0.00123456789, RequestContext(request_id))


async def test_a_line_has_the_form_of_every_other_log_line() -> None:
    stream = io.StringIO()
    lines = AccessLines(stream, lambda: NOW)
    lines(record("r-1"))
    assert stream.getvalue() == ""
    lines.flush()
    assert orjson.loads(stream.getvalue()) == {
        "event": "request",
        "level": "info",
        "logger": "eventstream.api.access_log",
        "service": "api",
        "timestamp": "2026-11-23T12:00:00.000005Z",
        "request_id": "r-1",
        "method": "GET",
        "route": "/workers",
        "status": 200,
        "seconds": 0.001235,
        "principal": "anonymous",
    }


@pytest.mark.parametrize(
    ("event_id", "printed"),
    [("order-7", "order-7"), ("x" * 5000, "x" * 300), ("\x1b[2J", None), ("", None)],
)
def test_the_event_is_named_where_its_id_is_fit_to_print(
    event_id: str, printed: str | None
) -> None:
    about = record("r-1")
    about.context.name_event(event_id)
    assert about.fields().get("event_id") == printed


async def test_many_records_do_not_pile_up() -> None:
    stream = io.StringIO()
    lines = AccessLines(stream, lambda: NOW)
    for number in range(GATHERED_LINES):
        lines(record(f"r-{number}"))
    written = stream.getvalue().splitlines()
    assert [orjson.loads(line)["request_id"] for line in written] == [
        f"r-{number}" for number in range(GATHERED_LINES)
    ]


async def test_nothing_to_write_writes_nothing() -> None:
    stream = io.StringIO()
    AccessLines(stream).flush()
    assert stream.getvalue() == ""
