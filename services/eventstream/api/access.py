"""Who may come in: API keys, the key that is made when there is none, and the Host check.

Only digests of keys are held, and a presented key is compared with all of them in constant time.
No key is ever logged; the one that is made here is printed once, to the terminal that started the
API, and Redis keeps its digest for every other instance.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

from eventstream.api.problems import HttpReason, Problem
from eventstream.errors import StoreUnavailable
from eventstream.keys import Keys
from eventstream.logs import get_logger
from eventstream.redis_client import AsyncRedis, reading_or_writing
from eventstream.settings import Settings

log = get_logger(__name__)

OPEN_PATHS: Final = frozenset(
    {
        "/",
        "/livez",
        "/readyz",
        "/health",
        "/docs",
        "/docs/page.js",
        "/docs/style.css",
        "/openapi.json",
    }
)
READING_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
LONG_ENOUGH_KEY: Final = 16
_DIGEST = re.compile("[0-9a-f]{64}")
CHALLENGE: Final = ((b"www-authenticate", b'Bearer realm="eventstream"'),)


@dataclass(frozen=True, slots=True)
class Principal:
    """Whose request it is. `name` is a short digest: it tells keys apart and can't open a door."""

    name: str
    read_only: bool


ANONYMOUS: Final = Principal("anonymous", read_only=False)


def digest_of(key: bytes) -> bytes:
    """What is kept of a key. Keys are long and random, so one round of SHA-256 is enough."""
    return hashlib.sha256(key).digest()


def is_loopback(host: str) -> bool:
    """Whether a bind address is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class KeyRing:
    """Digests of the keys that open the door, each with what it may do."""

    def __init__(self, keys: Iterable[bytes] = (), read_only_keys: Iterable[bytes] = ()) -> None:
        self._known: list[tuple[bytes, Principal]] = []
        for read_only, group in ((True, read_only_keys), (False, keys)):
            for key in group:
                self.add(digest_of(key), read_only=read_only)

    def add(self, digest: bytes, *, read_only: bool) -> None:
        """Let the key with this digest in; a key of both kinds may write."""
        name = hashlib.sha256(b"principal:" + digest).hexdigest()[:12]
        self._known.append((digest, Principal(name, read_only)))

    def __len__(self) -> int:
        return len(self._known)

    def find(self, presented: bytes) -> Principal | None:
        """Whose key it is. Always compares with all of them, whichever matches."""
        digest = digest_of(presented)
        found: Principal | None = None
        for known, principal in self._known:
            if hmac.compare_digest(known, digest):
                found = principal
        return found


class Doorkeeper:
    """Decides for every request who is asking, or answers with a problem."""

    def __init__(self, settings: Settings) -> None:
        self._loopback = is_loopback(settings.api_host)
        self._ring = KeyRing(_secrets(settings.api_keys), _secrets(settings.api_read_only_keys))
        configured = len(self._ring) > 0
        made = not configured and (
            settings.api_auth == "keys" or (settings.api_auth is None and not self._loopback)
        )
        self.needs_keys = configured or made
        self.waits_for_made_key = made

    def admit(self, method: str, path: str, presented: list[bytes], host: bytes) -> Principal:
        """Whose request it is.

        Raises Problem: host_not_allowed, key_missing, key_unknown, key_read_only, or
        store_unavailable while the key that opens the door has not been read from Redis yet.
        """
        if not self.needs_keys:
            if self._loopback and not _is_local_name(host):
                raise Problem(
                    HttpReason.HOST_NOT_ALLOWED,
                    "This API has no keys and serves this machine only, under names such as"
                    " localhost. Set API_KEYS to serve it under another name",
                )
            return ANONYMOUS
        if path in OPEN_PATHS:
            return ANONYMOUS
        if self.waits_for_made_key:
            raise Problem(
                HttpReason.STORE_UNAVAILABLE,
                "Redis can't be reached, so the API key is not known yet. Try again",
                retry_after_seconds=2,
            )
        if not presented:
            raise Problem(
                HttpReason.KEY_MISSING,
                "Send your API key as `Authorization: Bearer KEY` or `X-API-Key: KEY`",
                headers=CHALLENGE,
            )
        # Where both headers hold a key, both must be right: a wrong one is never passed over.
        found = [self._ring.find(key) for key in presented]
        principal = found[0]
        if principal is None or None in found:
            raise Problem(
                HttpReason.KEY_UNKNOWN,
                "This key is none of API_KEYS or API_READ_ONLY_KEYS",
                headers=CHALLENGE,
            )
        if principal.read_only and method not in READING_METHODS:
            raise Problem(
                HttpReason.KEY_READ_ONLY,
                f"This key may only read; {method[:16]} needs one of API_KEYS",
            )
        return principal

    async def make_or_read_key(
        self, redis: AsyncRedis, keys: Keys, announce: Callable[[str], None]
    ) -> None:
        """Make the installation's key, or learn the digest of the one made before.

        Does nothing where no key has to be made. `announce` is told the new key, once. Raises
        StoreUnavailable; the door stays shut until this has succeeded.
        """
        if not self.waits_for_made_key:
            return
        made = f"es_{secrets.token_urlsafe(32)}"
        digest = digest_of(made.encode())
        async with reading_or_writing("making the API key"):
            is_first = await redis.set(keys.api_keys, digest.hex(), nx=True)
            stored = digest.hex() if is_first else await redis.get(keys.api_keys)
        if stored is None:
            return  # Deleted in between: the next attempt makes another.
        if isinstance(stored, bytes):
            stored = stored.decode("ascii", "replace")
        if not _DIGEST.fullmatch(stored):
            raise StoreUnavailable(f"the Redis key {keys.api_keys!r} holds no digest: delete it")
        self._ring.add(bytes.fromhex(stored), read_only=False)
        self.waits_for_made_key = False
        if is_first:
            announce(made)
        else:
            log.info(
                "api_key_known",
                hint="an API key was made at an earlier start. Lost it? Set API_KEYS, or delete"
                f" the Redis key {keys.api_keys!r} and restart to have another made",
            )


def presented_keys(authorization: bytes | None, x_api_key: bytes | None) -> list[bytes]:
    """The keys that a request brings, from both headers that may hold one; an empty one counts."""
    found = []
    if authorization is not None:
        scheme, _, credentials = authorization.partition(b" ")
        # Basic belongs to a proxy in front, which often hands it on.
        if scheme.lower() != b"basic":
            found.append(credentials.strip() if scheme.lower() == b"bearer" else authorization)
    if x_api_key is not None:
        found.append(x_api_key.strip())
    return found


def open_doors(settings: Settings, door: Doorkeeper) -> list[str]:
    """What a production installation should not leave open, one sentence each."""
    doors = []
    if not door.needs_keys:
        doors.append(
            f"the API on {settings.api_host} needs no key: set API_KEYS, and unset API_AUTH=none"
        )
    if any(len(key) < LONG_ENOUGH_KEY for key in _secrets(settings.api_keys)):
        doors.append(
            f"one of API_KEYS is shorter than {LONG_ENOUGH_KEY} characters and easily guessed"
        )
    if settings.metrics_port and not is_loopback(settings.metrics_host):
        doors.append(
            f"metrics are readable without a key on {settings.metrics_host}:"
            f"{settings.metrics_port}: keep that port out of every Service and Ingress"
        )
    return doors


def _secrets(values: Iterable[SecretStr]) -> list[bytes]:
    return [value.get_secret_value().encode() for value in values]


def _is_local_name(host: bytes) -> bool:
    """Whether no stranger can own this name in DNS.

    A web page can point a name of its own at 127.0.0.1 and so talk to a local API past the
    browser's same-origin rule; the Host header then holds that name.
    """
    name = host.decode("latin-1").strip().lower()
    if name.startswith("["):
        return True  # An IPv6 address.
    name = name.partition(":")[0].rstrip(".")
    if "." not in name or name.endswith((".localhost", ".internal")):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
