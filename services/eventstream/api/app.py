"""The FastAPI application: routes, the edge around them, and what lives as long as the process.

Handlers take the request and return ready bytes (`DirectRoute`); FastAPI routes and documents. See
`acceptance`, `tasks`, `overview` and `health` for what each path does.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eventstream import __version__
from eventstream.api import acceptance, docs, health, overview, schemas, tasks
from eventstream.api.access import OPEN_PATHS, Doorkeeper, open_doors
from eventstream.api.access_log import AccessLog, log_access
from eventstream.api.document import (
    DESCRIPTION,
    IDEMPOTENCY_KEY,
    TASK_ID,
    WAIT,
    complete,
    json_body,
    name_in_query,
    responses,
)
from eventstream.api.edge import Edge
from eventstream.api.parameters import refuse_unknown
from eventstream.api.parts import CacheClear, Lifecycle, open_parts, parts_of
from eventstream.api.replies import json_reply
from eventstream.events import ProcessRequest, TaskStatus
from eventstream.logs import get_logger
from eventstream.settings import Settings

log = get_logger(__name__)

Handler = Callable[[Request], Awaitable[Response]]


class DirectRoute(APIRoute):
    """A documented route whose handler gets the request itself.

    What comes in between: query parameters that it does not document are refused. Not by open
    paths: a probe must not fail for what a balancer puts behind it.
    """

    def __init__(self, path: str, endpoint: Handler, **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        documented = (options.get("openapi_extra") or {}).get("parameters", ())
        known = frozenset(each["name"] for each in documented if each["in"] == "query")
        takes_any = path in OPEN_PATHS

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            request = Request(scope, receive, send)
            if not takes_any:
                refuse_unknown(request, known)
            response = await endpoint(request)
            await response(scope, receive, send)

        self.app = answer


class Api(FastAPI):
    """FastAPI with one layer around its router, the edge, which answers every error itself."""

    def __init__(self, edge: Callable[[ASGIApp], Edge], **options: Any) -> None:
        super().__init__(**options)
        self._edge = edge(self._route)
        self._fixed: dict[tuple[str, str], DirectRoute] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The edge around the routes; FastAPI's own layers would do its work again."""
        scope["app"] = self
        await self._edge(scope, receive, send)

    def find_fixed(self) -> None:
        """Let paths without parameters be found at once; call it when all routes are there."""
        self._fixed = {
            (method, route.path): route
            for route in self.routes
            if isinstance(route, DirectRoute) and not route.param_convertors
            for method in route.methods or ()
        }

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            await self._head(scope, receive, send)
            return
        fixed = scope["type"] == "http" and self._fixed.get((scope["method"], scope["path"]))
        if fixed:
            scope["route"] = fixed
            await fixed.app(scope, receive, send)
        else:
            await self.router(scope, receive, send)

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What GET answers, without the body (RFC 9110, 9.3.2)."""

        async def send_head(message: Message) -> None:
            await send({**message, "body": b""} if "body" in message else message)

        as_get = {**scope, "method": "GET"}
        try:
            await self._route(as_get, receive, send_head)
        finally:
            if "route" in as_get:
                scope["route"] = as_get["route"]


def create_app(
    settings: Settings,
    *,
    cache: CacheClear | None = None,
    lifecycle: Lifecycle | None = None,
    access_log: AccessLog | None = None,
) -> FastAPI:
    """The API as an ASGI application; its lifespan opens and closes everything it needs.

    `cache`: what `DELETE /cache/clear` empties, by default the semantic cache of `settings`.
    `lifecycle`: handed in by a server that has to tell the application that it stops.
    `access_log`: takes one record a request, by default as a structured log line.
    """
    door = Doorkeeper(settings)
    life = lifecycle or Lifecycle()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if settings.production:
            for sentence in open_doors(settings, door):
                log.warning("open_door", door=sentence)
        async with open_parts(settings, door, life, cache) as parts:
            app.state.parts = parts
            yield

    app = Api(
        edge=lambda router: Edge(router, door=door, access_log=access_log or log_access),
        title="AI-EventStream",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        # Our own page and document: the stock page loads its scripts from the internet.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.router.route_class = DirectRoute
    _add_routes(app, door)
    app.find_fixed()
    return app


def _add_routes(app: FastAPI, door: Doorkeeper) -> None:
    guarded = (401, 403) if door.needs_keys else (403,)

    def add(
        method: str,
        path: str,
        handler: Handler,
        declared: dict[int | str, dict[str, Any]],
        *,
        tag: str,
        status: int = 200,
        extra: dict[str, Any] | None = None,
    ) -> None:
        # First line: the summary. Lines after it: the description.
        summary, _, description = (handler.__doc__ or "").partition("\n")
        app.add_api_route(
            path,
            handler,
            methods=[method],
            status_code=status,
            response_model=None,
            responses=declared,
            summary=summary.rstrip("."),
            description=description.strip(),
            tags=[tag],
            openapi_extra=extra,
        )

    pending = {202: (schemas.Accepted, "Accepted: stored, and waiting for a worker.")}
    finished = {200: (TaskStatus, "The task's status, and its result once it is finished.")}
    add(
        "POST",
        "/process",
        acceptance.process,
        responses({**pending, **finished}, *guarded, 400, 404, 408, 413, 415, 422, 503),
        tag="Events",
        status=202,
        extra={"parameters": [WAIT, IDEMPOTENCY_KEY], "requestBody": json_body(ProcessRequest)},
    )
    add(
        "POST",
        "/process/batch",
        acceptance.process_batch,
        responses(
            {202: (schemas.BatchAccepted, "At least one event is stored.")},
            *guarded, 400, 408, 413, 415, 422, 503,
        ),
        tag="Events",
        status=202,
        extra={
            "parameters": [IDEMPOTENCY_KEY],
            "requestBody": json_body(schemas.BatchRequest),
        },
    )  # fmt: skip
    add(
        "GET",
        "/task/{task_id:path}",
        tasks.get_task,
        responses(finished, *guarded, 404, 422, 503),
        tag="Events",
        extra={"parameters": [TASK_ID, WAIT]},
    )
    add(
        "DELETE",
        "/task/{task_id:path}",
        tasks.delete_task,
        responses({200: (schemas.TaskRemoved, "Cancelled or forgotten.")}, *guarded, 404, 422, 503),
        tag="Events",
        extra={"parameters": [TASK_ID]},
    )
    add(
        "GET",
        "/streams",
        overview.get_streams,
        responses({200: (schemas.Streams, "The streams.")}, *guarded, 422, 503),
        tag="Operation",
    )
    add(
        "GET",
        "/workers",
        overview.get_workers,
        responses({200: (schemas.Workers, "The workers.")}, *guarded, 422, 503),
        tag="Operation",
    )
    add(
        "GET",
        "/metrics",
        overview.get_metrics,
        _with_exposition(
            responses({200: (schemas.DeploymentMetrics, "The figures.")}, *guarded, 422, 503)
        ),
        tag="Operation",
    )
    add(
        "DELETE",
        "/cache/clear",
        overview.clear_cache,
        responses({200: (schemas.CacheCleared, "Emptied.")}, *guarded, 404, 422, 503),
        tag="Operation",
        extra={
            "parameters": [
                name_in_query("task_type", "Only answers of this task type."),
                name_in_query("stream", "Only answers of this stream."),
            ]
        },
    )
    add(
        "GET",
        "/health",
        health.health,
        {
            **responses({200: (schemas.Health, "Requests can be served.")}, 403),
            503: {"model": schemas.Health, "description": "Requests can't be served now."},
        },
        tag="Probes",
    )
    for path, probe in (("/livez", health.livez), ("/readyz", health.readyz)):
        add(
            "GET",
            path,
            probe,
            {
                **responses({200: (schemas.Alive, "Yes.")}, 403),
                503: {"model": schemas.Alive, "description": "Not now."},
            },
            tag="Probes",
        )
    derived: dict[str, Any] = {}

    async def openapi_document(request: Request) -> Response:
        if not derived:
            derived.update(app.openapi())
        models = (ProcessRequest, schemas.BatchRequest, schemas.ProblemDocument)
        streams = parts_of(request).watch.streams
        return json_reply(complete(derived, models, streams, needs_keys=door.needs_keys))

    app.add_api_route("/openapi.json", openapi_document, include_in_schema=False)
    for path, page in docs.PAGES.items():
        app.add_api_route(path, page, include_in_schema=False)


def _with_exposition(
    declared: dict[int | str, dict[str, Any]],
) -> dict[int | str, dict[str, Any]]:
    text = {"schema": {"type": "string"}}
    declared[200]["content"] = {"text/plain": text, "application/openmetrics-text": text}
    return declared
