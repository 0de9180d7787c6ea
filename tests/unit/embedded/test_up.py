"""`eventstream up` before anything starts: mistakes get one sentence and exit code 2."""

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from eventstream.cli.up import up
from eventstream.embedded.folder import locked
from eventstream.errors import ConfigurationError

STREAM = """
apiVersion: ai-eventstream.io/v1alpha1
kind: EventStream
metadata: {{name: {name}}}
spec: {{source: {{topic: {topic}}}}}
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(up, list(arguments), env={"REDIS_URL": None})


def test_a_port_in_use_names_the_port_and_the_flag(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
        result = run("--data", str(tmp_path / "data"), "--api-port", str(port))
    assert result.exit_code == 2
    assert f"eventstream: Port {port} (the API) is in use by" in result.stderr
    assert "Choose another with --api-port PORT." in result.stderr


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    with locked(tmp_path):
        result = run("--data", str(tmp_path))
    assert result.exit_code == 2
    assert "uses the data folder" in result.stderr


def test_a_stream_in_two_files_is_refused(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text(STREAM.format(name="reviews", topic="a"))
    two.write_text(STREAM.format(name="reviews", topic="b"))
    result = run("-f", str(one), "-f", str(two), "--data", str(tmp_path / "data"))
    assert isinstance(result.exception, ConfigurationError)
    assert "stream 'reviews' is already in another file" in str(result.exception)


def test_a_wrong_file_starts_nothing(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("kind: Deployment")
    result = run("-f", str(wrong), "--data", str(tmp_path / "data"))
    assert isinstance(result.exception, ConfigurationError)
    assert not (tmp_path / "data").exists()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = run("-f", str(tmp_path / "absent.yaml"))
    assert isinstance(result.exception, ConfigurationError)
    assert "absent.yaml" in str(result.exception)


def test_exit_when_done_needs_the_demo() -> None:
    result = run("--exit-when-done")
    assert result.exit_code == 2
    assert "--exit-when-done needs --demo" in result.stderr


@pytest.mark.parametrize("flag", ["--api-port", "--kafka-port", "--metrics-port"])
def test_a_port_outside_the_range_is_refused(flag: str) -> None:
    assert run(flag, "70000").exit_code == 2
