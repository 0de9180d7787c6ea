"""The Lua scripts of this package, loaded from their files."""

from __future__ import annotations

from importlib import resources
from typing import Final

from redis.commands.core import AsyncScript

from eventstream.redis_client import AsyncRedis

# Limits and budgets are part of finishing what was accepted: they go on where Redis is full, or it
# would stay full for ever (and a call that was paid for would not be counted).
ALSO_WHEN_FULL: Final = "#!lua flags=allow-oom\n"


def script(redis: AsyncRedis, name: str) -> AsyncScript:
    """The script in `scripts/<name>.lua`, bound to a client (sent once, then called by digest)."""
    folder = resources.files("eventstream.llm").joinpath("scripts")
    return redis.register_script(ALSO_WHEN_FULL + folder.joinpath(f"{name}.lua").read_text("utf-8"))
