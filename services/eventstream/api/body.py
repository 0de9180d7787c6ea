"""Request bodies: read within bounds of size and time, then parsed strictly.

Everything that can be wrong with a body is answered here with a 4xx that names the field and the
reason. Python's own json would take NaN and lone surrogates; orjson refuses both, and deep nesting.
"""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any, Final, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from eventstream.api.problems import MAX_FIELD_CHARS, FieldError, HttpReason, Problem
from eventstream.errors import Reason

Model = TypeVar("Model", bound=BaseModel)

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
        _check_content_type(request)
        return parse_json(await self._read(request))

    async def _read(self, request: Request) -> bytes:
        declared = request.headers.get("content-length", "")
        if declared.isascii() and declared.isdigit() and int(declared[:19]) > self._max_bytes:
            if "expect" not in request.headers:
                await self._drain(request)
            raise self._too_large()
        held = 0
        chunks: list[bytes] = []
        try:
            async with asyncio.timeout(self._timeout_seconds):
                while True:
                    message = await request.receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnect
                    chunk: bytes = message.get("body", b"")
                    more = message.get("more_body", False)
                    if not more and not chunks:
                        if len(chunk) > self._max_bytes:
                            raise self._too_large()
                        return chunk
                    held += len(chunk)
                    self._held_bytes += len(chunk)
                    chunks.append(chunk)
                    if held > self._max_bytes:
                        chunks.clear()
                        if more:
                            await self._drain(request)
                        raise self._too_large()
                    if self._held_bytes > self._most_held_bytes:
                        raise Problem(
                            HttpReason.BUSY,
                            "Too many large bodies are under way at once. Try again",
                            retry_after_seconds=2,
                            close=True,
                        )
                    if not more:
                        return b"".join(chunks)
        except TimeoutError:
            raise Problem(
                HttpReason.BODY_TIMEOUT,
                f"The body was not complete after {self._timeout_seconds:g} seconds",
                close=True,
            ) from None
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


def parse_json(body: bytes) -> Any:
    """JSON values of a body.

    Raises Problem: not_utf8 or invalid_json, with line and column.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        try:
            body.decode("utf-8")
        except UnicodeDecodeError as undecodable:
            raise Problem(
                Reason.NOT_UTF8,
                f"Byte {undecodable.start} of the body is not UTF-8. Send JSON encoded as UTF-8",
            ) from None
        _refuse_what_only_python_takes(body)
        if not body.strip():
            raise Problem(
                Reason.INVALID_JSON, 'The body is empty. Send an object such as {"text": "..."}'
            ) from None
        raise Problem(
            Reason.INVALID_JSON,
            f"Line {error.lineno}, column {error.colno}: {error.msg}",
        ) from None


def _refuse_what_only_python_takes(body: bytes) -> None:
    """Name the field of a NaN, an infinity or half a character, which a parser only counts columns
    to. Raises Problem (invalid_field); returns when that is not what is wrong.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return
    waiting: list[tuple[str, Any]] = [("", document)]
    while waiting:
        where, value = waiting.pop()
        wrong = ""
        if isinstance(value, dict):
            waiting += [
                (f"{where}.{name}"[-MAX_FIELD_CHARS:], part) for name, part in value.items()
            ]
            wrong = "" if all(map(_encodable, value)) else "has a name with half a character"
        elif isinstance(value, list):
            waiting += [(f"{where}.{index}", part) for index, part in enumerate(value)]
        elif isinstance(value, float) and not math.isfinite(value):
            wrong = "must be a finite number; JSON has no NaN and no Infinity"
        elif isinstance(value, str) and not _encodable(value):
            wrong = "holds half a character (a lone surrogate such as \\ud800)"
        if wrong:
            field = where.removeprefix(".").encode("utf-8", "replace").decode()
            message = f"{field or 'the body'}: {wrong}"
            raise Problem(
                Reason.INVALID_FIELD,
                message,
                errors=(FieldError(field, Reason.INVALID_FIELD, message),),
            ) from None


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_model(model: type[Model], document: Any, where: str = "") -> Model:
    """The document as `model`.

    `where` is put in front of field names (`events.3`). Raises Problem: not_an_object,
    missing_text, invalid_field, naming every field that is wrong.
    """
    if not isinstance(document, dict):
        name = where or "The body"
        message = f"{name} must be a JSON object, is {_kind(document)}"
        raise Problem(
            Reason.NOT_AN_OBJECT,
            message,
            errors=(FieldError(where, Reason.NOT_AN_OBJECT, message),) if where else (),
        )
    try:
        return model.model_validate(document)
    except ValidationError as error:
        errors = field_errors(error, where)
        raise Problem(Reason(errors[0].reason), errors[0].message, errors=errors) from None


def field_errors(error: ValidationError, where: str = "") -> list[FieldError]:
    """Every thing that a validation found wrong, in the order of the model's fields."""
    found = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        parts = [str(part)[:100] for part in problem["loc"]]
        field = ".".join([where, *parts] if where else parts)
        missing = problem["type"] == "missing" and parts == ["text"]
        reason = Reason.MISSING_TEXT if missing else Reason.INVALID_FIELD
        message = problem["msg"].removeprefix("Value error, ")
        found.append(FieldError(field, reason, f"{field}: {_sentence(problem['type'], message)}"))
    return found


def _sentence(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "is not a field of this request"
    if kind == "missing":
        return "is missing"
    return message[:1].lower() + message[1:]


def _check_content_type(request: Request) -> None:
    given = request.headers.get("content-type", "")
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
    encoding = request.headers.get("content-encoding", "identity")
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


def _kind(document: object) -> str:
    if document is None:
        return "null"
    if isinstance(document, bool):
        return "a boolean"
    if isinstance(document, str):
        return "a string"
    if isinstance(document, list):
        return "an array"
    return "a number"
