"""The Lua scripts of this package, loaded from their files."""

from __future__ import annotations

from importlib import resources

from redis.commands.core import AsyncScript

from eventstream.lua import ALSO_WHEN_FULL
from eventstream.redis_client import AsyncRedis


def script(redis: AsyncRedis, name: str) -> AsyncScript:
    """The script in `scripts/<name>.lua`, bound to a client (sent once, then called by digest)."""
    folder = resources.files("eventstream.llm").joinpath("scripts")
    return redis.register_script(ALSO_WHEN_FULL + folder.joinpath(f"{name}.lua").read_text("utf-8"))
