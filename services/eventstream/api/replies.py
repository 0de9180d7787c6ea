"""HTTP answers made of ready bytes: no re-encoding, no header parsing on the hot path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import orjson
from pydantic import BaseModel
from starlette.responses import Response

HeaderPairs = Sequence[tuple[bytes, bytes]]

JSON: Final = b"application/json"
NO_STORE: Final = (b"cache-control", b"no-store")
"""On every answer that a cache might keep; one to a POST is never kept."""


class Reply(Response):
    """A response whose body is complete: status, bytes, raw headers (names in lower case)."""

    def __init__(  # the base class would encode and sort headers again
        self, status: int, body: bytes, headers: HeaderPairs = (), media_type: bytes = JSON
    ) -> None:
        self.status_code = status
        self.body = body
        self.background = None
        self.raw_headers = [
            (b"content-type", media_type),
            (b"content-length", b"%d" % len(body)),
            *headers,
        ]


def json_reply(
    document: Mapping[str, object] | BaseModel, status: int = 200, headers: HeaderPairs = ()
) -> Reply:
    """A document as JSON. A model is written with all its fields, absent ones as null."""
    if isinstance(document, BaseModel):
        document = document.model_dump()
    return Reply(status, orjson.dumps(document), (*headers, NO_STORE))
