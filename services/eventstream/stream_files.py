"""Streams as YAML: the documents that `kubectl apply` and `eventstream up -f` both take.

It reads text that a caller hands in, and opens no file. One mistake is one sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from eventstream.errors import ConfigurationError
from eventstream.keys import RESERVED_STREAM_NAMES
from eventstream.spec import API_VERSION, HANDED_IN, StreamSpec
from eventstream.yaml_text import WAY_OUT, read_documents

_STREAM_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class ResourceMetadata(BaseModel):
    """The part of a Kubernetes object's metadata that a local run needs."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @field_validator("name")
    @classmethod
    def _kubernetes_name(cls, value: str) -> str:
        if not _STREAM_NAME.fullmatch(value):
            raise ValueError(
                "must be lower-case letters, digits and '-', begin and end with a letter or digit,"
                " at most 63 characters"
            )
        if value in RESERVED_STREAM_NAMES:
            raise ValueError(
                f"{value!r} is the name of a Redis key that Celery or EventStream itself uses, and"
                " a stream's queue has its name: choose another"
            )
        return value


class EventStreamResource(BaseModel):
    """A whole EventStream document, as `kubectl apply` and `eventstream up -f` take it."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    api_version: Literal["ai-eventstream.io/v1alpha1"] = Field(alias="apiVersion")
    kind: Literal["EventStream"]
    metadata: ResourceMetadata
    spec: StreamSpec = StreamSpec()
    status: dict[str, Any] | None = None


def read_stream_file(text: str, where: str) -> dict[str, StreamSpec]:
    """The streams in a YAML file's text (one or more documents): name -> spec.

    Raises ConfigurationError naming `where`, the field and what would be right.
    """
    streams: dict[str, StreamSpec] = {}
    for name, spec in _documents(text, where):
        if name in streams:
            raise ConfigurationError(where, f"stream {name!r} stands twice", "Give each its name")
        streams[name] = spec
    if not streams:
        raise ConfigurationError(
            where, "holds no EventStream", f"Begin with `apiVersion: {API_VERSION}`"
        )
    return streams


def _documents(text: str, where: str) -> Iterator[tuple[str, StreamSpec]]:
    for document in read_documents(text, where):
        try:
            # As the API server takes it: no "20" for 20, no max_tokens for maxTokens.
            resource = EventStreamResource.model_validate(
                document, context=HANDED_IN, strict=True, by_alias=True, by_name=False
            )
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(str(part) for part in problem["loc"]) or "the document"
            message = problem["msg"].removeprefix("Value error, ")
            raise ConfigurationError(where, f"{field}: {message}", WAY_OUT) from error
        yield resource.metadata.name, resource.spec
