"""Query parameters and headers, parsed as strictly as bodies."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from eventstream.api.access import Principal
from eventstream.api.problems import FieldError, HttpReason, Problem

MAX_WAIT_SECONDS: Final = 60.0
MAX_NAME_CHARS: Final = 128
MAX_IDEMPOTENCY_KEY_CHARS: Final = 255

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def refuse_unknown(request: Request, known: Collection[str]) -> None:
    """Raise Problem (invalid_parameter) for a query parameter that is not one of `known`.

    Left alone, a slip of the pen would widen what is done: `?strem=` would clear every stream.
    """
    query: bytes = request.scope["query_string"]
    if not query:
        return
    takes = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
    for name, _ in _pairs(query):
        if name not in known:
            raise _invalid(name[:MAX_NAME_CHARS], f"is not a parameter of this operation; {takes}")


def wait_seconds(request: Request) -> float:
    """`?wait=`: how long the client wants to wait for the result, 0 to 60; 0 without it.

    Raises Problem (invalid_parameter).
    """
    given = _single(request, "wait")
    if given is None:
        return 0.0
    seconds = float(given) if _NUMBER.fullmatch(given) else -1.0
    if not 0 <= seconds <= MAX_WAIT_SECONDS:
        raise _invalid("wait", f"must be a number of seconds from 0 to {MAX_WAIT_SECONDS:g}")
    return seconds


def name_parameter(request: Request, name: str) -> str | None:
    """A query parameter that names something; None without it. Raises Problem."""
    given = _single(request, name)
    if given is None:
        return None
    if not 0 < len(given) <= MAX_NAME_CHARS or not given.isprintable():
        raise _invalid(name, f"must be 1 to {MAX_NAME_CHARS} printable characters")
    return given


def idempotent_id(request: Request, principal: Principal, part: str = "") -> str | None:
    """The task id that an Idempotency-Key stands for; None without the header.

    The same key of the same principal gives the same id; `part` tells the events of a batch apart.
    Raises Problem (invalid_parameter).
    """
    headers: list[tuple[bytes, bytes]] = request.scope["headers"]
    raw = [value for name, value in headers if name == b"idempotency-key"]
    if not raw:
        return None
    if len(raw) > 1:
        raise _invalid("Idempotency-Key", "is given more than once")
    given = raw[0].decode("latin-1")
    if not 0 < len(given) <= MAX_IDEMPOTENCY_KEY_CHARS or not given.isprintable():
        raise _invalid(
            "Idempotency-Key", f"must be 1 to {MAX_IDEMPOTENCY_KEY_CHARS} printable characters"
        )
    content = "\0".join((principal.name, given, part)).encode()
    return f"idem-{hashlib.sha256(content).hexdigest()[:32]}"


def _single(request: Request, name: str) -> str | None:
    query: bytes = request.scope["query_string"]
    if not query:
        return None
    found = [value for key, value in _pairs(query) if key == name]
    if len(found) > 1:
        raise _invalid(name, "is given more than once")
    return found[0] if found else None


def _pairs(query: bytes) -> list[tuple[str, str]]:
    return parse_qsl(query.decode("latin-1"), keep_blank_values=True)


def _invalid(name: str, message: str) -> Problem:
    return Problem(
        HttpReason.INVALID_PARAMETER,
        f"{name} {message}",
        errors=(FieldError(name, HttpReason.INVALID_PARAMETER, f"{name} {message}"),),
    )
