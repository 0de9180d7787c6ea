"""The documentation page: our own, whole, and from this process. It needs no internet.

It reads /openapi.json and shows every operation with its examples and a form to try it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Final

from starlette.requests import Request

from eventstream.api.replies import Reply

POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:;"
    b" base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = ((b"content-security-policy", POLICY), (b"cache-control", b"no-cache"))


def _file(name: str, media_type: str) -> Callable[[Request], Awaitable[Reply]]:
    body = (files("eventstream.api") / "docs_page" / name).read_bytes()

    async def page(request: Request) -> Reply:
        return Reply(200, body, HEADERS, media_type=media_type.encode())

    return page


async def _to_docs(request: Request) -> Reply:
    """A browser at / is led to the page."""
    return Reply(307, b"", ((b"location", b"/docs"),), media_type=b"text/plain")


PAGES: Final[dict[str, Callable[[Request], Awaitable[Reply]]]] = {
    "/": _to_docs,
    "/docs": _file("index.html", "text/html; charset=utf-8"),
    "/docs/page.js": _file("page.js", "text/javascript; charset=utf-8"),
    "/docs/style.css": _file("style.css", "text/css; charset=utf-8"),
}
