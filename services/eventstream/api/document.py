"""The OpenAPI document: what FastAPI derives, with what the code itself checks added by hand.

Bodies and parameters are read by our own strict path (`body`, `parameters`), so they are described
here. What depends on the installation (streams, their task types and models) is filled in when the
document is asked for: it then says what this API really takes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from eventstream.api.overview import task_types_of
from eventstream.api.parameters import (
    MAX_IDEMPOTENCY_KEY_CHARS,
    MAX_NAME_CHARS,
    MAX_WAIT_SECONDS,
)
from eventstream.api.problems import KINDS
from eventstream.api.schemas import ProblemDocument
from eventstream.events import TaskStatus
from eventstream.spec import StreamSpec

DESCRIPTION: Final = """
Send texts, get a language model's answers. `POST /process` accepts a text and answers at once with
a `task_id`; `GET /task/{task_id}` has the result. Add `?wait=SECONDS` to either and the answer
comes with the result as soon as it is there.

202 means that the event is stored and will be worked on. Every error is a problem document
(RFC 9457) with a stable `reason`. Where an API key is needed, send `Authorization: Bearer KEY` or
`X-API-Key: KEY`.
"""

TASK_STATUS_EXAMPLE: Final = {
    "task_id": "5f0c6a7e-3b1f-4f0e-9a55-6c2f0a3d9b11",
    "status": "SUCCESS",
    "result": {
        "response": "positive",
        "task_type": "sentiment_analysis",
        "model": "gpt-4o-mini",
        "processing_time": 0.8,
        "from_cache": False,
        "metadata": {"tokens_used": 61, "prompt_tokens": 59, "completion_tokens": 2},
    },
    "error": None,
    "progress": {"stream": "default", "queue": "ai_processing", "deliveries": 1},
}

Parameter = dict[str, Any]

WAIT: Final[Parameter] = {
    "name": "wait",
    "in": "query",
    "required": False,
    "description": "Stay up to so many seconds for the result.",
    "schema": {"type": "number", "minimum": 0, "maximum": MAX_WAIT_SECONDS},
}
IDEMPOTENCY_KEY: Final[Parameter] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key with the same content gives the same task; with other content 422."
    " Choose a new one (a UUID) for each new request.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_IDEMPOTENCY_KEY_CHARS,
        "pattern": "^[!-~]+$",
    },
}
TASK_ID: Final[Parameter] = {
    "name": "task_id",
    "in": "path",
    "required": True,
    "description": "From POST /process, or a Kafka event's id. It may hold slashes.",
    "schema": {"type": "string", "minLength": 1},
}


def name_in_query(name: str, description: str) -> Parameter:
    """A query parameter that names something."""
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_NAME_CHARS,
            "pattern": "^[!-~]+$",
        },
    }


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """`requestBody` of an operation that takes `model` as JSON."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def responses(
    success: Mapping[int, tuple[type[BaseModel], str]], *problems: int
) -> dict[int | str, dict[str, Any]]:
    """`responses` of an operation: its bodies by status, and the problems it may answer with."""
    declared: dict[int | str, dict[str, Any]] = {
        status: {"model": model, "description": description}
        for status, (model, description) in success.items()
    }
    for about in declared.values():
        if about["model"] is TaskStatus:
            about["content"] = {"application/json": {"example": TASK_STATUS_EXAMPLE}}
    for status in sorted({*problems, 500}):
        titles = sorted({kind.title for kind in KINDS.values() if kind.status == status})
        declared[status] = {
            "description": "; ".join(titles),
            "content": {
                "application/problem+json": {
                    "schema": {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"}
                }
            },
        }
    return declared


def complete(
    derived: Mapping[str, Any],
    models: tuple[type[BaseModel], ...],
    streams: Mapping[str, StreamSpec],
    *,
    needs_keys: bool,
) -> dict[str, Any]:
    """The document that FastAPI derived, made whole.

    `models`: those that are only referred to by hand. `streams`: known now; without any, names
    and models are left open.
    """
    document = copy.deepcopy(dict(derived))
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for model in models:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    _tell_what_is_checked(schemas["ProcessRequest"]["properties"], streams)
    for path in document["paths"].values():
        for operation in path.values():
            # FastAPI takes the whole docstring where the summary is all there is.
            if operation.get("description", "").rstrip(".") == operation["summary"]:
                del operation["description"]
    if needs_keys:
        document["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "x_api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        for path in document["paths"].values():
            for operation in path.values():
                if "401" in operation["responses"]:
                    operation["security"] = [{"bearer": []}, {"x_api_key": []}]
    return document


def _tell_what_is_checked(properties: dict[str, Any], streams: Mapping[str, StreamSpec]) -> None:
    """What the validators check and a derived schema can't say."""
    # At least one character that is not white space, and no NUL.
    properties["text"]["pattern"] = r"^[^\x00]*[^\s\x00][^\x00]*$"
    if not streams:
        return
    task_types = sorted({name for spec in streams.values() for name in task_types_of(spec)})
    models = sorted({name for spec in streams.values() for name in spec.model.allowed_names()})
    properties["stream"] = {
        "type": "string",
        "enum": sorted(streams),
        "default": "default",
        "title": "Stream",
    }
    properties["task_type"] = {
        "enum": [*task_types, None],
        "default": None,
        "title": "Task type",
        "description": "Left out: the stream's own (general_analysis in `default`).",
    }
    properties["model"] = {
        "enum": [*models, None],
        "default": None,
        "title": "Model",
        "description": "One that the stream allows. Left out: the stream's own.",
    }
