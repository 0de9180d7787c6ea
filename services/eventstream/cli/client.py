"""The HTTP API as the command line uses it: one connection, kept open, and plain answers.

Every request may be made again: reads change nothing, and what is sent carries an Idempotency-Key.
So a connection that the server has closed in the meantime is opened again without a word. Waiting
and trying again later is the caller's decision.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import SplitResult, quote, urlsplit

import click
import orjson
from pydantic import BaseModel, ValidationError

from eventstream import __version__
from eventstream.cli.common import Unreachable
from eventstream.errors import ConfigurationError
from eventstream.events import TaskStatus
from eventstream.settings import Settings

ANSWER_SECONDS: Final = 30.0
DEFAULT_RETRY_SECONDS: Final = 2.0
LONGEST_RETRY_SECONDS: Final = 60.0
BUSY_STATUSES: Final = frozenset({429, 502, 503, 504})

Document = TypeVar("Document", bound=BaseModel)

url_option = click.option(
    "--url",
    envvar="EVENTSTREAM_URL",
    help="Where the API is.  [env: EVENTSTREAM_URL; default: http://127.0.0.1:8000]",
)
key_option = click.option(
    "--api-key",
    envvar="EVENTSTREAM_API_KEY",
    help="Key for the API; better in the environment, where no process list shows it."
    "  [env: EVENTSTREAM_API_KEY]",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the API: its status, its JSON, and when to come back (None: not said)."""

    status: int
    document: Mapping[str, Any]
    retry_after_seconds: float | None = None

    @property
    def busy(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in BUSY_STATUSES

    @property
    def wait_seconds(self) -> float:
        """How long to wait before the request is made again."""
        return min(self.retry_after_seconds or DEFAULT_RETRY_SECONDS, LONGEST_RETRY_SECONDS)

    @property
    def sentence(self) -> str:
        """What the answer says is wrong."""
        return str(self.document.get("detail") or f"the API answered {self.status}")


def default_url(settings: Settings) -> str:
    """Where `eventstream up` or `eventstream api` listens on this machine."""
    return f"http://127.0.0.1:{settings.api_port}"


class ApiClient:
    """Talks to one API. `url` is where it is, without a trailing path of its own."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        parts, port = _address(url)
        if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
            raise ConfigurationError(
                "EVENTSTREAM_API_KEY", "holds characters that no key has", "Copy it again"
            )
        self.url = url.rstrip("/")
        self._path = parts.path.rstrip("/")
        self._headers = {"Accept": "application/json", "User-Agent": f"eventstream/{__version__}"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        host = str(parts.hostname)
        self._connection: http.client.HTTPConnection = (
            http.client.HTTPSConnection(
                host, port, context=ssl.create_default_context(), timeout=ANSWER_SECONDS
            )
            if parts.scheme == "https"
            else http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def post(self, path: str, body: object, idempotency_key: str) -> Answer:
        """Send a JSON body. Raises Unreachable, and ConfigurationError for a wrong key."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key}
        return self._ask("POST", path, orjson.dumps(body), headers)

    def status(self, event_id: str, wait_seconds: float = 0) -> TaskStatus | Answer:
        """An event's status once finished, or as it stands after `wait_seconds` (at most 60).

        Any answer that is no status is returned as it is: 404 (never accepted, or expired), busy.
        Raises Unreachable, and ConfigurationError for a wrong key.
        """
        query = f"?wait={wait_seconds:g}" if wait_seconds else ""
        path = f"/task/{quote(event_id, safe='')}{query}"
        answer = self._ask("GET", path, None, {}, ANSWER_SECONDS + wait_seconds)
        if answer.status == 404 and answer.document.get("reason") != "task_not_found":
            raise self.stranger()
        if answer.status != 200:
            return answer
        return self.read(TaskStatus, answer)

    def read(self, model: type[Document], answer: Answer) -> Document:
        """The answer as `model`. Raises Unreachable: what gives another is not the API."""
        try:
            return model.model_validate(answer.document)
        except ValidationError:
            raise self.stranger() from None

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> Answer:
        connection = self._connection
        if connection.sock is not None:
            connection.sock.settimeout(timeout_seconds)
        connection.timeout = timeout_seconds
        for reused in (connection.sock is not None, False):
            try:
                connection.request(method, self._path + path, body, {**self._headers, **headers})
                response = connection.getresponse()
                return self._read(response, response.read())
            except ssl.SSLError as error:
                connection.close()
                raise Unreachable(f"{self.url} has no trustworthy TLS: {error.reason}") from error
            except (http.client.HTTPException, OSError, UnicodeError) as error:
                # Without this a new request would find the half-done one.
                connection.close()
                if not reused:
                    raise self._silent(error) from error
        raise AssertionError("the second try either returns or raises")

    def _read(self, response: http.client.HTTPResponse, content: bytes) -> Answer:
        try:
            document = orjson.loads(content)
        except orjson.JSONDecodeError:
            document = None
        if not isinstance(document, dict):
            if response.status not in BUSY_STATUSES:
                raise self.stranger()
            document = {}
        retry_after = response.headers.get("Retry-After", "")
        answer = Answer(
            response.status, document, float(retry_after) if retry_after.isdigit() else None
        )
        if answer.status >= 500 and not answer.busy:
            raise Unreachable(f"{self.url} failed: {answer.sentence}")
        if not 200 <= answer.status < 300 and not answer.busy and "reason" not in document:
            raise self.stranger()
        if answer.status in (401, 403):
            raise _refusal(answer)
        return answer

    def _silent(self, error: Exception) -> Unreachable:
        if isinstance(error, TimeoutError):
            why = "did not answer in time"
        elif isinstance(error, ConnectionRefusedError):
            why = "nothing listens there"
        else:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return Unreachable(
            f"the API at {self.url} can't be reached: {why}."
            " Start it with `eventstream up`, or name another with --url"
        )

    def stranger(self) -> Unreachable:
        """What to say of an answer that the API does not give."""
        return Unreachable(f"what answers at {self.url} is no EventStream API: check --url")


def _address(url: str) -> tuple[SplitResult, int | None]:
    """The parts of a base URL and its port. Raises ConfigurationError."""
    way_out = "Write it as in http://127.0.0.1:8000"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigurationError("--url", f"{url!r} is not an address", way_out) from None
    if parts.username is not None:
        # Not shown: it may hold a password.
        raise ConfigurationError(
            "--url", "names a user", "Leave it out; a key goes into EVENTSTREAM_API_KEY"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ConfigurationError("--url", f"{url!r} is not an address", way_out)
    if parts.query or parts.fragment:
        raise ConfigurationError("--url", f"{url!r} goes on behind its path", way_out)
    return parts, port


def _refusal(answer: Answer) -> ConfigurationError:
    problem = answer.sentence.rstrip(".")
    if answer.document.get("reason") == "host_not_allowed":
        return ConfigurationError("--url", problem, "Name the API by an address that it knows")
    return ConfigurationError(
        "EVENTSTREAM_API_KEY", problem, "Set it to a key of this API that may do this"
    )
