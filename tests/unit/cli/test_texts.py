"""Lines as texts: what counts as a line, and what is said of a bad one."""

from __future__ import annotations

import io
import os
import tty
from pathlib import Path

import pytest

from eventstream.cli import texts
from eventstream.cli.texts import (
    MAX_LINE_BYTES,
    READ_BYTES,
    Format,
    InputLost,
    Line,
    format_for,
    parse_line,
    read_lines,
    wait_until_readable,
)
from eventstream.errors import EventRefused, Reason


def all_lines(content: bytes, from_line: int = 1) -> list[Line]:
    return [line for lines in read_lines(io.BytesIO(content), from_line) for line in lines]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\n\n", []),
        (b"one", [(1, b"one")]),
        (b"one\n", [(1, b"one")]),
        (b"one\r\ntwo\r\n", [(1, b"one"), (2, b"two")]),
        (b"\xef\xbb\xbfone\n", [(1, b"one")]),
        (b"\xef\xbb\xbf\none\n", [(2, b"one")]),
        (b"one\n \t \nthree", [(1, b"one"), (3, b"three")]),
        (b"  indented", [(1, b"  indented")]),
    ],
)
def test_lines_and_their_numbers(content: bytes, expected: list[tuple[int, bytes]]) -> None:
    assert [(line.number, line.content) for line in all_lines(content)] == expected


def test_lines_that_span_several_reads_stay_whole() -> None:
    texts = [letter * (READ_BYTES // 2 - 1) for letter in (b"a", b"b", b"c", b"d", b"e")]

    assert [line.content for line in all_lines(b"\n".join(texts))] == texts


@pytest.mark.parametrize("end", [b"", b"\n", b"\nnext\n"])
def test_a_line_that_is_too_long_is_thrown_away_and_said_to_be(end: bytes) -> None:
    first, *others = all_lines(b"x" * (MAX_LINE_BYTES * 2) + end)

    assert first == Line(1, b"", too_long=True)
    assert [line.content for line in others] == end.split()


@pytest.mark.parametrize("left", [0, READ_BYTES // 2, READ_BYTES + 1])
def test_a_file_that_is_cut_short_while_it_is_read_is_not_at_its_end(
    tmp_path: Path, left: int
) -> None:
    """Rotated with copytruncate, say: the half line at the cut is no text."""
    file = tmp_path / "app.log"
    file.write_bytes(b"nine byte\n" * (READ_BYTES // 5))
    with file.open("rb") as source:
        lines = read_lines(source)
        read = next(lines)
        assert len(read) == READ_BYTES // 10
        os.truncate(file, left)

        with pytest.raises(InputLost, match=r"app\.log: became shorter"):
            read.extend(line for each in lines for line in each)

    assert {line.content for line in read} == {b"nine byte"}
    assert len(read) == READ_BYTES // 10


@pytest.mark.parametrize("lines_then", [READ_BYTES // 10, READ_BYTES // 5])
def test_a_file_that_is_written_anew_while_it_is_read_is_not_read_any_further(
    tmp_path: Path, lines_then: int
) -> None:
    """As long as it was, or longer: its new lines stand behind none of the old."""
    file = tmp_path / "app.log"
    file.write_bytes(b"nine byte\n" * (READ_BYTES // 10))
    with file.open("rb") as source:
        lines = read_lines(source)
        assert len(next(lines)) == READ_BYTES // 10
        file.write_bytes(b"something\n" * lines_then)

        with pytest.raises(InputLost, match=r"app\.log: was written anew"):
            next(lines)


def test_a_file_that_begins_in_its_middle_is_read_from_there(tmp_path: Path) -> None:
    """As a shell leaves it behind a `read`."""
    file = tmp_path / "app.log"
    file.write_bytes(b"one\ntwo\n")
    with file.open("rb", buffering=0) as source:
        source.seek(4)

        assert [line.content for each in read_lines(source) for line in each] == [b"two"]


def test_a_file_that_is_deleted_or_grows_while_it_is_read_is_read_to_its_end(
    tmp_path: Path,
) -> None:
    file = tmp_path / "app.log"
    file.write_bytes(b"one\n")
    with file.open("rb") as source, file.open("ab", buffering=0) as writer:
        file.unlink()
        lines = read_lines(source)
        assert next(lines) == [Line(1, b"one")]
        writer.write(b"two\n")

        assert [line for each in lines for line in each] == [Line(2, b"two")]


def test_what_can_not_be_read_any_further_was_sent_up_to_there() -> None:
    """A terminal that hangs up; a disk or a file server does the same."""
    near, far = os.openpty()
    tty.setraw(far)
    os.write(far, b"one\ntw")
    with os.fdopen(near, "rb") as source:
        lines = read_lines(source)
        assert next(lines) == [Line(1, b"one")]
        os.close(far)

        with pytest.raises(InputLost, match="can't be read any further: Input/output error"):
            list(lines)


def test_a_pipe_that_reads_without_waiting_is_not_at_its_end_when_nothing_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb", buffering=0) as writer:

        def wait(descriptor: int) -> None:
            writer.write(b"two\n")
            writer.close()
            wait_until_readable(descriptor)

        monkeypatch.setattr(texts, "wait_until_readable", wait)
        writer.write(b"one\n")
        lines = read_lines(source)
        assert next(lines) == [Line(1, b"one")]
        assert not os.get_blocking(reading), "others read it, too, and do not expect to wait"

        assert [line for each in lines for line in each] == [Line(2, b"two")]


def test_counting_goes_on_before_the_first_wanted_line() -> None:
    assert all_lines(b"one\ntwo\nthree\n", from_line=3) == [Line(3, b"three")]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("texts.txt", Format.LINES),
        ("<stdin>", Format.LINES),
        ("a.jsonl", Format.JSONL),
        ("a.ndjson", Format.JSONL),
    ],
)
def test_the_format_follows_the_files_name(name: str, expected: Format) -> None:
    assert format_for(name) is expected


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{oops", Reason.INVALID_JSON),
        (b'"a string"', Reason.NOT_AN_OBJECT),
        (b"{}", Reason.MISSING_TEXT),
        (b'{"text": ""}', Reason.INVALID_FIELD),
        (b'{"text": "a", "event_id": "x\\ty"}', Reason.INVALID_FIELD),
        (b'{"text": "a", "metadata": "b"}', Reason.INVALID_FIELD),
        (b'{"text": NaN}', Reason.INVALID_JSON),
        (b'{"text": "\\ud800"}', Reason.INVALID_JSON),
        (b"\xff", Reason.NOT_UTF8),
    ],
)
def test_a_bad_line_has_the_reason_that_its_record_would_have(
    content: bytes, reason: Reason
) -> None:
    with pytest.raises(EventRefused) as refused:
        parse_line(Line(1, content), Format.JSONL)

    assert refused.value.reason is reason


def test_a_plain_line_may_look_like_json() -> None:
    assert parse_line(Line(1, b'{"text": 1}'), Format.LINES).message.text == '{"text": 1}'


def test_an_empty_id_is_said_in_words() -> None:
    with pytest.raises(EventRefused) as refused:
        parse_line(Line(1, b'{"text": "a", "event_id": ""}'), Format.JSONL)

    assert str(refused.value) == (
        "event_id: must not be empty: leave it out, and the event gets one"
    )
