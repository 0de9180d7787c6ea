"""Lines of a file or of stdin as texts to send, each with its line number.

What is wrong with a line is said about that line; the others are not held up. Input is taken as it
comes, so a pipe that brings a line a minute is sent a line a minute.
"""

from __future__ import annotations

import os
import select
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
COMPARED_BYTES: Final = 4096
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
    name = getattr(source, "name", "<stdin>")
    before = _Before(source)
    size_before = size_bytes(source) or 0
    while True:
        try:
            chunk = _read(source)
            is_as_it_was = before.is_as_it_was()
        except OSError as error:
            why = error.strerror or str(error)
            raise InputLost(f"{name}: can't be read any further: {why}") from error
        if not is_as_it_was:
            # What follows in it now belongs behind no line that was read before.
            raise InputLost(f"{name}: was written anew while it was read")
        if chunk:
            before.add(chunk)
            yield chunk
        size = size_bytes(source) or 0
        if size < size_before:
            raise InputLost(f"{name}: became shorter while it was read (rotated, or written anew)")
        if not chunk:
            return
        size_before = size


class _Before:
    """The last bytes that were read of a regular file, to tell whether they still stand there.

    A file that is written anew may be as long as it was by the next read, and longer.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._tail = b""
        self._end = source.tell() if size_bytes(source) is not None else 0

    def add(self, chunk: bytes) -> None:
        self._tail = (self._tail + chunk)[-COMPARED_BYTES:]
        self._end += len(chunk)

    def is_as_it_was(self) -> bool:
        size = size_bytes(self._source)
        if size is None or size < self._end:
            # No regular file, or one that is shorter; what the kernel makes up has no size.
            return True
        start = self._end - len(self._tail)
        return os.pread(self._source.fileno(), len(self._tail), start) == self._tail


def _read(source: BinaryIO) -> bytes:
    """What is there, or what comes next; nothing at the end."""
    try:
        descriptor = source.fileno()
    except (OSError, ValueError):
        return source.read(READ_BYTES)  # no file of the system's
    while True:
        try:
            return os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            # Whoever shares the pipe reads it without waiting, and may go on so.
            wait_until_readable(descriptor)


def wait_until_readable(descriptor: int) -> None:
    """Return when there is something to read, or the end."""
    ready = select.poll()
    ready.register(descriptor, select.POLLIN)
    ready.poll()


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
