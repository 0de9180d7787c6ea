"""The Lua scripts of this package, loaded from their files."""

from __future__ import annotations

from importlib import resources

from redis.commands.core import AsyncScript

from eventstream.lua import ALSO_WHEN_FULL
from eventstream.redis_client import AsyncRedis


def script(redis: AsyncRedis, name: str) -> AsyncScript:
    """The script in `scripts/<name>.lua` behind the helpers that all may use (`common.lua`), bound
    to a client (sent once, then called by digest)."""
    folder = resources.files("eventstream.llm").joinpath("scripts")
    common, own = (folder.joinpath(f"{part}.lua").read_text("utf-8") for part in ("common", name))
    return redis.register_script(f"{ALSO_WHEN_FULL}{common}\n{own}")
