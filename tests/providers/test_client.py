"""The wire to a provider: what is sent, to whom, and what follows from whatever comes back."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import orjson
import pytest

from eventstream import __version__
from eventstream.llm.client import ChatRequest, ProviderClient
from eventstream.llm.failures import ErrorKind, ProviderError
from eventstream.llm.providers import FACTS, Endpoint
from eventstream.llm.transport import NotSent, Transport
from eventstream.llm.wire import ChatAnswer
from tests.providers.raw import RawServer, Then, raw_server, response
from tests.support.redis_server import free_port

SECRET = "sk-very-secret"
ANSWER = orjson.dumps(
    {
        "choices": [{"message": {"content": "Praise"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    }
)
PAGE = b"<html><body>Bad gateway</body></html>"
GOOD = response("200 OK", ANSWER, content_type="application/json")
CUT = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n" + ANSWER[:30]


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with raw_server() as server:
        server.answer = GOOD
        yield server


def endpoint(url: str, provider: str = "compatible") -> Endpoint:
    return Endpoint(FACTS[provider], "m", url, SECRET)  # type: ignore[index]


async def ask(
    url: str, environment: dict[str, str] | None = None, *, seconds: float = 20
) -> ChatAnswer:
    async with contextlib.aclosing(ProviderClient(endpoint(url), environment or {})) as client:
        return await ask_with(client, seconds=seconds)


async def ask_with(client: ProviderClient, *, seconds: float = 20) -> ChatAnswer:
    messages = [{"role": "user", "content": "Is it good?"}]
    return await client.chat(
        ChatRequest("m", messages, 0.5, 10),  # type: ignore[arg-type]
        timeout_seconds=seconds,
    )


def chained(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


async def test_a_refusal_that_comes_in_place_of_vectors_is_told(server: RawServer) -> None:
    server.answer = response("200 OK", b'{"error": {"code": "429", "message": "slow down"}}')
    async with contextlib.aclosing(ProviderClient(endpoint(server.url), {})) as client:
        with pytest.raises(ProviderError, match="429: slow down") as error:
            await client.embed("m", ["a text"], 2, timeout_seconds=20)
    assert error.value.kind is ErrorKind.RATE_LIMITED


@pytest.mark.parametrize(
    ("story", "answer", "then", "kind", "message"),
    [
        ("JSON that is cut off", response("200 OK", ANSWER[:40]), "keep",
         "malformed_answer", "the answer is not JSON"),
        ("a page with status 200", response("200 OK", PAGE), "keep",
         "malformed_answer", "the answer is not JSON"),
        ("no content", b"HTTP/1.1 204 No Content\r\n\r\n", "keep",
         "malformed_answer", "the answer is not JSON"),
        ("half a body", CUT, "close", "connection", "the connection failed or was cut"),
        ("half a body, and a reset", CUT, "reset",
         "connection", "the connection failed or was cut"),
        ("half a chunk", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n100\r\n{", "close",
         "connection", "the connection failed or was cut"),
        ("half a body, and silence", CUT, "hang", "timeout", "no answer within 1 s"),
        ("silence", b"", "hang", "timeout", "no answer within 1 s"),
        ("a closed connection", b"", "close", "connection", "the connection failed or was cut"),
        ("a reset", b"", "reset", "connection", "the connection failed or was cut"),
        ("another protocol", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "close",
         "connection", "the connection failed or was cut"),
        ("gzip that is none",
         response("200 OK", b"not gzip at all", content_encoding="gzip"), "keep",
         "connection", "the connection failed or was cut"),
        ("a gateway's page", response("502 Bad Gateway", PAGE), "keep",
         "server_error", "502: no reason was given"),
        ("an overloaded server", response("503 Busy", b'{"error":{"message":"busy"}}'), "keep",
         "server_error", "503: busy"),
        ("a refused key, quoted",
         response("401 Unauthorized", b'{"error":{"message":"no such key: sk-very-secret"}}'),
         "keep", "key_refused", "401: no such key: ***"),
        ("a key without the right", response("403 Forbidden"), "keep",
         "key_refused", "403: no reason was given"),
        ("no such model", response("404 Not Found", b'{"error":{"message":"no model"}}'), "keep",
         "refused", "404: no model"),
        ("a limit", response("429 Slow down", b'{"error":{"message":"slow down"}}'), "keep",
         "rate_limited", "429: slow down"),
    ],
)  # fmt: skip
async def test_what_follows_from_what_comes_back(
    server: RawServer, story: str, answer: bytes, then: Then, kind: str, message: str
) -> None:
    server.answer, server.then = answer, then
    with pytest.raises(ProviderError) as failure:
        await ask(server.url, seconds=1 if then == "hang" else 20)
    assert (failure.value.kind, failure.value.message) == (kind, message)
    assert not isinstance(failure.value, NotSent)
    assert SECRET not in "".join(map(repr, chained(failure.value)))


async def test_a_provider_that_is_not_there_is_a_failed_connection() -> None:
    for address in (f"http://127.0.0.1:{free_port()}/v1", "http://localhost:99999/v1", "host/v1"):
        with pytest.raises(ProviderError) as failure:
            await ask(address)
        assert failure.value.kind is ErrorKind.CONNECTION
        assert isinstance(failure.value, NotSent)


async def test_a_proxy_that_leads_nowhere_is_a_call_that_was_not_sent(server: RawServer) -> None:
    """It is asked for the way, and says nothing: the provider itself has heard of no call."""
    server.answer, server.then = b"", "hang"
    environment = {"HTTPS_PROXY": f"http://127.0.0.1:{server.port}"}
    with pytest.raises(NotSent) as failure:
        await ask("https://models.invalid/v1", environment, seconds=1)
    assert failure.value.kind is ErrorKind.TIMEOUT
    assert [request.line for request in server.requests] == ["CONNECT models.invalid:443 HTTP/1.1"]


async def test_how_long_to_wait_and_what_is_left_are_heard_in_any_case(server: RawServer) -> None:
    server.answer = response("429 Slow down", Retry_After="7", X_RateLimit_Limit_Requests="500",
                             X_RateLimit_Remaining_Requests="0",
                             X_RateLimit_Reset_Requests="12s")  # fmt: skip
    with pytest.raises(ProviderError) as failure:
        await ask(server.url)
    assert failure.value.retry_after_seconds == 7
    assert failure.value.said is not None
    assert failure.value.said.requests is not None
    assert failure.value.said.requests.reset_seconds == 12


async def test_a_redirection_is_refused_and_the_key_goes_nowhere_else(server: RawServer) -> None:
    async with raw_server() as other:
        other.answer = GOOD
        server.answer = response("307 Temporary Redirect", location=f"{other.url}/chat/completions")
        with pytest.raises(ProviderError) as failure:
            await ask(server.url)
        assert (failure.value.kind, failure.value.status) == (ErrorKind.REFUSED, 307)
        assert f"{other.url}/chat/completions" in failure.value.message
        assert (len(server.requests), other.requests) == (1, [])


async def test_what_is_sent(server: RawServer) -> None:
    await ask(server.url)
    [request] = server.requests
    assert request.line == "POST /v1/chat/completions HTTP/1.1"
    assert request.headers == {
        "host": f"127.0.0.1:{server.port}",
        "accept": "application/json",
        "accept-encoding": "gzip, deflate",
        "authorization": f"Bearer {SECRET}",
        "content-length": str(len(request.body)),
        "content-type": "application/json",
        "user-agent": f"ai-eventstream/{__version__}",
    }
    assert orjson.loads(request.body)["messages"] == [{"role": "user", "content": "Is it good?"}]


async def test_a_user_in_the_address_is_sent_instead_of_the_key(server: RawServer) -> None:
    await ask(server.url.replace("//", "//ada:love@"))
    assert server.requests[0].headers["authorization"] == "Basic YWRhOmxvdmU="


@pytest.mark.parametrize(
    ("provider", "sent"), [("openai", ("team", "tickets")), ("compatible", (None, None))]
)
async def test_the_account_is_named_to_openai_alone(
    server: RawServer, provider: str, sent: tuple[str | None, str | None]
) -> None:
    account = {"OPENAI_ORG_ID": "team", "OPENAI_PROJECT_ID": "tickets"}
    client = ProviderClient(endpoint(server.url, provider), account)
    async with contextlib.aclosing(client):
        await ask_with(client)
    headers = server.requests[0].headers
    assert (headers.get("openai-organization"), headers.get("openai-project")) == sent


async def test_a_compressed_answer_is_read(server: RawServer) -> None:
    server.answer = response("200 OK", gzip.compress(ANSWER), content_encoding="gzip")
    assert (await ask(server.url)).content == "Praise"


async def test_a_gateways_long_header_is_no_hindrance(server: RawServer) -> None:
    server.answer = response("200 OK", ANSWER, x_trace="x" * 20_000)
    assert (await ask(server.url)).content == "Praise"


async def test_connections_are_used_again_and_closed_at_the_end(server: RawServer) -> None:
    client = ProviderClient(endpoint(server.url), {})
    for _ in range(3):
        await ask_with(client)
    assert [request.connection for request in server.requests] == [1, 1, 1]
    assert server.open == 1
    await client.aclose()
    while server.open:
        await asyncio.sleep(0)


async def test_no_cookie_is_kept(server: RawServer) -> None:
    server.answer = response("200 OK", ANSWER, set_cookie="who=you")
    async with contextlib.aclosing(ProviderClient(endpoint(server.url), {})) as client:
        await ask_with(client)
        await ask_with(client)
    assert all("cookie" not in request.headers for request in server.requests)


def test_a_client_belongs_to_the_loop_of_its_first_call() -> None:
    port = free_port()
    client = ProviderClient(endpoint(f"http://127.0.0.1:{port}/v1"), {})

    async def call() -> None:
        async with raw_server(port=port) as server:
            server.answer = GOOD
            assert (await ask_with(client)).content == "Praise"
            await client.aclose()

    asyncio.run(call())


@pytest.mark.parametrize("compressed", [False, True])
async def test_an_answer_beyond_the_bound_is_not_read_to_its_end(
    server: RawServer, compressed: bool
) -> None:
    body = b"[" * 2_000_000
    server.answer = (
        response("200 OK", gzip.compress(body), content_encoding="gzip")
        if compressed
        else response("200 OK", body)
    )
    transport = Transport(server.url, {}, proxy=None, tls=None, max_reply_bytes=1_000_000)
    async with contextlib.aclosing(transport):
        with pytest.raises(ProviderError, match="larger than 1000000 bytes") as failure:
            await transport.post("/chat/completions", b"{}", timeout_seconds=20)
    assert failure.value.kind is ErrorKind.MALFORMED


async def test_a_proxy_is_asked_for_addresses_that_are_no_exception(server: RawServer) -> None:
    async with raw_server() as proxy:
        proxy.answer = GOOD
        environment = {"HTTP_PROXY": f"http://ada:love@127.0.0.1:{proxy.port}"}
        await ask("http://provider.invalid/v1", environment)
        assert proxy.requests[0].line.startswith(
            "POST http://provider.invalid/v1/chat/completions "
        )
        assert proxy.requests[0].headers["proxy-authorization"] == "Basic YWRhOmxvdmU="
        await ask(server.url, {**environment, "NO_PROXY": "127.0.0.0/8"})
        assert (len(proxy.requests), len(server.requests)) == (1, 1)


async def test_a_proxy_of_https_never_sees_the_key() -> None:
    async with raw_server() as proxy:
        proxy.answer = response("407 Who are you?")
        with pytest.raises(ProviderError) as failure:
            await ask("https://provider.invalid/v1", {"HTTPS_PROXY": f"127.0.0.1:{proxy.port}"})
        assert failure.value.kind is ErrorKind.CONNECTION
        [request] = proxy.requests
        assert request.line == "CONNECT provider.invalid:443 HTTP/1.1"
        assert SECRET not in str(request)


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost that only we trust, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


async def test_a_certificate_is_checked_against_what_the_machine_trusts(
    pair: tuple[Path, Path],
) -> None:
    certificate, key = pair
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    trusted = {"SSL_CERT_FILE": str(certificate)}
    async with raw_server(context) as server:
        server.answer = GOOD
        address = f"https://localhost:{server.port}/v1"
        assert (await ask(address, trusted)).content == "Praise"
        # Another authority's, and another host's name.
        for url, environment in (
            (address, {}),
            (address.replace("localhost", "127.0.0.1"), trusted),
        ):
            with pytest.raises(ProviderError) as failure:
                await ask(url, environment)
            assert failure.value.kind is ErrorKind.CONNECTION
            assert "certificate is not trusted" in failure.value.message
        assert len(server.requests) == 1
