"""The one log: a prefix a process, JSON made readable, chatter left out."""

import errno
import io

import pytest
from rich.console import Console

from eventstream.embedded.output import LogPrinter, is_loud, make_console, read_line


def printed(*lines: tuple[str, str], quiet: frozenset[str] = frozenset()) -> str:
    stream = io.StringIO()
    printer = LogPrinter(make_console(stream), ["cache", "worker"], quiet)
    for name, line in lines:
        printer.emit(name, line)
    return stream.getvalue()


def test_every_line_begins_with_its_process() -> None:
    assert printed(("cache", "ready"), ("worker", "up")) == "cache  | ready\nworker | up\n"


def test_a_json_line_becomes_event_and_fields() -> None:
    line = (
        '{"event": "answered", "level": "info", "logger": "x", "timestamp": "t",'
        ' "service": "worker", "event_id": "a-1", "texto": "muy señor mío"}'
    )
    assert read_line(line).text == 'answered event_id=a-1 texto="muy señor mío"'


def test_a_line_that_only_looks_like_json_stays_as_it_is() -> None:
    assert read_line("{not json").text == "{not json"


def test_markup_in_a_line_is_text() -> None:
    assert printed(("worker", "[bold]not bold[/bold]")) == "worker | [bold]not bold[/bold]\n"


def test_a_long_line_is_not_wrapped() -> None:
    assert printed(("worker", "x" * 500)).count("\n") == 1


def test_a_quiet_process_shows_its_warnings_only() -> None:
    text = printed(
        ("cache", "1:M * Ready to accept connections tcp"),
        ("cache", "1:M # Can't save in background: fork: Cannot allocate memory"),
        quiet=frozenset({"cache"}),
    )
    assert text == "cache  | 1:M # Can't save in background: fork: Cannot allocate memory\n"


def test_what_redis_warns_of_on_every_laptop_is_not_loud() -> None:
    assert not is_loud("1:C # WARNING Memory overcommit must be enabled! Without it ...")


def test_a_json_warning_is_loud() -> None:
    assert is_loud('{"event": "slow", "level": "warning"}')
    assert not is_loud('{"event": "fine", "level": "info"}')


def test_there_is_no_colour_off_a_terminal() -> None:
    assert "\x1b" not in printed(("worker", '{"event": "bad", "level": "error"}'))


def test_a_terminal_gets_colours() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, color_system="standard")
    LogPrinter(console, ["worker"], frozenset()).emit("worker", "up")
    assert "\x1b[36m" in stream.getvalue()


class Gone(io.StringIO):
    """A pipe or a terminal that nobody reads any more."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(errno.EIO, "a terminal is gone")])
def test_what_nobody_reads_is_told_of_and_ends_nothing(error: OSError) -> None:
    told: list[str] = []
    printer = LogPrinter(make_console(Gone(error)), ["worker"], frozenset())
    printer.on_unread = lambda: told.append("unread")
    printer.emit("worker", "one")
    printer.emit("worker", "two")
    assert told == ["unread"]


def test_what_a_terminal_cant_show_is_replaced() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    LogPrinter(make_console(stream), ["worker"], frozenset()).emit("worker", "señor")
    assert raw.getvalue() == b"worker | se?or\n"
