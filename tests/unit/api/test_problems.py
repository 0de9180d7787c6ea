"""Problem details: one form for every error."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from eventstream.api.problems import KINDS, FieldError, HttpReason, Problem, problem_of, reply_of
from eventstream.api.schemas import ProblemDocument
from eventstream.errors import EventRefused, Reason, StoreUnavailable

SCOPE = {"type": "http", "path": "/process", "method": "POST"}


def test_every_reason_of_http_has_a_status_and_a_title() -> None:
    assert set(HttpReason) <= set(KINDS)
    assert all(400 <= kind.status < 600 and kind.title for kind in KINDS.values())


def test_the_document() -> None:
    problem = Problem(
        Reason.INVALID_FIELD,
        "text: is empty",
        errors=[FieldError("text", Reason.INVALID_FIELD, "text: is empty")],
    )
    reply = reply_of(problem, SCOPE, "request-1")
    assert reply.status_code == 422
    assert reply.headers["content-type"] == "application/problem+json"
    assert ProblemDocument.model_validate_json(bytes(reply.body)).model_dump() == {
        "type": "urn:eventstream:problem:invalid_field",
        "title": "A field is not valid",
        "status": 422,
        "detail": "text: is empty",
        "instance": "/process",
        "reason": "invalid_field",
        "request_id": "request-1",
        "errors": [{"field": "text", "reason": "invalid_field", "message": "text: is empty"}],
    }


def test_a_store_that_is_away_says_when_to_come_back() -> None:
    problem = problem_of(StoreUnavailable("Redis is full", 10), SCOPE)
    reply = reply_of(problem, SCOPE, "r")
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "10")


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.UNKNOWN_TASK_TYPE, 422),
        (Reason.MODEL_NOT_ALLOWED, 422),
        (Reason.STREAM_NOT_FOUND, 404),
    ],
)
def test_a_refused_event(reason: Reason, status: int) -> None:
    problem = problem_of(EventRefused(reason, "why", "model"), SCOPE)
    assert reply_of(problem, SCOPE, "r").status_code == status
    assert problem.errors == (FieldError("model", reason, "why"),)


def test_what_nobody_foresaw_tells_nothing_of_the_inside() -> None:
    problem = problem_of(ZeroDivisionError("a secret"), SCOPE)
    reply = reply_of(problem, SCOPE, "r")
    assert reply.status_code == 500
    assert b"a secret" not in reply.body


def test_long_and_strange_paths_and_fields_stay_bounded() -> None:
    scope = {**SCOPE, "path": "/task/" + "é\n" * 5000}
    errors = [FieldError("x" * 10_000, Reason.INVALID_FIELD, "m")] * 2000
    body = reply_of(Problem(Reason.INVALID_FIELD, "d", errors=errors), scope, "r").body
    document = orjson.loads(body)
    assert len(document["instance"]) <= 512
    assert document["instance"].isascii()
    assert len(document["errors"]) == 1000
    assert len(document["errors"][0]["field"]) == 200


def test_the_manual_lists_every_reason() -> None:
    manual = (Path(__file__).parents[3] / "docs" / "http-api.md").read_text()
    for reason, kind in KINDS.items():
        assert f"| {kind.status} | `{reason}` | {kind.title} |" in manual


def test_no_cache_may_keep_a_problem() -> None:
    reply = reply_of(Problem(HttpReason.TASK_NOT_FOUND, "d"), SCOPE, "r")
    assert reply.headers["cache-control"] == "no-store"
