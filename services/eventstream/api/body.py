"""Request bodies, read within bounds of content type, size, time and memory."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request

from eventstream.api.parsing import parse_json
from eventstream.api.problems import FieldError, HttpReason, Problem
from eventstream.errors import Reason

DRAINED_BYTES: Final = 64 * 1024 * 1024
"""How much of a body that is too large is read and thrown away, so that a client which sends before
it reads still sees the answer."""

HELD_BYTES: Final = 256 * 1024 * 1024
"""How much all bodies under way may hold in memory together."""


class BodyReader:
    """Reads bodies of at most `max_bytes`, each within `timeout_seconds`."""

    def __init__(
        self, max_bytes: int, timeout_seconds: float, *, held_bytes: int = HELD_BYTES
    ) -> None:
        self._max_bytes = max_bytes
        self._timeout_seconds = timeout_seconds
        self._most_held_bytes = held_bytes
        self._held_bytes = 0

    async def read_json(self, request: Request) -> Any:
        """The request's body as JSON values.

        Raises Problem: unsupported_media_type, too_large, body_timeout, busy, not_utf8,
        invalid_json; ClientDisconnect when the client left.
        """
        given: dict[bytes, bytes] = dict(request.scope["headers"])
        _check_content_type(given)
        return parse_json(await self._read(request, given))

    async def _read(self, request: Request, given: dict[bytes, bytes]) -> bytes:
        declared = given.get(b"content-length", b"")
        if declared.isdigit() and int(declared[:19]) > self._max_bytes:
            if b"expect" not in given:
                await self._drain(request)
            raise self._too_large()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                body, is_whole = await self._gather(request)
        except TimeoutError:
            raise Problem(
                HttpReason.BODY_TIMEOUT,
                f"The body was not complete after {self._timeout_seconds:g} seconds",
                close=True,
            ) from None
        if len(body) > self._max_bytes:
            if not is_whole:
                await self._drain(request)
            raise self._too_large()
        return body

    async def _gather(self, request: Request) -> tuple[bytes, bool]:
        """What came up to the limit (or just beyond), and whether that was all."""
        pieces = bytearray()
        held = 0
        try:
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunk: bytes = message.get("body", b"")
                is_whole = not message.get("more_body", False)
                if is_whole and not held:
                    return chunk, True  # Most bodies: one piece, nothing to put together.
                pieces += chunk
                self._held_bytes += len(pieces) - held
                held = len(pieces)
                if is_whole or held > self._max_bytes:
                    return bytes(pieces), is_whole
                if self._held_bytes > self._most_held_bytes:
                    raise Problem(
                        HttpReason.BUSY,
                        "Too many large bodies are under way at once. Try again",
                        retry_after_seconds=2,
                        close=True,
                    )
        finally:
            self._held_bytes -= held

    async def _drain(self, request: Request) -> None:
        drained = 0
        try:
            async with asyncio.timeout(self._timeout_seconds):
                while drained <= DRAINED_BYTES:
                    message = await request.receive()
                    if not message.get("more_body", False):
                        return
                    drained += len(message.get("body", b""))
        except TimeoutError:
            return  # The answer is the same: too large.

    def _too_large(self) -> Problem:
        return Problem(
            Reason.TOO_LARGE,
            f"The body is larger than {self._max_bytes} bytes (API_MAX_BODY_BYTES)."
            " Send smaller batches or texts",
            close=True,
        )


def _check_content_type(headers: dict[bytes, bytes]) -> None:
    given = headers.get(b"content-type", b"").decode("latin-1")
    media_type, _, parameters = given.partition(";")
    media_type = media_type.strip().lower()
    is_json = media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )
    if not is_json:
        said = f"is {given[:80]!r}" if given else "is missing"
        raise Problem(
            HttpReason.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Type {said}. Send JSON with Content-Type: application/json",
            errors=(FieldError("Content-Type", HttpReason.UNSUPPORTED_MEDIA_TYPE, said),),
            headers=((b"accept", b"application/json"),),
        )
    charset = parameters.lower().replace(" ", "").replace('"', "")
    if "charset=" in charset and "charset=utf-8" not in charset:
        raise Problem(
            HttpReason.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Type names {parameters.strip()[:80]!r}. JSON is sent as UTF-8",
            errors=(
                FieldError("Content-Type", HttpReason.UNSUPPORTED_MEDIA_TYPE, "must be UTF-8"),
            ),
        )
    encoding = headers.get(b"content-encoding", b"identity").decode("latin-1")
    if encoding.strip().lower() not in ("", "identity"):
        raise Problem(
            HttpReason.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Encoding {encoding[:80]!r} is not taken. Send the body uncompressed",
            errors=(
                FieldError(
                    "Content-Encoding", HttpReason.UNSUPPORTED_MEDIA_TYPE, "must be left out"
                ),
            ),
        )
