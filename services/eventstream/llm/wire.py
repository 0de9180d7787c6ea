"""What providers' answers and errors say, read from what came over the wire.

Pure: replies in, values out. Every error becomes a ProviderError of a kind that can be decided
upon.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

import numpy as np
import orjson

from eventstream.llm.contract import CONTENT_FILTER, TRUNCATED, FloatArray
from eventstream.llm.cost import Tokens
from eventstream.llm.limits import Advertised, Quantity
from eventstream.llm.tokens import estimate_tokens

_MESSAGE_CHARS: Final = 300
MOST_TOKENS: Final = 1_000_000_000
"""No call has more, and sums of so many stay within what Redis counts."""
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_LIMIT_AND_WISH: Final = re.compile(
    r"limit:? (\d[\d,]{0,15}).{0,60}?requested:? (\d[\d,]{0,15})", re.ASCII
)
_UNIT_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


_WHOLE: Final = frozenset({"stop", "eos", "eos_token", "end_turn", "stop_sequence"})
_ENDINGS: Final = {
    "max_tokens": TRUNCATED,
    # Gemini's names for what its filters stopped.
    **dict.fromkeys(
        ("safety", "recitation", "prohibited_content", "blocklist", "spii"), CONTENT_FILTER
    ),
}
"""Some providers' own words for endings, as OpenAI writes them."""


class ErrorKind(StrEnum):
    """What a failed call means. Also the `error_type` of its metric."""

    RATE_LIMITED = "rate_limited"
    QUOTA = "quota_exhausted"
    AUTH = "key_refused"
    FORMAT = "format_refused"
    REFUSED = "refused"
    SERVER = "server_error"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    MALFORMED = "malformed_answer"

    @property
    def passing(self) -> bool:
        """Whether the same call may well succeed in a moment."""
        return self in (
            ErrorKind.SERVER,
            ErrorKind.TIMEOUT,
            ErrorKind.CONNECTION,
            ErrorKind.MALFORMED,
        )


class ProviderError(Exception):
    """A call that brought no answer."""

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        status: int | None = None,
        retry_after_seconds: float | None = None,
        said: Advertised | None = None,
        tokens: Tokens | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status
        self.retry_after_seconds = retry_after_seconds
        self.said = said
        self.tokens = tokens
        """What the provider counted all the same, and bills."""


@dataclass(frozen=True)
class Reply:
    """What came over the wire. `headers` are found in any case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


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


def status_error(reply: Reply, *, formatted: bool, secret: str | None = None) -> ProviderError:
    """What an error status means; `formatted`: the request had a `response_format`.

    `secret`: the key of the request. Some servers quote it, and what they say is logged.
    """
    status = reply.status
    detail = _error_object(reply.content)
    location = reply.headers.get("location", "")
    if 300 <= status < 400 and location:
        # Bytes that are no ASCII come as half characters, which no log line can hold.
        where = location.encode("ascii", "backslashreplace").decode()
        message = _sayable(
            f"it redirects to {where}, where the key does not follow:"
            " set the provider's address to where it leads",
            secret,
        )
    else:
        message = _provider_message(detail, secret)
    if status == 402 or (status == 429 and detail.get("code") == "insufficient_quota"):
        # A spent account: no short wait helps it.
        kind = ErrorKind.QUOTA
    elif status == 429 and _above_the_limit(message):
        # It would be refused however long it waits, and the limit is not used up for others.
        kind = ErrorKind.REFUSED
    elif status == 429:
        kind = ErrorKind.RATE_LIMITED
    elif status == 403 and _about_one_text(detail):
        kind = ErrorKind.REFUSED
    elif status in (401, 403) or (status == 400 and "api key not valid" in message.lower()):
        # Gemini answers 400 to a key that it does not know.
        kind = ErrorKind.AUTH
    elif status in (408, 409, 425) or status >= 500:
        kind = ErrorKind.SERVER
    elif status in (400, 422) and formatted and _about_format(message):
        kind = ErrorKind.FORMAT
    else:
        kind = ErrorKind.REFUSED
    retry_after_seconds = retry_after(reply.headers)
    if retry_after_seconds is None:
        retry_after_seconds = _retry_delay(detail)
    return ProviderError(
        kind,
        f"{status}: {message}",
        status=status,
        retry_after_seconds=retry_after_seconds,
        said=advertised(reply.headers),
    )


def error_in_answer(reply: Reply, *, formatted: bool, secret: str | None) -> ProviderError | None:
    """The error that stands where an answer should, in a reply whose status says that all is well;
    None where there is none. Gateways do so once they have begun to answer.
    """
    try:
        body = orjson.loads(reply.content)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(body, dict) or not _said_error(body):
        return None
    detail = _error_object(reply.content)
    code = detail.get("code")
    if isinstance(code, int) and 400 <= code <= 599:
        return status_error(replace(reply, status=code), formatted=formatted, secret=secret)
    words = _provider_message(detail, secret)
    return ProviderError(ErrorKind.MALFORMED, f"an error in place of an answer: {words}")


def _above_the_limit(message: str) -> bool:
    """Whether one request alone asks for more than the whole limit that a 429 names."""
    words = message.lower()
    if "request too large" in words:
        return True
    named = _LIMIT_AND_WISH.search(words)
    if named is None:
        return False
    limit, wish = (int(number.replace(",", "")) for number in named.groups())
    return wish > limit


def _about_one_text(detail: dict[str, Any]) -> bool:
    """Whether a 403 speaks of what was asked (OpenRouter's moderation) and not of the key."""
    metadata = detail.get("metadata")
    if isinstance(metadata, dict) and (metadata.get("flagged_input") or metadata.get("reasons")):
        return True
    words = str(detail.get("message")).lower()
    if "account" in words or "organization" in words:
        return False  # flagged, too, but with all that it asks
    return "moderation" in words or "flagged" in words


def _about_format(message: str) -> bool:
    words = message.lower()
    return any(word in words for word in ("response_format", "response format", "schema"))


def _error_object(content: bytes) -> dict[str, Any]:
    """The object that describes an error, wherever a provider puts it (Gemini: in a list)."""
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}  # a gateway's page, or nothing
    if isinstance(body, list) and body:
        body = body[0]
    inner = (_said_error(body) or body) if isinstance(body, dict) else None
    if isinstance(inner, dict) and "message" not in inner and isinstance(inner.get("detail"), str):
        inner = inner["detail"]  # as FastAPI says it, and servers made with it
    return (
        {"message": inner} if isinstance(inner, str) else inner if isinstance(inner, dict) else {}
    )


def _said_error(body: dict[str, Any]) -> Any:
    """The error that a body tells of, at its top or in its first choice (OpenRouter)."""
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return body.get("error") or (first.get("error") if isinstance(first, dict) else None)


def _provider_message(detail: dict[str, Any], secret: str | None) -> str:
    text = detail.get("message")
    return _sayable(text if isinstance(text, str) and text else "no reason was given", secret)


def _sayable(words: str, secret: str | None) -> str:
    if secret:
        words = words.replace(secret, "***")
    return words if len(words) <= _MESSAGE_CHARS else words[: _MESSAGE_CHARS - 1] + "…"


def _retry_delay(detail: dict[str, Any]) -> float | None:
    """Gemini's `google.rpc.RetryInfo`, which stands in the body instead of a header."""
    details = detail.get("details")
    for item in details if isinstance(details, list) else []:
        if isinstance(item, dict) and isinstance(item.get("retryDelay"), str):
            return _duration_seconds(item["retryDelay"])
    return None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a provider asks to wait; None where it says nothing usable."""
    # Dates are allowed by RFC 9110 but sent by none of these providers.
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * scale
        except ValueError:
            continue
        if 0 <= seconds <= 86_400:
            return seconds
    return None


def advertised(headers: Mapping[str, str]) -> Advertised:
    """What `x-ratelimit-*` headers say; what is missing or unreadable is left out."""
    return Advertised(_said_about("requests", headers), _said_about("tokens", headers))


def _said_about(quantity: str, headers: Mapping[str, str]) -> Quantity | None:
    try:
        limit = int(headers.get(f"x-ratelimit-limit-{quantity}", ""))
        remaining = int(headers.get(f"x-ratelimit-remaining-{quantity}", ""))
    except ValueError:
        return None
    seconds = _duration_seconds(headers.get(f"x-ratelimit-reset-{quantity}", ""))
    if seconds is None or limit <= 0 or remaining < 0:
        return None
    return Quantity(limit, remaining, seconds)


def _duration_seconds(text: str) -> float | None:
    """Seconds of a duration as OpenAI writes it: `6m0s`, `1.5s`, `20ms`."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)


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
        )
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.all(np.isfinite(lengths)) or not np.all(lengths > 0):
        raise ProviderError(
            ErrorKind.MALFORMED, "a vector has no direction", said=said, tokens=counted
        )
    return Vectors(counted or estimate, said, rows=rows / lengths)
