"""Streams whose records come back to them through the topics of others."""

from __future__ import annotations

import pytest

from eventstream.spec import Source, StreamSpec, TopicRef
from eventstream.topic_rings import way_back


def stream(source: str, sink: str | None = None, dead_letter: str | None = None) -> StreamSpec:
    return StreamSpec(
        source=Source(topic=source),
        sink=TopicRef(topic=sink) if sink else None,
        dead_letter=TopicRef(topic=dead_letter) if dead_letter else None,
    )


@pytest.mark.parametrize(
    ("story", "specs", "way"),
    [
        ("one stream alone", {"a": stream("x", "y")}, ()),
        ("a chain", {"a": stream("x", "y"), "b": stream("y", "z")}, ()),
        ("two by their sinks", {"a": stream("x", "y"), "b": stream("y", "x")}, ("a", "b", "a")),
        ("two by dead letters", {"a": stream("x"), "b": stream("x.dlq", None, "x")},
         ("a", "b", "a")),
        ("three, and a short cut",
         {"a": stream("x", "y"), "b": stream("y", "z"), "c": stream("z", "x", "y"),
          "d": stream("y", "x")}, ("a", "d", "a")),
        ("a ring of others that it only leads to",
         {"a": stream("w", "x"), "b": stream("x", "y"), "c": stream("y", "x")}, ()),
        ("no source", {"a": StreamSpec(sink=TopicRef(topic="x")), "b": stream("x", "y")}, ()),
    ],
)  # fmt: skip
def test_the_way_back(story: str, specs: dict[str, StreamSpec], way: tuple[str, ...]) -> None:
    assert way_back(specs, "a") == way
