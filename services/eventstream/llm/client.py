"""One client of the OpenAI protocol for every provider.

It makes one call, once: no retries, no limits, no cost (`calls` does that), and what came back is
read by `wire`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx2
import openai
import orjson

from eventstream.llm.cost import Tokens
from eventstream.llm.prompts import Message
from eventstream.llm.providers import Endpoint
from eventstream.llm.tokens import estimate_conversation, estimate_tokens
from eventstream.llm.wire import (
    ChatAnswer,
    ErrorKind,
    ProviderError,
    Vectors,
    chat_answer,
    status_error,
    vectors_of,
)

CONNECT_TIMEOUT_SECONDS: Final = 5.0
MAX_CONNECTIONS: Final = 256


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
        self._refused_formats: set[tuple[str, bytes]] = set()

    async def chat(self, request: ChatRequest, *, timeout_seconds: float) -> ChatAnswer:
        """Ask for one answer. Raises ProviderError.

        Where `response_format` is refused for a model and schema, they are asked without it from
        then on: the schema stands in the prompt as well.
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
        wanted = (request.model, orjson.dumps(form))
        if form is not None and wanted not in self._refused_formats:
            try:
                return chat_answer(
                    await self._post(
                        "/chat/completions", {**payload, "response_format": form}, timeout_seconds
                    ),
                    prompt_tokens,
                )
            except ProviderError as error:
                if error.kind is not ErrorKind.FORMAT:
                    raise
                self._refused_formats.add(wanted)
        return chat_answer(
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
        return vectors_of(reply, (len(texts), dimension), estimate)

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
            raise status_error(error, formatted="response_format" in payload) from error
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
