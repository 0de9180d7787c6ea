"""What one request knows of itself: set at the edge, read by handlers."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from eventstream.api.access import ANONYMOUS, Principal

SCOPE_KEY = "eventstream"
MAX_PRINTED_ID_CHARS = 300


@dataclass(slots=True)
class RequestContext:
    """`waited` is set by a long poll, whose duration says nothing about the service."""

    request_id: str
    principal: Principal = ANONYMOUS
    waited: bool = False
    event_id: str = ""
    """Which event it is about; "" when it is about none, or an id that is not fit to print."""
    reason: str = ""
    """The stable word of the problem that it was answered with; "" without one."""

    def name_event(self, event_id: str) -> None:
        """Say which event the request is about; an id from outside may be anything."""
        if event_id.isprintable():
            self.event_id = event_id[:MAX_PRINTED_ID_CHARS]


def context_of(request: Request) -> RequestContext:
    """The context of a request that came through the edge."""
    context: RequestContext = request.scope[SCOPE_KEY]
    return context
