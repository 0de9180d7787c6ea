"""Problem details (RFC 9457): the one form of every error answer.

Each kind of problem has a stable word (`reason`), one status and one title, all in one table, so
that a script can match on the word and the manual can list them. What a library raised is never
shown: a handler raises `Problem`, or one of the project's own errors, and this module renders it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

import orjson
from starlette.exceptions import HTTPException
from starlette.types import Scope

from eventstream.api.replies import NO_STORE, HeaderPairs, Reply
from eventstream.errors import EventRefused, Reason, StoreUnavailable

PROBLEM_JSON: Final = b"application/problem+json"
TYPE_PREFIX: Final = "urn:eventstream:problem:"

MAX_ERRORS: Final = 1000
MAX_FIELD_CHARS: Final = 200
MAX_INSTANCE_CHARS: Final = 512


class HttpReason(StrEnum):
    """Reasons that only HTTP knows; those of an event itself are `eventstream.errors.Reason`."""

    INVALID_HTTP = "invalid_http"
    KEY_MISSING = "key_missing"
    KEY_UNKNOWN = "key_unknown"
    KEY_READ_ONLY = "key_read_only"
    HOST_NOT_ALLOWED = "host_not_allowed"
    PATH_NOT_FOUND = "path_not_found"
    TASK_NOT_FOUND = "task_not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    BODY_TIMEOUT = "body_timeout"
    INVALID_PARAMETER = "invalid_parameter"
    NOTHING_ACCEPTED = "nothing_accepted"
    STORE_UNAVAILABLE = "store_unavailable"
    BACKLOG_FULL = "backlog_full"
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class Kind:
    """Status and title that go with a reason."""

    status: int
    title: str


KINDS: Final[Mapping[str, Kind]] = {
    Reason.INVALID_JSON: Kind(400, "The body is not JSON"),
    Reason.NOT_UTF8: Kind(400, "The body is not UTF-8"),
    HttpReason.INVALID_HTTP: Kind(400, "The request is not HTTP"),
    HttpReason.KEY_MISSING: Kind(401, "An API key is needed"),
    HttpReason.KEY_UNKNOWN: Kind(401, "The API key is not known"),
    HttpReason.KEY_READ_ONLY: Kind(403, "The API key may only read"),
    HttpReason.HOST_NOT_ALLOWED: Kind(403, "The Host header is not a local name"),
    HttpReason.PATH_NOT_FOUND: Kind(404, "There is nothing at this path"),
    HttpReason.TASK_NOT_FOUND: Kind(404, "There is no such task"),
    Reason.STREAM_NOT_FOUND: Kind(404, "There is no such stream"),
    HttpReason.METHOD_NOT_ALLOWED: Kind(405, "The method is not allowed here"),
    HttpReason.BODY_TIMEOUT: Kind(408, "The body came too slowly"),
    Reason.TOO_LARGE: Kind(413, "The body is too large"),
    HttpReason.UNSUPPORTED_MEDIA_TYPE: Kind(415, "The body must be JSON"),
    Reason.NOT_AN_OBJECT: Kind(422, "The body is not a JSON object"),
    Reason.MISSING_TEXT: Kind(422, "The text is missing"),
    Reason.INVALID_FIELD: Kind(422, "A field is not valid"),
    HttpReason.INVALID_PARAMETER: Kind(422, "A parameter or header is not valid"),
    Reason.UNKNOWN_TASK_TYPE: Kind(422, "The task type is not known"),
    Reason.MODEL_NOT_ALLOWED: Kind(422, "The model is not allowed"),
    Reason.ID_CONFLICT: Kind(422, "The id was used for other content"),
    HttpReason.NOTHING_ACCEPTED: Kind(422, "No event of the batch was accepted"),
    Reason.INTERNAL_ERROR: Kind(500, "Something went wrong here"),
    HttpReason.STORE_UNAVAILABLE: Kind(503, "Redis is not available"),
    HttpReason.BACKLOG_FULL: Kind(503, "The backlog is full"),
    HttpReason.BUSY: Kind(503, "Too much is under way at once"),
}


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong: which field, the stable word, and a sentence."""

    field: str
    reason: str
    message: str


class Problem(Exception):
    """An error answer: `reason` decides status and title, `detail` is one sentence with a way out.

    `retry_after_seconds` becomes the Retry-After header; `close` ends the connection (the body was
    not read to its end).
    """

    def __init__(
        self,
        reason: Reason | HttpReason,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: HeaderPairs = (),
        retry_after_seconds: int | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = headers
        self.retry_after_seconds = retry_after_seconds
        self.close = close


def problem_of(error: Exception, scope: Scope) -> Problem:
    """The problem that an error of the project (or of Starlette's router) is answered with."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        return _routing_problem(error, scope)
    if isinstance(error, EventRefused):
        where = (FieldError(error.field, error.reason, str(error)),) if error.field else ()
        return Problem(error.reason, str(error), errors=where)
    if isinstance(error, StoreUnavailable):
        return Problem(
            HttpReason.STORE_UNAVAILABLE,
            f"{error}. Try again; with an Idempotency-Key a repeat is never counted twice",
            retry_after_seconds=error.retry_after_seconds,
        )
    return Problem(
        Reason.INTERNAL_ERROR,
        "The error is in the log under this request_id; nothing was accepted twice because of it",
    )


def reply_of(problem: Problem, scope: Scope, request_id: str) -> Reply:
    """The problem as an HTTP answer to the request that `scope` describes."""
    kind = KINDS[problem.reason]
    errors = [_bounded(error) for error in problem.errors[:MAX_ERRORS]]
    document: dict[str, object] = {
        "type": f"{TYPE_PREFIX}{problem.reason}",
        "title": kind.title,
        "status": kind.status,
        "detail": problem.detail,
        "instance": quote(scope["path"], safe="/:@!$&'()*+,;=~-._")[:MAX_INSTANCE_CHARS],
        "reason": problem.reason,
        "request_id": request_id,
    }
    if errors:
        document["errors"] = errors
    headers = [*problem.headers, NO_STORE]
    if problem.retry_after_seconds is not None:
        headers.append((b"retry-after", str(problem.retry_after_seconds).encode()))
    if problem.close:
        headers.append((b"connection", b"close"))
    return Reply(kind.status, orjson.dumps(document), headers, media_type=PROBLEM_JSON)


def _routing_problem(error: HTTPException, scope: Scope) -> Problem:
    """What Starlette's router says (404, 405) as a problem; 405 names the methods that work."""
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = ", ".join(_methods_at(scope))
        return Problem(
            HttpReason.METHOD_NOT_ALLOWED,
            f"{_short(scope['method'])} does not work here; these do: {allowed}",
            headers=((b"allow", allowed.encode()),),
        )
    return Problem(
        HttpReason.PATH_NOT_FOUND,
        f"Nothing answers at {_short(quote(scope['path']))}; /docs lists what there is",
    )


def _methods_at(scope: Scope) -> list[str]:
    # The router names the methods of the first route with this path only.
    methods: set[str] = set()
    for route in scope["app"].routes:
        pattern = getattr(route, "path_regex", None)
        if pattern is not None and pattern.match(scope["path"]):
            methods |= getattr(route, "methods", None) or set()
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)


def _bounded(error: FieldError) -> dict[str, str]:
    return {**asdict(error), "field": _short(error.field, MAX_FIELD_CHARS)}


def _short(text: str, chars: int = 120) -> str:
    return text if len(text) <= chars else text[: chars - 1] + "…"
