"""What providers' answers say, read from what came over the wire.

Pure: replies in, values out. An answer that can't be used is a ProviderError (`failures`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import orjson

from eventstream.llm.contract import CONTENT_FILTER, TRUNCATED, FloatArray
from eventstream.llm.cost import Tokens
from eventstream.llm.failures import ErrorKind, ProviderError
from eventstream.llm.limits import Advertised
from eventstream.llm.reply import Reply, advertised
from eventstream.llm.tokens import estimate_tokens

MOST_TOKENS: Final = 1_000_000_000
"""No call has more, and sums of so many stay within what Redis counts."""
_WHOLE: Final = frozenset({"stop", "eos", "eos_token", "end_turn", "stop_sequence"})
_ENDINGS: Final = {
    "max_tokens": TRUNCATED,
    # Gemini's names for what its filters stopped.
    **dict.fromkeys(
        ("safety", "recitation", "prohibited_content", "blocklist", "spii"), CONTENT_FILTER
    ),
}
"""Some providers' own words for endings, as OpenAI writes them."""


@dataclass(frozen=True)
class Answered:
    """What every successful call brings."""

    tokens: Tokens
    said: Advertised = field(default_factory=Advertised)


@dataclass(frozen=True)
class ChatAnswer(Answered):
    """A model's answer to a conversation."""

    content: str = ""
    finish_reason: str = "stop"
    refusal: str = ""
    """The model's own words when it declines."""

    @property
    def whole(self) -> bool:
        """Whether the model came to its own end: an ending that nobody knows may hide an error."""
        return self.finish_reason in _WHOLE


@dataclass(frozen=True)
class Vectors(Answered):
    """Unit vectors, one row a text."""

    rows: FloatArray = field(default_factory=lambda: np.empty((0, 0), dtype=np.float32))


def _document(reply: Reply) -> dict[str, Any]:
    try:
        document = orjson.loads(reply.content)
    except orjson.JSONDecodeError as error:
        raise ProviderError(ErrorKind.MALFORMED, "the answer is not JSON") from error
    if not isinstance(document, dict):
        raise ProviderError(ErrorKind.MALFORMED, "the answer is not a JSON object")
    return document


def _counted(document: dict[str, Any]) -> Tokens | None:
    """What the provider counted; None where it says nothing. Raises what unreadable counts do."""
    usage = document.get("usage") or {}
    prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    if not prompt and not completion:
        return None
    details = usage.get("prompt_tokens_details") or {}
    return Tokens(
        prompt=prompt,
        # Gemini bills thinking as output, and counts it in the total only.
        completion=max(completion, _count(usage, "total_tokens") - prompt),
        cached_prompt=min(prompt, _count(details, "cached_tokens")),
    )


def _count(counts: dict[str, Any], name: str) -> int:
    """A number of tokens; 0 where none is said, or what can be none (a gateway's underflow)."""
    number = float(counts.get(name) or 0)
    return int(number) if 0 <= number <= MOST_TOKENS else 0


def _text(content: Any) -> str:
    """The text of a message, which may come in parts, some of them thoughts (Mistral)."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part["type"] == "text")
    if not isinstance(content, str):
        raise TypeError("content")
    return content


def _ending(reason: Any) -> str:
    """A finish reason as OpenAI would write it; compatible servers may give none."""
    words = str(reason or "stop").lower()
    return _ENDINGS.get(words, words)


def chat_answer(reply: Reply, prompt_tokens: int) -> ChatAnswer:
    """A model's answer; `prompt_tokens` counts where the provider does not.

    Raises ProviderError (MALFORMED), with the tokens that the provider counted all the same.
    """
    document = _document(reply)
    counted: Tokens | None = None
    try:
        counted = _counted(document)
        choice = document["choices"][0]
        if choice.get("error"):
            raise ValueError("error")
        message = choice["message"]
        content = _text(message.get("content") or "")
        refusal = message.get("refusal") or ""
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise ProviderError(
            ErrorKind.MALFORMED,
            "the answer holds no message",
            said=advertised(reply.headers),
            tokens=counted,
        ) from error
    return ChatAnswer(
        # No call is free.
        counted or Tokens(prompt_tokens, estimate_tokens(content)),
        advertised(reply.headers),
        content=content,
        finish_reason=_ending(choice.get("finish_reason")),
        refusal=str(refusal),
    )


def vectors_of(reply: Reply, shape: tuple[int, int], estimate: Tokens) -> Vectors:
    """Unit rows of an embeddings answer that must have this shape.

    Raises ProviderError: MALFORMED, or REFUSED for vectors of another length, with the tokens that
    the provider counted all the same.
    """
    document = _document(reply)
    counted: Tokens | None = None
    said = advertised(reply.headers)
    try:
        counted = _counted(document)
        items = sorted(document["data"], key=lambda item: item.get("index", 0))
        rows = np.array([item["embedding"] for item in items], dtype=np.float32)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ProviderError(
            ErrorKind.MALFORMED, "the answer holds no vectors", said=said, tokens=counted
        ) from error
    if rows.shape != shape:
        raise ProviderError(
            ErrorKind.REFUSED,
            f"the vectors came as {rows.shape}, {shape} was expected: see VECTOR_DIMENSION",
            said=said,
            tokens=counted,
            begun=True,
        )
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.all(np.isfinite(lengths)) or not np.all(lengths > 0):
        raise ProviderError(
            ErrorKind.MALFORMED, "a vector has no direction", said=said, tokens=counted
        )
    return Vectors(counted or estimate, said, rows=rows / lengths)
