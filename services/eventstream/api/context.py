"""What one request knows of itself: set at the edge, read by handlers."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from eventstream.api.access import ANONYMOUS, Principal

SCOPE_KEY = "eventstream"


@dataclass(slots=True)
class RequestContext:
    """`waited` is set by a long poll, whose duration says nothing about the service."""

    request_id: str
    principal: Principal = ANONYMOUS
    waited: bool = False
    reason: str = ""
    """The stable word of the problem that it was answered with; "" without one."""


def context_of(request: Request) -> RequestContext:
    """The context of a request that came through the edge."""
    context: RequestContext = request.scope[SCOPE_KEY]
    return context
