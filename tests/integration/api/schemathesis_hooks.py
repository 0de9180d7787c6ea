"""What `schemathesis` is told before each call of the API under test (see test_openapi)."""

from __future__ import annotations

import re
import uuid
from typing import Any

import schemathesis


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Make waits short and idempotency keys new, where they are valid.

    Nobody answers events in this test, so a valid wait is waited for to its end; and a valid key
    that was used for other content is rightly refused.
    """
    wait = (case.query or {}).get("wait")
    if re.fullmatch(r"\d+(\.\d+)?", str(wait)) and float(str(wait)) <= 60:
        case.query["wait"] = "0.01"
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and re.fullmatch("[!-~]{1,255}", key):
        case.headers["Idempotency-Key"] = uuid.uuid4().hex
