"""One log of all processes: every line with its process's name, coloured on a terminal.

The services write JSON lines; here they become one readable line each. What Redis, the
broker and Flower print is shown only when it is a warning or worse, or with `--verbose`.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

COLOURS = ("cyan", "green", "yellow", "blue", "magenta", "bright_cyan", "bright_green")
LEVEL_STYLES = {"warning": "yellow", "error": "bold red", "critical": "bold red"}
# What they write into a line that a person should see, whatever their own format.
LOUD_MARKS = (" # ", "WARN", "ERROR", "FATAL", "Error:", "Traceback", "panicked")
# Marked as warnings by Redis although they belong to every start and stop on a laptop.
EXPECTED = ("Memory overcommit must be enabled", "creating vector index", "bye bye")
# Fields that say on every line what the prefix says already.
LEFT_OUT = frozenset({"event", "level", "logger", "timestamp", "service"})


@dataclass(frozen=True)
class LogLine:
    """A line of a process's output, taken apart as far as it can be."""

    level: str
    text: str


def read_line(line: str) -> LogLine:
    """Reads a JSON log line into `event key=value ...`; other lines stay what they are."""
    if not line.startswith("{"):
        return LogLine("info", line)
    try:
        fields: dict[str, Any] = json.loads(line)
    except ValueError:
        return LogLine("info", line)
    details = [f"{name}={_value(value)}" for name, value in fields.items() if name not in LEFT_OUT]
    return LogLine(
        level=str(fields.get("level", "info")).lower(),
        text=" ".join([str(fields.get("event", "")), *details]).strip(),
    )


def is_loud(line: str) -> bool:
    """Whether a line of a quiet process is worth showing."""
    parsed = read_line(line)
    if any(known in parsed.text for known in EXPECTED):
        return False
    return parsed.level in LEVEL_STYLES or any(mark in parsed.text for mark in LOUD_MARKS)


class LogPrinter:
    """Prints the lines of several processes; `quiet` names those whose chatter is dropped."""

    def __init__(self, console: Console, names: Iterable[str], quiet: frozenset[str]) -> None:
        self._console = console
        listed = list(names)
        self._width = max((len(name) for name in [*listed, "stack"]), default=0)
        self._colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(listed)}
        self._quiet = quiet
        self.on_unread: Callable[[], None] = _nothing
        """Called when nobody reads what is printed any more: a pipe or terminal that is gone."""

    def emit(self, name: str, line: str) -> None:
        """Prints one line of a process's output."""
        if name in self._quiet and not is_loud(line):
            return
        parsed = read_line(line)
        self._print(name, Text(parsed.text, style=LEVEL_STYLES.get(parsed.level, "")))

    def say(self, sentence: str) -> None:
        """Prints what the supervisor itself has to tell."""
        self._print("stack", Text(sentence, style="bold"))

    def _print(self, name: str, text: Text) -> None:
        if self._console.quiet:
            return
        line = Text(f"{name:<{self._width}} | ", style=self._colours.get(name, "bold")) + text
        # A terminal of another language: what it can't show is no reason to end.
        shown = line.plain.encode(self._console.encoding, "replace").decode(self._console.encoding)
        if shown != line.plain:
            line = Text(shown)
        try:
            self._console.print(line, soft_wrap=True, highlight=False)
        except OSError:
            self._console.quiet = True
        if self._console.quiet:
            self.on_unread()


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Goes quiet; rich would end the process, and with it all that runs, at once."""
        self.quiet = True
        with contextlib.suppress(OSError, ValueError):
            # What is flushed at the very end must not fail either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


def make_console(stream: TextIO) -> Console:
    """A console on a stream: rich leaves colours out off a terminal and with NO_COLOR."""
    return _Console(file=stream)


def _nothing() -> None:
    """Nobody wants to know."""


def _value(value: object) -> str:
    return (
        value
        if isinstance(value, str) and " " not in value
        else json.dumps(value, ensure_ascii=False)
    )
