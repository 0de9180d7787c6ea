"""A negative answer is one sentence on stderr, in every command's form, and exit code 1."""

from __future__ import annotations

import pytest

from eventstream.registry import Registry
from eventstream.spec import StreamSpec
from tests.integration.cli.command_line import run_meanwhile as run


@pytest.mark.parametrize(
    "arguments",
    [
        ("dlq", "list", "--stream", "nope"),
        ("dlq", "show", "0:1", "--stream", "notes"),
        ("replay", "--topic", "nope", "--since", "1h"),
        ("streams", "show", "nope"),
        ("cache", "stats", "--stream", "nope"),
    ],
)
async def test_it_begins_with_the_commands_name(
    arguments: tuple[str, ...], env: dict[str, str], registry: Registry
) -> None:
    await registry.write({"notes": StreamSpec()})
    # Nothing listens there, and nothing needs to: the answer is in the results Redis.
    kafka = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}

    ended = await run(*arguments, env=env | kafka)

    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("eventstream: ")
    assert len(ended.err.splitlines()) == 1
