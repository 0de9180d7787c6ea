"""Which benchmarks there are, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from benchmarks import (
    api,
    exact_hit,
    far_redis,
    footprint,
    growth,
    ingest,
    long_poll,
    model_call,
    semantic_hit,
    slow_model,
)
from benchmarks.figures import Section
from benchmarks.options import Options

BENCHMARKS: dict[str, Callable[[Options], Coroutine[Any, Any, Section]]] = {
    "ingest": ingest.run,
    "slow_model": slow_model.run_slow,
    "long_tail": slow_model.run_tail,
    "model_call": model_call.run,
    "exact_hit": exact_hit.run,
    "semantic_hit": semantic_hit.run,
    "api": api.run,
    "long_poll": long_poll.run,
    "growth": growth.run,
    "far_redis": far_redis.run,
    "footprint": footprint.run,
}
