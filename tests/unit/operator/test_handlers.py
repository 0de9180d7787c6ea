"""What of all that is watched brings a pass forward."""

from __future__ import annotations

from typing import Any, cast

import pytest

from eventstream_operator.handlers import build_registry
from eventstream_operator.world import World

STREAMS = "eventstreams"


def a_stream(uid: str, version: int, *, generation: int = 1) -> dict[str, Any]:
    metadata = {"name": "reviews", "uid": uid, "generation": generation}
    return {"metadata": {**metadata, "resourceVersion": str(version)}, "spec": {}}


class Watched:
    """The handlers, told of a stream as kopf tells them."""

    def __init__(self) -> None:
        self.wakings = 0
        registry = build_registry(World(), self._wake)
        handlers = registry._watching.get_all_handlers()
        # Of all that kopf hands in they take the two that are of interest here.
        [self._told] = [cast(Any, one.fn) for one in handlers if one.id == STREAMS]

    def _wake(self) -> None:
        self.wakings += 1

    async def see(self, type_: str, stream: dict[str, Any]) -> None:
        await self._told(type=type_, body=stream)


@pytest.mark.parametrize(
    ("story", "second", "wakings"),
    [
        ("its status was written", a_stream("one", 2), 1),
        ("its spec was changed", a_stream("one", 2, generation=2), 2),
        ("it was made anew, and the end of the old one is told later", a_stream("two", 2), 2),
    ],
)
async def test_what_changes_a_stream_brings_a_pass_forward(
    story: str, second: dict[str, Any], wakings: int
) -> None:
    watched = Watched()
    await watched.see("ADDED", a_stream("one", 1))
    await watched.see("ADDED", second)
    assert watched.wakings == wakings, story
