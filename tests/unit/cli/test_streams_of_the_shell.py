"""What a shell may do to stdin and stdout: a sentence, and never a traceback."""

from __future__ import annotations

import subprocess
import sys

import pytest


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
