"""Lines of a file or of stdin as texts to send, each with its line number.

What is wrong with a line is said about that line; the others are not held up. Input is taken as it
comes, so a pipe that brings a line a minute is sent a line a minute.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO, Final

import orjson
from pydantic import ValidationError

from eventstream.errors import EventRefused, EventStreamError, Reason
from eventstream.events import MAX_TEXT_CHARS, KafkaMessage, first_problem

READ_BYTES: Final = 256 * 1024
MAX_LINE_BYTES: Final = 8 * MAX_TEXT_CHARS
"""More than any line that could be accepted: a file without line ends must not fill the memory."""
BOM: Final = b"\xef\xbb\xbf"


class InputLost(EventStreamError):
    """The input could not be read to its end."""


class Format(StrEnum):
    """How a text stands on its line."""

    LINES = "lines"
    JSONL = "jsonl"


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its end; numbers begin at 1. `too_long`: its content was thrown away."""

    number: int
    content: bytes
    too_long: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """A text that is ready to be sent."""

    line: int
    message: KafkaMessage


def format_for(file_name: str) -> Format:
    """JSON lines by the name's ending, plain lines otherwise."""
    return Format.JSONL if file_name.endswith((".jsonl", ".ndjson")) else Format.LINES


def read_lines(source: BinaryIO, from_line: int = 1) -> Iterator[list[Line]]:
    """Lists of the lines that have arrived, from line number `from_line` on; blank ones left out.

    Each list is what one read brought, so it is never held back to become longer. Raises InputLost;
    the line in which the input broke off is not given then.
    """
    number, rest, too_long = 1, b"", False
    for chunk in _chunks(source):
        *complete, rest = (rest + chunk).split(b"\n")
        lines = []
        for content in complete:
            lines.append(Line(number, content, too_long or len(content) > MAX_LINE_BYTES))
            number, too_long = number + 1, False
        if len(rest) > MAX_LINE_BYTES:
            rest, too_long = b"", True
        yield [_cleaned(line) for line in lines if line.number >= from_line and _counts(line)]
    last = Line(number, rest, too_long)
    if number >= from_line and _counts(last):
        yield [_cleaned(last)]


def _chunks(source: BinaryIO) -> Iterator[bytes]:
    """What each read brings. Raises InputLost where it is not all that there was."""
    read = getattr(source, "read1", source.read)
    name = getattr(source, "name", "<stdin>")
    _wait_for_what_comes(source)
    largest = size_bytes(source) or 0
    while True:
        try:
            chunk = read(READ_BYTES)
        except OSError as error:
            why = error.strerror or str(error)
            raise InputLost(f"{name}: can't be read any further: {why}") from error
        if chunk:
            yield chunk
        size = size_bytes(source) or 0
        if size < largest:
            # What follows in it now belongs behind no line that was read before.
            raise InputLost(f"{name}: became shorter while it was read (rotated, or written anew)")
        if not chunk:
            return
        largest = size


def _wait_for_what_comes(source: BinaryIO) -> None:
    # A pipe that whoever started us reads without waiting would seem to end where nothing waits.
    try:
        os.set_blocking(source.fileno(), True)
    except (OSError, ValueError):
        return  # no file of the system's


def size_bytes(source: BinaryIO) -> int | None:
    """Size of a regular file; None for a pipe or a terminal, whose end nobody knows."""
    try:
        found = os.fstat(source.fileno())
    except (OSError, ValueError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _counts(line: Line) -> bool:
    return line.too_long or bool(line.content.removeprefix(BOM).strip())


def _cleaned(line: Line) -> Line:
    if line.too_long:
        return Line(line.number, b"", too_long=True)
    content = line.content.removesuffix(b"\r")
    return Line(line.number, content.removeprefix(BOM) if line.number == 1 else content)


def parse_line(line: Line, form: Format, id_field: str = "event_id") -> Text:
    """A line as a text to send.

    Raises EventRefused with the reason that a Kafka record of this content would be refused for.
    """
    if line.too_long:
        raise EventRefused(Reason.TOO_LARGE, f"the line is longer than {MAX_LINE_BYTES} bytes")
    try:
        content = line.content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EventRefused(
            Reason.NOT_UTF8, f"is not UTF-8: byte {error.start} of the line can't be read"
        ) from error
    document: object = {"text": content} if form is Format.LINES else _json(content)
    if not isinstance(document, dict):
        raise EventRefused(Reason.NOT_AN_OBJECT, "is JSON, but not an object with a `text`")
    if "text" not in document:
        raise EventRefused(Reason.MISSING_TEXT, "has no `text`", "text")
    if id_field != "event_id":
        if id_field not in document:
            raise EventRefused(Reason.INVALID_FIELD, f"has no `{id_field}`", id_field)
        document = {**document, "event_id": document[id_field]}
    try:
        return Text(line.number, KafkaMessage.model_validate(document))
    except ValidationError as error:
        field, sentence = first_problem(error)
        raise EventRefused(Reason.INVALID_FIELD, sentence, field) from error


def _json(content: str) -> object:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise EventRefused(
            Reason.INVALID_JSON, f"is not JSON ({error}); plain texts go with --format lines"
        ) from error
