"""`eventstream up`, before anything is started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.cli.command_line import run


def test_ctrl_c_ends_it_also_before_the_stack_listens(tmp_path: Path) -> None:
    streams = tmp_path / "streams.yaml"
    os.mkfifo(streams)
    up = subprocess.Popen([sys.executable, "-m", "eventstream", "up", "-f", str(streams)])
    with streams.open("w"):  # opens when the command reads it: its start is under way
        up.send_signal(signal.SIGINT)
        assert up.wait(timeout=60) == -signal.SIGINT  # not an exception, which could be lost


def test_the_demonstration_without_the_key_that_it_needs_ends_with_2(tmp_path: Path) -> None:
    ended = run("up", "--demo", "--data", str(tmp_path / "data"), env={"API_HOST": "0.0.0.0"})  # noqa: S104

    assert ended.code == 2
    assert ended.err.startswith("eventstream: API_KEYS: --demo sends through the API")
    assert not (tmp_path / "data").exists()


def test_an_address_that_is_none_ends_with_2(tmp_path: Path) -> None:
    ended = run(
        *("up", "--data", str(tmp_path)), env={"REDIS_URL": "redis://:my-secret@127.0.0.1:port/0"}
    )

    assert ended.code == 2
    assert ended.err.startswith("eventstream: REDIS_URL: has a port that is not a number")
    assert "my-secret" not in ended.err


@pytest.mark.parametrize(
    ("env", "stream"),
    [
        ({"EVENTSTREAM_PROVIDER": "openai"}, "{}"),
        ({"ENVIRONMENT": "production"}, "{}"),
        ({}, "{model: {provider: gemini}}"),
        ({}, "{model: {provider: openai, apiKeyFrom: {env: TEAM_KEY}}}"),
    ],
)
def test_a_model_without_its_key_ends_with_2_before_anything_starts(
    tmp_path: Path, env: dict[str, str], stream: str
) -> None:
    file = tmp_path / "reviews.yaml"
    file.write_text(
        "apiVersion: ai-eventstream.io/v1alpha1\nkind: EventStream\n"
        f"metadata: {{name: reviews}}\nspec: {stream}\n"
    )

    ended = run("up", "-f", str(file), "--data", str(tmp_path / "data"), env=env)

    assert ended.code == 2
    assert "key" in ended.err.lower()
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("setting", ["PRICE_LIST", "LOCAL_MODEL_DIR"])
def test_a_file_that_is_not_there_ends_with_2_before_anything_starts(
    tmp_path: Path, setting: str
) -> None:
    ended = run("up", "--data", str(tmp_path / "data"), env={setting: str(tmp_path / "nothing")})

    assert ended.code == 2
    assert ended.err.startswith(f"eventstream: {setting}: ")
    assert not (tmp_path / "data").exists()
