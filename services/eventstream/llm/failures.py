"""What a failed call means: every error becomes a ProviderError of a kind that can be decided upon.

Pure: replies in, values out. Providers say the same thing in many ways, and each way is known here.
"""

from __future__ import annotations

import re
from dataclasses import replace
from enum import StrEnum
from typing import Any, Final

import orjson

from eventstream.llm.cost import Tokens
from eventstream.llm.limits import Advertised
from eventstream.llm.reply import Reply, advertised, duration_seconds, retry_after

_MESSAGE_CHARS: Final = 300
_LIMIT_AND_WISH: Final = re.compile(
    r"limit:? (\d[\d,]{0,15}).{0,60}?requested:? (\d[\d,]{0,15})", re.ASCII
)


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


_PERHAPS_ANSWERED: Final = frozenset({ErrorKind.TIMEOUT, ErrorKind.CONNECTION, ErrorKind.MALFORMED})


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
        begun: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status
        self.retry_after_seconds = retry_after_seconds
        self.said = said
        self.tokens = tokens
        """What the provider counted all the same, and bills."""
        self.earlier: ProviderError | None = None
        """What became of a request that was sent before, in the same call."""
        self.begun = begun
        """Whether an answer came that can't be used, or the beginning of one."""

    @property
    def may_be_billed(self) -> bool:
        """Whether the provider may have answered, and bills that: `tokens` says how much, if
        anybody does."""
        return self.begun or self.kind in _PERHAPS_ANSWERED

    @property
    def estimated(self) -> bool:
        """Whether `counts_as` goes by the estimate."""
        unsaid = self.may_be_billed and self.tokens is None
        return unsaid or (self.earlier is not None and self.earlier.estimated)

    def counts_as(self, estimate: Tokens) -> Tokens:
        """What the call has used, `estimate` for each request that may be billed and that nobody
        says more of. Were it nothing, a budget could be passed without end."""
        own = self.tokens or (estimate if self.may_be_billed else Tokens())
        return own if self.earlier is None else self.earlier.counts_as(estimate) + own


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

    One that stands alone is a refusal (SERVER, where no status is named): nothing was answered, and
    nobody bills it. Beside the beginning of an answer, or a usage, it has `begun` (and is MALFORMED
    where no status is named).
    """
    try:
        body = orjson.loads(reply.content)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(body, dict) or not _said_error(body):
        return None
    detail = _error_object(reply.content)
    status = _status_in(detail)
    begun = any(body.get(name) for name in ("choices", "data", "usage"))
    if status is not None:
        error = status_error(replace(reply, status=status), formatted=formatted, secret=secret)
    else:
        error = ProviderError(
            ErrorKind.MALFORMED if begun else ErrorKind.SERVER,
            f"an error in place of an answer: {_provider_message(detail, secret)}",
        )
    error.begun = begun
    return error


def _status_in(detail: dict[str, Any]) -> int | None:
    """The status that an error names as its code, as a number or in digits."""
    code = detail.get("code")
    if isinstance(code, str) and re.fullmatch("[45][0-9]{2}", code):
        code = int(code)
    return code if isinstance(code, int) and 400 <= code <= 599 else None


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
            return duration_seconds(item["retryDelay"])
    return None
