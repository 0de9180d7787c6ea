"""The shared limit buckets as somebody sees them who only watches: the operator.

A worker says in its heartbeat which buckets it uses (`llm.in_use`), because their names hold a
digest of the account's key that nobody else can make. Here is read what reserve.lua and settle.lua
write. Pure; nothing here takes part in a limit, and nothing of the model layer is needed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from eventstream.heartbeat import ModelInUse

_SLOTS: Final = 60
"""A period's, as in reserve.lua."""
_LONGEST_FREEZE_SECONDS: Final = 300.0
"""As in reserve.lua: what is farther off counts for nothing."""
_THROTTLED: Final = ("requests", "tokens", "rate_limited")
"""What is short by the provider's headers, and the kind of a 429: not a refused key."""


@dataclass(frozen=True, slots=True)
class Use:
    """How far one limit is used up, by all who share the bucket."""

    limit: float
    """A minute's, where it is configured; else as much as the provider says may be taken."""
    used: float
    per_second: float
    """How fast what is used comes back."""
    said_by_provider: bool = False


@dataclass(frozen=True, slots=True)
class BucketState:
    """One bucket at one moment."""

    requests: Use | None = None
    """None: no limit is configured, and the provider has not said that any of one is used."""
    tokens: Use | None = None
    frozen_seconds: float = 0.0
    """From now on nobody may call; 0 or less: nothing is frozen (any more)."""
    frozen_why: str = ""
    """An `ErrorKind`: rate_limited, quota_exhausted, key_refused."""
    throttled: int = 0
    """Counter: 429s, and calls held back by a limit, each time that they were. A bucket that was
    not used for a while is forgotten, and counts anew."""
    throttled_seconds_ago: float = math.inf
    """Since anything was refused last, for whatever reason."""


def read_bucket(stored: Mapping[bytes, bytes], model: ModelInUse, now_ms: float) -> BucketState:
    """A `limit:{bucket}` hash; `now_ms` is Redis' clock."""
    fields = {name.decode(): value.decode() for name, value in stored.items()}
    refused_at = fields.get("refused_at")
    frozen_seconds = (float(fields.get("frozen_until", "0")) - now_ms) / 1000
    # Who keeps to another number in the same bucket is held back by that, and not by this one.
    causes = (*_THROTTLED, f"requests:{model.requests}", f"tokens:{model.tokens}")
    return BucketState(
        requests=_use(fields, "r", model.requests, model.requests_period_seconds, now_ms),
        tokens=_use(fields, "t", model.tokens, 60.0, now_ms),
        frozen_seconds=frozen_seconds if frozen_seconds <= _LONGEST_FREEZE_SECONDS else 0.0,
        frozen_why=fields.get("frozen_why", ""),
        throttled=sum(int(fields.get(f"refused:{cause}", "0")) for cause in causes),
        throttled_seconds_ago=(now_ms - float(refused_at)) / 1000 if refused_at else math.inf,
    )


def _use(
    fields: Mapping[str, str], name: str, limit: int | None, period_seconds: float, now_ms: float
) -> Use | None:
    if limit is None:
        return _said(fields.get(f"said:{name}"), now_ms)
    width = max(1, math.ceil(period_seconds * 1000 / _SLOTS))
    now = int(now_ms) // width
    used = sum(int(fields.get(f"{name}:{width}:{now - ago}", "0")) for ago in range(_SLOTS + 1))
    minutes = period_seconds / 60
    return Use(limit / minutes, used / minutes, per_second=limit / period_seconds)


def _said(packed: str | None, now_ms: float) -> Use | None:
    if packed is None:
        return None
    level, most, per_ms, at = (float(number) for number in packed.split())
    level = min(most, level + max(0.0, now_ms - at) * per_ms)
    return Use(most, most - level, per_second=per_ms * 1000, said_by_provider=True)
