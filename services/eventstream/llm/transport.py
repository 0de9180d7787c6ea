"""A POST of JSON to one provider and what comes back, over aiohttp.

It knows nothing of models. One attempt, within its time and a bound on what is read; redirections
are not followed, which would take the key elsewhere, and no cookie is kept. aiohttp's own errors
end here: they hold the request's headers, and so the key.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Final

import aiohttp

from eventstream.llm.failures import ErrorKind, ProviderError
from eventstream.llm.reply import Reply

CONNECT_TIMEOUT_SECONDS: Final = 5.0
MAX_CONNECTIONS: Final = 256
IDLE_SECONDS: Final = 4.0
"""How long an unused connection is kept: less than the 5 s after which uvicorn (and so vLLM) closes
one, so that no request is sent into a closing one."""
MAX_REPLY_BYTES: Final = 64 * 1024 * 1024
"""A full batch of the longest vectors (512 of 3,072 numbers) is about half of it."""
MAX_HEADER_BYTES: Final = 64 * 1024


class NotSent(ProviderError):
    """The call failed before any of it was sent: nobody bills it."""

    @property
    def may_be_billed(self) -> bool:
        return False


@dataclass
class Sending:
    """What the connections tell of one call, for whoever is cut off in it."""

    begun: int = 0
    """Requests of which a part may be on its way. 0: it is certain that nothing was sent."""


class Transport:
    """Connections to one address. Make it after the fork; the pool is made by the first call, for
    the loop that runs then.

    `headers` go to the provider alone, never to the `proxy`. `tls` is for an https address.
    """

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        *,
        proxy: str | None,
        tls: ssl.SSLContext | None,
        max_reply_bytes: int = MAX_REPLY_BYTES,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = headers
        self._proxy = proxy
        self._tls = tls
        self._max_reply_bytes = max_reply_bytes
        self._session: aiohttp.ClientSession | None = None

    async def post(
        self, path: str, body: bytes, *, timeout_seconds: float, sending: Sending | None = None
    ) -> Reply:
        """What the provider answers, whatever its status.

        Raises ProviderError: TIMEOUT, CONNECTION (both NotSent where it came to no request), or
        MALFORMED for an answer beyond the bound.
        """
        sending = Sending() if sending is None else sending
        begun_before = sending.begun
        try:
            async with (
                asyncio.timeout(timeout_seconds),
                self._opened().post(
                    self._base_url + path,
                    data=body,
                    headers=self._headers,
                    proxy=self._proxy,
                    allow_redirects=False,
                    trace_request_ctx=sending,
                ) as response,
            ):
                return Reply(response.status, response.headers, await self._read(response))
        except TimeoutError:  # aiohttp's own, for connecting, is one too
            kind, message = ErrorKind.TIMEOUT, f"no answer within {timeout_seconds:.0f} s"
        except aiohttp.ClientConnectorCertificateError:
            kind = ErrorKind.CONNECTION
            message = "its certificate is not trusted: SSL_CERT_FILE names who is"
        except (aiohttp.ClientError, OSError, ValueError):
            # ValueError: the address is none.
            kind, message = ErrorKind.CONNECTION, "the connection failed or was cut"
        # Raised out here it carries no error of aiohttp's along.
        raise (NotSent if sending.begun == begun_before else ProviderError)(kind, message)

    async def aclose(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        content = response.content
        pieces = [await content.readany()]
        length = len(pieces[0])
        while not content.at_eof():
            pieces.append(await content.readany())
            length += len(pieces[-1])
            if length > self._max_reply_bytes:
                response.close()  # What is left of it is not waited for.
                raise ProviderError(
                    ErrorKind.MALFORMED,
                    f"the answer is larger than {self._max_reply_bytes} bytes",
                )
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            # No error of aiohttp's says for certain whether the request was on its way: a time-out
            # may come while it still waits for a connection.
            trace = aiohttp.TraceConfig()
            trace.on_request_headers_sent.append(_note_sending)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=MAX_CONNECTIONS, keepalive_timeout=IDLE_SECONDS, ssl=self._tls or True
                ),
                # The whole attempt's time is kept above.
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                # Proxies are handed in; the rest of the environment (a .netrc) has other keys.
                trust_env=False,
                trace_configs=[trace],
                max_line_size=MAX_HEADER_BYTES,
                max_field_size=MAX_HEADER_BYTES,
            )
        return self._session


async def _note_sending(
    _: aiohttp.ClientSession, context: SimpleNamespace, __: aiohttp.TraceRequestHeadersSentParams
) -> None:
    # Told before the first byte is written.
    context.trace_request_ctx.begun += 1
