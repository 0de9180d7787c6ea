"""What a shell may do to stdin and stdout: a sentence, and never a traceback."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.shell import output_that_nobody_reads


def shell(command: str) -> subprocess.CompletedProcess[str]:
    """Run `eventstream COMMAND` in a shell."""
    return subprocess.run(
        ["sh", "-c", f"{sys.executable} -m eventstream {command}"],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", ["crd", "--help"])
def test_a_full_disk(command: str) -> None:
    ended = shell(f"{command} > /dev/full")

    assert ended.returncode == 1
    assert ended.stderr == "eventstream: the output can't be written: No space left on device\n"


def test_a_closed_stdin_is_an_empty_one() -> None:
    ended = shell("send 0<&-")

    assert (ended.returncode, ended.stderr) == (0, "eventstream: 0 accepted\n")


@pytest.mark.parametrize("command", ["crd >&-", "send 2>&- </dev/null", "crd 0<&- >&- 2>&-"])
def test_a_closed_output_is_one_that_nobody_wants(command: str) -> None:
    ended = shell(command)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.parametrize("command", ["crd", "--help", "--version", "api --help", "up --help"])
def test_a_reader_that_has_gone_is_no_failure(command: str) -> None:
    with output_that_nobody_reads() as unread:
        ended = subprocess.run(
            [sys.executable, "-m", "eventstream", *command.split()],
            stdout=unread,
            stderr=subprocess.PIPE,
            check=False,
        )

    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        ("KeyboardInterrupt", 130),
        ("cli.LeftUndone('half of it')", 1),
        ("cli.click.UsageError('no')", 2),
        ("cli.ConfigurationError('X', 'is wrong', 'Mend it')", 2),
    ],
)
def test_the_exit_code_is_the_same_where_nobody_reads_the_sentence(raised: str, code: int) -> None:
    """As with `2>&1 | head`."""
    program = (
        f"import eventstream.cli as cli\ndef end(): raise {raised}\n"
        "cli.eventstream.callback = end\ncli.main()"
    )
    with output_that_nobody_reads() as unread:
        ended = subprocess.run(
            [sys.executable, "-c", program, "crd"], stdout=unread, stderr=unread, check=False
        )

    assert ended.returncode == code
