"""The Redis scripts: what must happen together happens in one of these."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

ALSO_WHEN_FULL: Final = "#!lua flags=allow-oom\n"
"""In front of a script that is part of finishing what was accepted: it runs where Redis is full, or
that would stay so for ever (and a call that was paid for would not be counted)."""


def source(name: str) -> str:
    """The text of `NAME.lua`, with the helpers that every script may use in front."""
    folder = files(__package__)
    return (
        folder.joinpath("common.lua").read_text("utf-8")
        + "\n"
        + folder.joinpath(f"{name}.lua").read_text("utf-8")
    )
