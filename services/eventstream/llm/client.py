"""One client of the OpenAI protocol for every provider.

It makes one call, once: no retries, no limits, no cost (`calls` does that), and what came back is
read by `wire`. The protocol is a POST of JSON and its answer, so it is spoken here over aiohttp:
the openai package costs ten times the CPU a call, and CPU is what limits a worker process (see
docs/decisions/0012).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import orjson
import truststore

from eventstream import __version__
from eventstream.llm.cost import Tokens
from eventstream.llm.prompts import Message
from eventstream.llm.providers import Endpoint
from eventstream.llm.tokens import estimate_conversation, estimate_tokens
from eventstream.llm.wire import (
    ChatAnswer,
    ErrorKind,
    ProviderError,
    Reply,
    Vectors,
    chat_answer,
    status_error,
    vectors_of,
)

CONNECT_TIMEOUT_SECONDS: Final = 5.0
MAX_CONNECTIONS: Final = 256
IDLE_SECONDS: Final = 30.0
"""Shorter than providers keep an idle connection, so that it is not they who close it under us."""
ACCOUNT_HEADERS: Final = {
    "OPENAI_ORG_ID": "OpenAI-Organization",
    "OPENAI_PROJECT_ID": "OpenAI-Project",
}
"""Variables that OpenAI's own packages know, and what they send for them; to OpenAI alone."""


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

    `environment` is where OpenAI's account variables are looked for.
    """

    def __init__(self, endpoint: Endpoint, environment: Mapping[str, str] | None = None) -> None:
        self._endpoint = endpoint
        self._base_url = endpoint.base_url.rstrip("/")
        account = environment if environment and endpoint.facts.name == "openai" else {}
        self._headers = {
            "Authorization": f"Bearer {endpoint.key}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": f"ai-eventstream/{__version__}",
            **{
                ACCOUNT_HEADERS[name]: account[name]
                for name in ACCOUNT_HEADERS
                if account.get(name)
            },
        }
        self._proxy = _proxy_for(self._base_url)
        self._session: aiohttp.ClientSession | None = None
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
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(self, path: str, payload: dict[str, Any], timeout_seconds: float) -> Reply:
        try:
            async with (
                asyncio.timeout(timeout_seconds),
                self._open_session().post(
                    self._base_url + path,
                    data=orjson.dumps(payload),
                    headers=self._headers,
                    proxy=self._proxy,
                    # A redirection would take the key elsewhere.
                    allow_redirects=False,
                ) as response,
            ):
                try:
                    reply = Reply(response.status, response.headers, await response.read())
                except (aiohttp.ClientError, OSError) as error:
                    raise ProviderError(
                        ErrorKind.CONNECTION, "the answer could not be read to its end"
                    ) from error
        except TimeoutError as error:  # aiohttp's own, for connecting, is one too
            raise ProviderError(
                ErrorKind.TIMEOUT, f"no answer within {timeout_seconds:.0f} s"
            ) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # ValueError: what came is not HTTP, or the address is none.
            raise ProviderError(ErrorKind.CONNECTION, "the connection failed or was cut") from error
        if not 200 <= reply.status < 300:
            raise status_error(reply, formatted="response_format" in payload)
        return reply

    def _open_session(self) -> aiohttp.ClientSession:
        # Made on the first call, because it belongs to the loop that runs then.
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=MAX_CONNECTIONS,
                    keepalive_timeout=IDLE_SECONDS,
                    # The system's own certificates, on a Mac too.
                    ssl=truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
                ),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                # Proxies are read above; the rest of the environment (a .netrc) has other keys.
                trust_env=False,
            )
        return self._session


def _proxy_for(base_url: str) -> str | None:
    """The proxy that the system names for an address (HTTPS_PROXY and the like), if any."""
    parts = urlsplit(base_url)
    if parts.hostname is None or proxy_bypass(parts.hostname):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


def _response_format(schema: Mapping[str, Any] | None) -> dict[str, Any] | None:
    # The protocol knows objects only; another kind of value is asked for in the prompt alone.
    if schema is None or schema.get("type") != "object":
        return None
    return {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": dict(schema), "strict": False},
    }
