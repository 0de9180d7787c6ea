"""Events to results: exact cache, semantic cache, model. Knows neither Kafka, FastAPI nor Celery.

A claim goes through in two steps. `look_up` takes the whole claim at once and answers what the
cache can; what is left comes back as `Ask`s, which the caller runs in its slots through `ask`.
Nothing here retries or waits for a limit: the model layer does, and says `Deferral` when it is not
the time.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import orjson

from eventstream.errors import ConfigurationError, Reason
from eventstream.events import Failure, Result
from eventstream.inbox import Answered, Failed, Held
from eventstream.llm.contract import CallDeferred, CallFailed, CallPlan, ModelReply
from eventstream.registry import Registry
from eventstream.spec import StreamSpec


@dataclass(frozen=True, slots=True)
class Deferral:
    """Not now: the event waits outside the worker for so long, and is then claimed again."""

    wait_seconds: float
    why: str
    message: str


@dataclass(frozen=True, slots=True)
class Ask:
    """An event that only the model can answer."""

    held: Held
    spec: StreamSpec
    plan: CallPlan
    query: CacheQuery | None
    """None: neither reads nor writes the cache."""
    looked_up: CacheAnswer | None
    seconds_so_far: float


Ending: TypeAlias = Answered | Failed | Deferral
