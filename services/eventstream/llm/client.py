"""One client of the OpenAI protocol for every provider: what goes over the wire and comes back.

It makes one call, once: no retries, no limits, no cost (`calls` does that). Answers are read from
the raw bytes, which is a third cheaper than the library's models and lets the rate-limit headers
be seen. What goes wrong becomes a ProviderError of a kind that can be decided upon.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import httpx2
import numpy as np
import openai
import orjson

from eventstream.llm.contract import FloatArray
from eventstream.llm.cost import Tokens
from eventstream.llm.limits import Advertised, Quantity
from eventstream.llm.prompts import Message
from eventstream.llm.providers import Endpoint
from eventstream.llm.tokens import estimate_conversation, estimate_tokens

CONNECT_TIMEOUT_SECONDS: Final = 5.0
MAX_CONNECTIONS: Final = 256

_MESSAGE_CHARS: Final = 300
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNIT_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


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
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status
        self.retry_after_seconds = retry_after_seconds
        self.said = said


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


@dataclass(frozen=True)
class Vectors(Answered):
    """Unit vectors, one row a text."""

    rows: FloatArray = field(default_factory=lambda: np.empty((0, 0), dtype=np.float32))


@dataclass(frozen=True)
class ChatRequest:
    """One conversation to be answered."""

    model: str
    messages: Sequence[Message]
    temperature: float
    max_tokens: int
    output_schema: Mapping[str, Any] | None = None


class ProviderClient:
    """Connections to one endpoint. Make it after the fork, in the loop that uses it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._http = openai.DefaultAioHttpClient(
            timeout=httpx2.Timeout(60.0, connect=CONNECT_TIMEOUT_SECONDS),
            limits=httpx2.Limits(max_connections=MAX_CONNECTIONS),
            follow_redirects=False,
        )
        # The library would add these from its own variables, to any address.
        foreign = endpoint.facts.name != "openai"
        omitted: Any = {
            name: openai.Omit() for name in ("OpenAI-Organization", "OpenAI-Project") if foreign
        }
        self._client = openai.AsyncOpenAI(
            api_key=endpoint.key,
            base_url=endpoint.base_url,
            max_retries=0,
            default_headers=omitted,
            http_client=self._http,
        )
        self._refuses_format = False

    async def chat(self, request: ChatRequest, *, timeout_seconds: float) -> ChatAnswer:
        """Ask for one answer. Raises ProviderError.

        An endpoint that refuses `response_format` is asked without it from then on: the schema
        stands in the prompt as well.
        """
        payload: dict[str, Any] = {
            "model": request.model,
            "messages": list(request.messages),
            self._endpoint.facts.length_field: request.max_tokens,
        }
        if self._endpoint.takes_temperature(request.model):
            payload["temperature"] = request.temperature
        form = _response_format(request.output_schema)
        prompt_tokens = estimate_conversation(request.messages)
        if form is not None and not self._refuses_format:
            try:
                return _chat_answer(
                    await self._post(
                        "/chat/completions", {**payload, "response_format": form}, timeout_seconds
                    ),
                    prompt_tokens,
                )
            except ProviderError as error:
                if error.kind is not ErrorKind.FORMAT:
                    raise
                self._refuses_format = True
        return _chat_answer(
            await self._post("/chat/completions", payload, timeout_seconds), prompt_tokens
        )

    async def embed(
        self, model: str, texts: Sequence[str], dimension: int, *, timeout_seconds: float
    ) -> Vectors:
        """Vectors of texts, in order. Raises ProviderError."""
        reply = await self._post(
            "/embeddings",
            {"model": model, "input": list(texts), "encoding_format": "float"},
            timeout_seconds,
        )
        estimate = Tokens(prompt=sum(estimate_tokens(text) for text in texts))
        return _vectors(reply, (len(texts), dimension), estimate)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def _post(
        self, path: str, payload: dict[str, Any], timeout_seconds: float
    ) -> httpx2.Response:
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._client.post(
                    path,
                    cast_to=httpx2.Response,
                    body=payload,
                    options={
                        "timeout": httpx2.Timeout(
                            timeout_seconds, connect=min(CONNECT_TIMEOUT_SECONDS, timeout_seconds)
                        )
                    },
                )
        except (TimeoutError, openai.APITimeoutError) as error:
            raise ProviderError(
                ErrorKind.TIMEOUT, f"no answer within {timeout_seconds:.0f} s"
            ) from error
        except openai.APIConnectionError as error:
            raise ProviderError(ErrorKind.CONNECTION, "the connection failed or was cut") from error
        except openai.APIStatusError as error:
            raise _status_error(error, "response_format" in payload) from error
        except (openai.APIError, httpx2.HTTPError, OSError) as error:
            raise ProviderError(
                ErrorKind.CONNECTION, "the answer could not be read to its end"
            ) from error


def _response_format(schema: Mapping[str, Any] | None) -> dict[str, Any] | None:
    # The protocol knows objects only; another kind of value is asked for in the prompt alone.
    if schema is None or schema.get("type") != "object":
        return None
    return {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": dict(schema), "strict": False},
    }


def _status_error(error: openai.APIStatusError, formatted: bool) -> ProviderError:
    status = error.status_code
    message = _provider_message(error)
    if status == 429:
        # A spent account also answers 429, but no waiting helps it.
        kind = ErrorKind.QUOTA if error.code == "insufficient_quota" else ErrorKind.RATE_LIMITED
    elif status in (401, 403):
        kind = ErrorKind.AUTH
    elif status in (408, 409, 425) or status >= 500:
        kind = ErrorKind.SERVER
    elif status in (400, 422) and formatted and _about_format(message):
        kind = ErrorKind.FORMAT
    elif status == 400 and "api key not valid" in message.lower():
        # Gemini answers 400 to a key that it does not know.
        kind = ErrorKind.AUTH
    else:
        kind = ErrorKind.REFUSED
    headers = error.response.headers
    return ProviderError(
        kind,
        f"{status}: {message}",
        status=status,
        retry_after_seconds=_retry_after(headers),
        said=advertised(headers),
    )


def _about_format(message: str) -> bool:
    words = message.lower()
    return any(word in words for word in ("response_format", "json_schema", "response format"))


def _provider_message(error: openai.APIStatusError) -> str:
    body = error.body
    inner = body.get("error", body) if isinstance(body, dict) else None
    text = inner.get("message") if isinstance(inner, dict) else None
    words = text if isinstance(text, str) and text else "no reason was given"
    return words if len(words) <= _MESSAGE_CHARS else words[: _MESSAGE_CHARS - 1] + "…"


def _retry_after(headers: Mapping[str, str]) -> float | None:
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


def _document(response: httpx2.Response) -> dict[str, Any]:
    try:
        document = orjson.loads(response.content)
    except orjson.JSONDecodeError as error:
        raise ProviderError(ErrorKind.MALFORMED, "the answer is not JSON") from error
    if not isinstance(document, dict):
        raise ProviderError(ErrorKind.MALFORMED, "the answer is not a JSON object")
    return document


def _tokens(document: dict[str, Any], estimate: Tokens) -> Tokens:
    """What the provider counted; the estimate where it says nothing: no call is free."""
    usage = document.get("usage") or {}
    if not usage.get("prompt_tokens") and not usage.get("completion_tokens"):
        return estimate
    details = usage.get("prompt_tokens_details") or {}
    return Tokens(
        prompt=int(usage.get("prompt_tokens") or 0),
        completion=int(usage.get("completion_tokens") or 0),
        cached_prompt=int(details.get("cached_tokens") or 0),
    )


def _chat_answer(response: httpx2.Response, prompt_tokens: int) -> ChatAnswer:
    document = _document(response)
    try:
        choice = document["choices"][0]
        message = choice["message"]
        content = message.get("content") or ""
        refusal = message.get("refusal") or ""
        if not isinstance(content, str):
            raise TypeError("content")
        tokens = _tokens(document, Tokens(prompt_tokens, estimate_tokens(content)))
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise ProviderError(ErrorKind.MALFORMED, "the answer holds no message") from error
    return ChatAnswer(
        tokens,
        advertised(response.headers),
        content=content,
        finish_reason=str(choice.get("finish_reason") or "stop"),
        refusal=str(refusal),
    )


def _vectors(response: httpx2.Response, shape: tuple[int, int], estimate: Tokens) -> Vectors:
    document = _document(response)
    try:
        items = sorted(document["data"], key=lambda item: item.get("index", 0))
        rows = np.array([item["embedding"] for item in items], dtype=np.float32)
        tokens = _tokens(document, estimate)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ProviderError(ErrorKind.MALFORMED, "the answer holds no vectors") from error
    if rows.shape != shape:
        raise ProviderError(
            ErrorKind.REFUSED,
            f"the vectors came as {rows.shape}, {shape} was expected: see VECTOR_DIMENSION",
        )
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.all(np.isfinite(lengths)) or not np.all(lengths > 0):
        raise ProviderError(ErrorKind.MALFORMED, "a vector has no direction")
    return Vectors(tokens, advertised(response.headers), rows=rows / lengths)
