"""One client of the OpenAI protocol for every provider.

It makes one call, once: no retries, no limits, no cost (`calls` does that). `transport` carries it,
and what came back is read by `wire` and `failures`. The protocol is a POST of JSON, so it is spoken
here: the provider's own package costs several times the CPU (docs/decisions/0013).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from eventstream import __version__
from eventstream.llm.cost import Tokens
from eventstream.llm.failures import ErrorKind, ProviderError, error_in_answer, status_error
from eventstream.llm.prompts import Message
from eventstream.llm.providers import Endpoint
from eventstream.llm.reply import Reply
from eventstream.llm.surroundings import proxy_for, tls_context
from eventstream.llm.tokens import estimate_conversation, estimate_tokens
from eventstream.llm.transport import Sending, Transport
from eventstream.llm.wire import ChatAnswer, Vectors, chat_answer, vectors_of

ACCOUNT_HEADERS: Final = {
    "OPENAI_ORG_ID": "OpenAI-Organization",
    "OPENAI_PROJECT_ID": "OpenAI-Project",
}
"""Variables that OpenAI's own packages know, and what is sent for them, to OpenAI alone."""


@dataclass(frozen=True)
class ChatRequest:
    """One conversation to be answered."""

    model: str
    messages: Sequence[Message]
    temperature: float
    max_tokens: int
    output_schema: Mapping[str, Any] | None = None


class ProviderClient:
    """Connections to one endpoint. Make it after the fork, in the loop that uses it.

    `environment` is where account, proxies and certificates are looked for. Raises
    ConfigurationError for certificates that can't be read.
    """

    def __init__(self, endpoint: Endpoint, environment: Mapping[str, str]) -> None:
        self._endpoint = endpoint
        self._transport = Transport(
            endpoint.base_url,
            _headers(endpoint, environment),
            proxy=proxy_for(endpoint.base_url, environment),
            tls=tls_context(environment) if endpoint.base_url.startswith("https") else None,
        )
        self._refused_formats: set[tuple[str, bytes]] = set()

    async def chat(
        self, request: ChatRequest, *, timeout_seconds: float, sending: Sending | None = None
    ) -> ChatAnswer:
        """Ask for one answer; `sending` says meanwhile what of it was sent. Raises ProviderError.

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
        refused: ProviderError | None = None
        if form is not None and wanted not in self._refused_formats:
            try:
                formatted = {**payload, "response_format": form}
                return await self._ask(formatted, prompt_tokens, timeout_seconds, sending)
            except ProviderError as error:
                if error.kind is not ErrorKind.FORMAT:
                    raise
                self._refused_formats.add(wanted)
                refused = error
        try:
            answer = await self._ask(payload, prompt_tokens, timeout_seconds, sending)
        except ProviderError as error:
            error.earlier = refused
            raise
        if refused is None:
            return answer
        # A gateway may refuse with status 200, and bill it.
        lost = refused.counts_as(Tokens(prompt_tokens, request.max_tokens))
        return replace(answer, tokens=answer.tokens + lost)

    async def embed(
        self,
        model: str,
        texts: Sequence[str],
        dimension: int,
        *,
        timeout_seconds: float,
        sending: Sending | None = None,
    ) -> Vectors:
        """Vectors of texts, in order; `sending` as in `chat`. Raises ProviderError."""
        reply = await self._post(
            "/embeddings",
            {"model": model, "input": list(texts), "encoding_format": "float"},
            timeout_seconds,
            sending,
        )
        estimate = Tokens(prompt=sum(estimate_tokens(text) for text in texts))
        try:
            return vectors_of(reply, (len(texts), dimension), estimate)
        except ProviderError as error:
            self._raise_what_was_said(reply, error, formatted=False)
            raise

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def _ask(
        self,
        payload: dict[str, Any],
        prompt_tokens: int,
        timeout_seconds: float,
        sending: Sending | None,
    ) -> ChatAnswer:
        reply = await self._post("/chat/completions", payload, timeout_seconds, sending)
        try:
            return chat_answer(reply, prompt_tokens)
        except ProviderError as error:
            self._raise_what_was_said(reply, error, formatted="response_format" in payload)
            raise

    def _raise_what_was_said(self, reply: Reply, error: ProviderError, *, formatted: bool) -> None:
        """Raise the provider's own error, where it stands in a reply that can't be read."""
        said = error_in_answer(reply, formatted=formatted, secret=self._endpoint.key)
        if said is not None:
            said.tokens = error.tokens
            raise said from error

    async def _post(
        self,
        path: str,
        payload: dict[str, Any],
        timeout_seconds: float,
        sending: Sending | None,
    ) -> Reply:
        reply = await self._transport.post(
            path, orjson.dumps(payload), timeout_seconds=timeout_seconds, sending=sending
        )
        if not 200 <= reply.status < 300:
            formatted = "response_format" in payload
            raise status_error(reply, formatted=formatted, secret=self._endpoint.key)
        return reply


def _headers(endpoint: Endpoint, environment: Mapping[str, str]) -> dict[str, str]:
    headers = {
        "Accept": "application/json",
        "Content-Type": "application/json",
        "User-Agent": f"ai-eventstream/{__version__}",
    }
    if "@" not in urlsplit(endpoint.base_url).netloc:
        # A user and password in the address are what its server asks for instead.
        headers["Authorization"] = f"Bearer {endpoint.key}"
    if endpoint.facts.name == "openai":
        headers |= {
            header: environment[name]
            for name, header in ACCOUNT_HEADERS.items()
            if environment.get(name)
        }
    return headers


def _response_format(schema: Mapping[str, Any] | None) -> dict[str, Any] | None:
    # The protocol knows objects only; another kind of value is asked for in the prompt alone.
    if schema is None or schema.get("type") != "object":
        return None
    return {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": dict(schema), "strict": False},
    }
