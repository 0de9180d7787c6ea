"""What the commands share: settings, the results Redis, output for people and for scripts.

Nothing here knows a command. Output for people goes through `rich`; with `--json` a document is one
line on stdout, and everything else that is said goes to stderr.
"""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, TypeVar

import click
import orjson
from rich import box
from rich.console import Console
from rich.table import Table

from eventstream.cli import EXIT_NEGATIVE, EXIT_UNREACHABLE, NobodyReads
from eventstream.errors import ConfigurationError
from eventstream.heartbeat import Heartbeats
from eventstream.inbox import Inbox
from eventstream.keys import Keys
from eventstream.logs import configure_logs
from eventstream.redis_client import AsyncRedis, connect
from eventstream.registry import Registry
from eventstream.results import Results
from eventstream.settings import Settings

T = TypeVar("T")

CONNECT_SECONDS: Final = 15.0
"""A command connects once and gives up after it: a lost packet (1 s) or a lost question to the name
server (5 s, resolv.conf(5)) must not end it. Nobody waits so long for a server that is down: its
host refuses at once."""

json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON for scripts.")


class Seconds(click.FloatRange):
    """A number of seconds in a range; `nan`, which is in no range, is refused like the others."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        seconds = float(super().convert(value, param, ctx))
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return seconds


class OneSentence(click.ClickException):
    """Ends the command with one sentence on stderr."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Say it, in the same form as every other sentence of the command."""
        say(self.message)


class Negative(OneSentence):
    """The question was answered, with no: exit code 1."""

    exit_code = EXIT_NEGATIVE


class Unreachable(OneSentence):
    """A service did not answer: exit code 3."""

    exit_code = EXIT_UNREACHABLE


@dataclass(frozen=True, slots=True)
class State:
    """The results Redis of one installation, and what reads it."""

    settings: Settings
    redis: AsyncRedis
    keys: Keys

    @property
    def registry(self) -> Registry:
        """Which streams exist, read anew each time."""
        return Registry(self.redis, self.keys, max_age_seconds=0)

    @property
    def inbox(self) -> Inbox:
        """How full the queues are."""
        return Inbox(
            self.redis,
            self.keys,
            result_ttl_seconds=self.settings.result_ttl_seconds,
            lease_seconds=self.settings.worker_lease_seconds,
        )

    @property
    def results(self) -> Results:
        """Answers and counters."""
        return Results(self.redis, self.keys)

    @property
    def heartbeats(self) -> Heartbeats:
        """Which workers are alive."""
        return Heartbeats(self.redis, self.keys)


@asynccontextmanager
async def open_state(settings: Settings) -> AsyncIterator[State]:
    """The results Redis, closed at the end. It connects on first use."""
    redis = connect(
        settings.state_url,
        timeout_seconds=settings.redis_timeout_seconds,
        connect_seconds=max(CONNECT_SECONDS, settings.redis_timeout_seconds),
    )
    try:
        yield State(settings, redis, Keys(settings.eventstream_prefix))
    finally:
        await redis.aclose()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's asynchronous part to its end; what it logs goes to stderr."""
    configure_logs("ERROR", "auto", "cli")
    return asyncio.run(work)


def say(sentence: str) -> None:
    """One line for the person at the terminal, on stderr; nothing, where nobody reads it."""
    with suppress(BrokenPipeError):
        click.echo(f"eventstream: {sentence}", err=True)


def print_json(document: object) -> None:
    """One JSON document on one line of stdout."""
    click.echo(orjson.dumps(document, default=str).decode())


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Rich would end the process here, with 1."""
        raise NobodyReads


def stdout_console() -> Console:
    """Where tables go: as wide as the terminal, or as wide as they need in a pipe or a file."""
    width = None if sys.stdout.isatty() else 200
    # What others wrote is shown as it is: "[/b]" is no markup of ours.
    return _Console(file=sys.stdout, width=width, highlight=False, markup=False)


def a_table(*columns: str, numbers: Sequence[str] = (), long: str = "") -> Table:
    """An empty table: `numbers` are aligned to the right, `long` is the first to be shortened."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in numbers else "left",
            no_wrap=column != long,
            overflow="fold" if column == long else "ellipsis",
        )
    return table


def read_text(path: str) -> str:
    """A file's text, `-` being stdin.

    Raises ConfigurationError naming the file and why it can't be read.
    """
    try:
        if path == "-":
            return sys.stdin.buffer.read().decode("utf-8")
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            path, f"is not UTF-8 (byte {error.start})", "Save it as UTF-8"
        ) from error
    except OSError as error:
        raise ConfigurationError(
            path, f"can't be read: {error.strerror}", "Name a readable file, or - for stdin"
        ) from error


def dollars(microdollars: int) -> str:
    """An amount for people: cents matter below a hundred dollars."""
    amount = microdollars / 1_000_000
    return f"${amount:,.0f}" if amount >= 100 else f"${amount:,.4f}"
