"""What a model is asked: versioned files, the stream's own words, and the text as data.

The system message holds everything that is the same for all texts of a stream (so a provider can
cache it); the user message holds the text alone, between marks that contain a digest of the text,
which the text can't guess. A stream's prompt, labels and schema belong to the stream's own task
type: a caller who asks the stream for another type gets that type's plain form.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Final, TypedDict

import orjson

from eventstream.spec import BUILT_IN_TASK_TYPES, StreamSpec

VERSION: Final = "v1"
SENTIMENTS: Final = ("positive", "negative", "neutral", "mixed")


class Message(TypedDict):
    """One message of a conversation, as the OpenAI protocol writes it."""

    role: str
    content: str


@dataclass(frozen=True)
class TaskForm:
    """What is asked of a model for one task type of one stream, without a text."""

    task_type: str
    instructions: str
    """The stream's own prompt; "" without one."""
    labels: tuple[str, ...]
    """The answer must be one of these; empty: any answer."""
    output_schema: dict[str, Any] | None
    system: str

    @property
    def structured(self) -> bool:
        """Whether the answer has a form that can be wrong."""
        return bool(self.labels) or self.output_schema is not None

    @property
    def version(self) -> str:
        """Name of the prompt in cache scopes: any change of its words is another version."""
        content = orjson.dumps(
            [self.system, self.labels, self.output_schema], option=orjson.OPT_SORT_KEYS
        )
        return f"{self.task_type}.{VERSION}-{hashlib.sha256(content).hexdigest()[:12]}"

    def messages(self, text: str) -> list[Message]:
        """The conversation that asks about one text."""
        mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return [
            {"role": "system", "content": self.system},
            {"role": "user", "content": f"[text {mark}]\n{text}\n[end {mark}]"},
        ]


def form_of(task_type: str, spec: StreamSpec) -> TaskForm:
    """The form of a task type in a stream."""
    own = task_type == spec.task.type
    instructions = spec.task.prompt if own else ""
    schema = spec.task.output_schema if own else None
    labels = spec.task.labels if own else ()
    if schema is not None:
        # A schema says more than labels do; an enum in it is the way to combine them.
        labels = ()
    elif task_type == "sentiment_analysis" and not labels and not instructions:
        labels = SENTIMENTS
    known = task_type if task_type in BUILT_IN_TASK_TYPES else "stream_task"
    parts = [_file(known)]
    if instructions:
        parts.append(f"Instructions:\n{instructions}")
    if labels:
        parts.append("\n".join((_file("labels"), *(f"- {label}" for label in labels))))
    elif schema is not None:
        parts.append(f"{_file('schema')}\n{orjson.dumps(schema).decode()}")
    elif task_type == "classification" and not instructions:
        parts.append(_file("free_label"))
    parts.append(_file("data"))
    return TaskForm(task_type, instructions, labels, schema, "\n\n".join(parts))


def repair(messages: list[Message], answer: str, problem: str) -> list[Message]:
    """The conversation that shows a model its answer and what is wrong with it."""
    return [
        *messages,
        {"role": "assistant", "content": answer},
        {"role": "user", "content": _file("repair").replace("{problem}", problem)},
    ]


@lru_cache(maxsize=32)
def _file(name: str) -> str:
    folder = resources.files("eventstream.llm").joinpath("prompt_files")
    return folder.joinpath(f"{name}.{VERSION}.txt").read_text("utf-8").strip()
