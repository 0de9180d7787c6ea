"""Every command explains itself, and the manual's page knows every command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from eventstream.cli import COMMANDS, eventstream

ROOT = Path(__file__).parents[3]


def commands() -> list[list[str]]:
    """Every command and every command of a group."""
    found = []
    context = click.Context(eventstream)
    for name in COMMANDS:
        found.append([name])
        command = eventstream.get_command(context, name)
        if isinstance(command, click.Group):
            found += [[name, inner] for inner in command.list_commands(context)]
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_help_says_what_the_command_and_each_of_its_options_do(command: list[str]) -> None:
    shown = CliRunner().invoke(eventstream, [*command, "--help"])

    assert shown.exit_code == 0
    assert shown.output.startswith(f"Usage: eventstream {' '.join(command)}")
    found: click.Command = eventstream
    for name in command:
        assert isinstance(found, click.Group)
        inner = found.get_command(click.Context(found), name)
        assert inner is not None
        found = inner
    assert found.help
    for option in found.params:
        if isinstance(option, click.Option):
            assert option.help or option.show_default, option.name


def test_the_page_about_the_command_line_names_every_command() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    table = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]

    named = {name.strip(" `") for cell in table for name in cell.split(",")}
    assert named == set(COMMANDS)


def test_a_command_that_does_not_exist_ends_with_2() -> None:
    assert CliRunner().invoke(eventstream, ["sned"]).exit_code == 2


def test_an_argument_that_is_not_utf_8_is_refused_in_words() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "eventstream", "result", b"caf\xe9"],
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 2
    assert ended.stderr == b"eventstream: 'caf\\udce9' is not UTF-8: write it in UTF-8\n"
