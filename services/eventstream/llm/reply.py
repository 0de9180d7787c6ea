"""What came over the wire, and what its headers say of limits.

Pure: text in, values out. What is missing or unreadable says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from eventstream.llm.limits import Advertised, Quantity

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNIT_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


@dataclass(frozen=True)
class Reply:
    """What came over the wire. `headers` are found in any case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a provider asks to wait; None where it says nothing usable."""
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
    seconds = duration_seconds(headers.get(f"x-ratelimit-reset-{quantity}", ""))
    if seconds is None or limit <= 0 or remaining < 0:
        return None
    return Quantity(limit, remaining, seconds)


def duration_seconds(text: str) -> float | None:
    """Seconds of a duration as OpenAI writes it: `6m0s`, `1.5s`, `20ms`; None where it is none."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)
