"""The edge: what happens to every request before and after its handler.

One ASGI middleware (no task, no body buffering of its own): request id, the door, a bound on what
is under way, metrics by route template, one structured access line without texts, headers that
every answer has, and a problem document for whatever went wrong on the way.
"""

from __future__ import annotations

import itertools
import re
import time
import uuid
from collections.abc import Callable
from typing import Final

import structlog
from prometheus_client import Counter, Histogram
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eventstream.api.access import OPEN_PATHS, Doorkeeper, presented_keys
from eventstream.api.access_log import AccessLog, AccessRecord, log_access
from eventstream.api.context import SCOPE_KEY, RequestContext
from eventstream.api.problems import HttpReason, Problem, problem_of, reply_of
from eventstream.errors import Reason
from eventstream.logs import get_logger
from eventstream.metrics import HTTP_REQUESTS, HTTP_SECONDS, STORE_UNAVAILABLE

log = get_logger(__name__)

MOST_AT_ONCE: Final = 4096
"""Requests under way in one process, long polls included; probes are always let in."""

CLIENT_LEFT: Final = 499
"""Status in log and metrics for a client that left before its answer; nobody receives it."""

NOT_ROUTED: Final = "not_routed"
"""Route, likewise, of a request that was refused before anybody looked for it: no key, too busy."""

KNOWN_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_SNIFFING: Final = (b"x-content-type-options", b"nosniff")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:+=/-]{1,128}")


class Edge:
    """Wraps the application; see the module."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        door: Doorkeeper,
        most_at_once: int = MOST_AT_ONCE,
        access_log: AccessLog = log_access,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._app = app
        self._door = door
        self._most_at_once = most_at_once
        self._clock = clock
        self._access_log = access_log
        # Unique across processes and restarts without asking the system for randomness each time.
        self._id_prefix = uuid.uuid4().hex[:20]
        self._ids = itertools.count(1)
        self._under_way = 0
        self._requests: dict[tuple[str, str, int], Counter] = {}
        self._seconds: dict[tuple[str, str], Histogram] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = self._clock()
        given: dict[bytes, bytes] = dict(scope["headers"])
        given_id = given.get(b"x-request-id", b"")
        request_id = given_id.decode() if _REQUEST_ID.fullmatch(given_id) else self._new_id()
        marks = (NO_SNIFFING, (b"x-request-id", request_id.encode()))
        context = scope[SCOPE_KEY] = RequestContext(request_id)
        status, routed = 0, False

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *marks]
            await send(message)

        tokens = structlog.contextvars.bind_contextvars(request_id=request_id)
        self._under_way += 1
        try:
            path = scope["path"]
            if self._under_way > self._most_at_once and path not in OPEN_PATHS:
                raise Problem(
                    HttpReason.BUSY,
                    f"More than {self._most_at_once} requests are under way here. Try again",
                    retry_after_seconds=1,
                )
            context.principal = self._door.admit(
                scope["method"],
                path,
                presented_keys(given.get(b"authorization"), given.get(b"x-api-key")),
                given.get(b"host", b""),
            )
            routed = True
            await self._app(scope, receive, send_marked)
        except ClientDisconnect:
            status = CLIENT_LEFT
        except Exception as error:  # the last place that can answer
            problem = problem_of(error, scope)
            context.reason = problem.reason
            if problem.reason == Reason.INTERNAL_ERROR:
                log.error("request_failed", path=scope["path"][:200], exc_info=error)
            if status:
                raise  # The answer is half sent: the server has to cut the connection.
            await reply_of(problem, scope, request_id)(scope, receive, send_marked)
        finally:
            self._under_way -= 1
            # The template, never the path: a path holds ids, and anybody may make paths up.
            unknown = "unmatched" if routed else NOT_ROUTED
            route = getattr(scope.get("route"), "path_format", unknown)
            self._account(scope, route, status or CLIENT_LEFT, context, self._clock() - began)
            structlog.contextvars.reset_contextvars(**tokens)

    def _new_id(self) -> str:
        return f"{self._id_prefix}{next(self._ids):012x}"

    def _account(
        self, scope: Scope, route: str, status: int, context: RequestContext, seconds: float
    ) -> None:
        method = scope["method"] if scope["method"] in KNOWN_METHODS else "other"
        key = (method, route, status)
        counter = self._requests.get(key)
        if counter is None:
            counter = self._requests[key] = HTTP_REQUESTS.labels(method, route, str(status))
        counter.inc()
        if not context.waited:
            histogram = self._seconds.get(key[:2])
            if histogram is None:
                histogram = self._seconds[key[:2]] = HTTP_SECONDS.labels(method, route)
            histogram.observe(seconds)
        if context.reason == HttpReason.STORE_UNAVAILABLE:
            STORE_UNAVAILABLE.labels(route).inc()
        if status >= 400 or route not in OPEN_PATHS:
            self._access_log(AccessRecord(method, route, status, seconds, context))
