"""The Redis scripts: what must happen together happens in one of these."""

from __future__ import annotations

from importlib.resources import files


def source(name: str) -> str:
    """The text of `NAME.lua`, with the helpers that every script may use in front."""
    folder = files(__package__)
    return (
        folder.joinpath("common.lua").read_text("utf-8")
        + "\n"
        + folder.joinpath(f"{name}.lua").read_text("utf-8")
    )
