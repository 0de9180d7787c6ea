"""Whether an answer has the form that its stream asked for.

Pure. A label may come back in other case or punctuation, JSON may come in a code fence; anything
else is a problem that is put into words, for the model's one chance to repair it and for the
person who reads the failure.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

from eventstream.errors import ConfigurationError
from eventstream.events import MAX_NESTING, is_nested_too_deeply
from eventstream.llm.prompts import TaskForm

_FENCE: Final = re.compile(r"^```[a-zA-Z]*\s*\n(.*?)\n?```$", re.DOTALL)
_PREFIX: Final = re.compile(r"^(the )?(label|category|answer|sentiment)( is)?\s*:?\s+")
_EDGES: Final = " \t\r\n\"'`´‘’“”«»*_.,;:!?¡¿()[]{}<>-"
_MAX_PROBLEM_CHARS: Final = 300


@dataclass(frozen=True)
class Checked:
    """An answer in the form that was asked for."""

    response: str
    parsed: object | None = None


class OutputProblem(Exception):
    """What is wrong with an answer, as a sentence for the model and for people."""


def check(answer: str, form: TaskForm) -> Checked:
    """The answer, its label as the stream writes it, its JSON in compact form.

    Raises OutputProblem; ConfigurationError for a schema that no answer can be checked by.
    """
    stripped = answer.strip()
    if not stripped:
        raise OutputProblem("the answer is empty")
    if form.output_schema is not None:
        return _check_json(stripped, form.output_schema)
    if form.labels:
        return Checked(_match_label(stripped, form.labels))
    return Checked(stripped)


def _match_label(answer: str, labels: tuple[str, ...]) -> str:
    known = {_plain(label): label for label in labels}
    said = _plain(answer)
    for candidate in (said, _PREFIX.sub("", said).strip(_EDGES)):
        if candidate in known:
            return known[candidate]
    shown = answer if len(answer) <= 60 else answer[:59] + "…"
    raise OutputProblem(f"{shown!r} is not one of the labels: {', '.join(labels)}")


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().strip(_EDGES)


def _check_json(answer: str, schema: dict[str, Any]) -> Checked:
    fenced = _FENCE.match(answer)
    try:
        value = orjson.loads(fenced.group(1) if fenced else answer)
    except orjson.JSONDecodeError as error:
        raise OutputProblem(f"the answer is not JSON: {error}") from error
    if is_nested_too_deeply(value):
        raise OutputProblem(f"the answer is nested more than {MAX_NESTING} levels deep")
    validator = _validator(orjson.dumps(schema))
    try:
        problem: ValidationError | None = best_match(validator.iter_errors(value))
    except Unresolvable as error:
        raise ConfigurationError(
            "task.outputSchema",
            f"refers to {error.ref!r}, which is not in it",
            "Put every definition into the schema itself",
        ) from error
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigurationError(
            "task.outputSchema",
            f"can't be used to check an answer: {error}",
            "Look for a pattern that is none, and for a reference that leads back to itself",
        ) from error
    if problem is not None:
        place = "".join(f"[{part!r}]" for part in problem.absolute_path) or "the value"
        raise OutputProblem(f"{place}: {problem.message}"[:_MAX_PROBLEM_CHARS])
    return Checked(orjson.dumps(value).decode(), value)


@lru_cache(maxsize=64)
def _validator(schema: bytes) -> Draft202012Validator:
    # An empty registry: a `$ref` never makes this process fetch an address.
    return Draft202012Validator(orjson.loads(schema), registry=Registry())
