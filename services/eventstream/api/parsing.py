"""JSON of a request body as values and as models, strictly.

Everything that can be wrong is answered with a 4xx that names the field and the reason. Python's
own json would take NaN and lone surrogates; orjson refuses both, and deep nesting.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from eventstream.api.problems import FieldError, Problem
from eventstream.errors import Reason

Model = TypeVar("Model", bound=BaseModel)

EXPLAINED_BYTES: Final = 64 * 1024
"""Of a longer body that is not JSON only line and column are told: looking for the field takes some
half a second a megabyte, in which nobody else is answered."""
MAX_FIELDS: Final = 20
"""Of an object with more no field is told by itself: a body holds some hundred thousand."""


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
        if len(body) <= EXPLAINED_BYTES:
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
    # One level of nesting an entry, each with the name of the part that is looked at: what a place
    # is called is put together for the one that is wrong only.
    names: list[str | int] = []
    levels: list[Iterator[tuple[str | int, Any]]] = [iter([("", document)])]
    while levels:
        name, value = next(levels[-1], (None, None))
        if name is None:
            levels.pop()
            del names[-1:]
            continue
        wrong = ""
        if isinstance(value, dict):
            wrong = "" if all(map(_encodable, value)) else "has a name with half a character"
        elif isinstance(value, float) and not math.isfinite(value):
            wrong = "must be a finite number; JSON has no NaN and no Infinity"
        elif isinstance(value, str) and not _encodable(value):
            wrong = "holds half a character (a lone surrogate such as \\ud800)"
        if wrong:
            raise _wrong_at([*names, name], wrong) from None
        if isinstance(value, dict | list):
            names.append(name)
            levels.append(iter(value.items() if isinstance(value, dict) else enumerate(value)))


def _wrong_at(names: Sequence[str | int], wrong: str) -> Problem:
    place = ".".join(str(name)[:100] for name in names[1:])
    field = place.encode("utf-8", "replace").decode()
    message = f"{field or 'the body'}: {wrong}"
    error = FieldError(field, Reason.INVALID_FIELD, message)
    return Problem(Reason.INVALID_FIELD, message, errors=(error,))


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
    if len(document) > MAX_FIELDS:
        name = where or "The body"
        message = f"{name} has {len(document)} fields; it takes {', '.join(model.model_fields)}"
        raise Problem(
            Reason.INVALID_FIELD,
            message,
            errors=(FieldError(where, Reason.INVALID_FIELD, message),),
        )
    try:
        try:
            return model.model_validate(document)
        except ValidationError:
            return model.model_validate(_with_whole_numbers(document))
    except ValidationError as error:
        errors = field_errors(error, where)
        raise Problem(Reason(errors[0].reason), errors[0].message, errors=errors) from None


def _with_whole_numbers(document: dict[str, Any]) -> dict[str, Any]:
    # JSON has one kind of number: 4.0 is 4, where an integer is asked for too.
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in document.items()
    }


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
