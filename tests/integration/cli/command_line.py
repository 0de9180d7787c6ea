"""Runs the `eventstream` command as a shell would: argv and stdin in; output and exit code out."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import click
import orjson
import structlog
from click.testing import CliRunner

from eventstream.cli import main


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on stdout."""
        return orjson.loads(self.out)

    @property
    def json_lines(self) -> list[Any]:
        """The JSON documents on stdout, one a line."""
        return [orjson.loads(line) for line in self.out.splitlines()]


class _Entry:
    """The program's own entry point in the place where click's runner expects a command."""

    name = "eventstream"

    def main(self, args: Sequence[str], prog_name: str, **_: object) -> None:
        before = sys.argv
        sys.argv = [prog_name, *args]
        try:
            main()
        finally:
            sys.argv = before


def run(
    *arguments: str, stdin: str | bytes | None = None, env: Mapping[str, str] | None = None
) -> Ended:
    """Run `eventstream ARGUMENTS` to its end; what is not caught there is raised here."""
    runner = CliRunner(env=env)
    root = logging.getLogger()
    before = root.handlers[:], root.level
    structured_before = structlog.get_config()
    try:
        result = runner.invoke(
            cast(click.Command, _Entry()), list(arguments), input=stdin, catch_exceptions=False
        )
    finally:
        # The command's log handler writes to a stderr that ends with the command.
        root.handlers[:], level = before
        root.setLevel(level)
        structlog.configure(**structured_before)
    return Ended(result.exit_code, result.stdout, result.stderr)


async def run_meanwhile(
    *arguments: str, stdin: str | bytes | None = None, env: Mapping[str, str] | None = None
) -> Ended:
    """`run` in a thread, while the test goes on with its own part."""
    return await asyncio.to_thread(run, *arguments, stdin=stdin, env=env)
