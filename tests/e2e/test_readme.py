"""The README's commands and snippets work as printed, on the ports that it prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import redis

from eventstream.stream_files import read_stream_file
from tests.e2e.services import Service, until

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
DEMO_SECONDS = 150

pytestmark = pytest.mark.timeout(300)


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()  # noqa: S310  # loopback
    except (urllib.error.URLError, OSError):
        return False
    return True


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """`eventstream up` as the README has it, with its data in a folder of the test's."""
    folder = tmp_path_factory.mktemp("up")
    up = Service(["up", "--data", str(folder / "data")], environment(), folder / "up.log")
    try:
        until(
            lambda: "Ctrl-C" in up.tail() and answers("http://127.0.0.1:8000/readyz"),
            90,
            up.tail,
        )
        yield up
    finally:
        up.interrupt()
        assert up.wait(60) == 0


@pytest.mark.parametrize("number", [0, 1])
def test_a_python_snippet_runs_as_printed(stack: Service, number: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", snippets("python")[number]],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment(),
    )

    assert done.returncode == 0, done.stderr
    assert "local/" in done.stdout


def test_the_command_line_sends_and_waits(stack: Service) -> None:
    [command] = [
        line
        for line in README.splitlines()
        if line.startswith("echo") and "eventstream send" in line
    ]
    done = subprocess.run(
        [
            "bash",
            "-c",
            command.replace(".venv/bin/eventstream", f"{sys.executable} -m eventstream"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment(),
    )

    assert done.returncode == 0, done.stderr
    assert re.search(r"positive|negative|neutral", done.stdout)


def test_the_stream_file_is_a_stream() -> None:
    [text] = snippets("yaml")
    [(name, spec)] = read_stream_file(text, "README.md").items()
    assert (name, spec.task.labels) == ("tickets", ("billing", "shipping", "technical"))


def test_the_documents_that_it_names_exist() -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / link).exists(), link


def test_the_demo_answers_everything_and_its_counts_add_up(tmp_path: Path) -> None:
    """Ports of its own: it runs beside the stack that the snippets use."""
    ports = ("--api-port", "8100", "--cache-port", "6490", "--state-port", "6491",
             "--kafka-port", "9192", "--metrics-port", "9200")  # fmt: skip
    demo = Service(
        [
            "up",
            "--demo",
            "--exit-when-done",
            "--no-flower",
            "--data",
            str(tmp_path / "data"),
            *ports,
        ],
        environment(),
        tmp_path / "demo.log",
    )

    assert demo.wait(DEMO_SECONDS) == 0, demo.tail()
    assert "every event has its answer" in demo.tail()


def test_ctrl_c_in_the_middle_and_a_restart_finishes_the_rest(tmp_path: Path) -> None:
    """On Apache Kafka, whose topics are still there after the restart."""
    texts = tmp_path / "texts.jsonl"
    texts.write_bytes(
        b"".join(
            orjson.dumps({"event_id": f"t-{n}", "text": f"Ticket {n % 97}: it does not start."})
            + b"\n"
            for n in range(3000)
        )
    )
    ports = ("--api-port", "8110", "--cache-port", "6590", "--state-port", "6591", "--kafka-port",
             "9292", "--controller-port", "9293", "--metrics-port", "9210")  # fmt: skip
    command = ["up", "--kafka", "apache", "--no-flower", "--data", str(tmp_path / "data"), *ports]
    counts = redis.Redis(port=6591, db=2)

    def count(name: str) -> int:
        stored = counts.hget("counters:default", name)
        return int(stored) if isinstance(stored, bytes) else 0

    first = Service(command, environment(), tmp_path / "first.log")
    until(lambda: answers("http://127.0.0.1:8110/readyz"), 120, first.tail)
    send = Service(
        ["send", str(texts), "--format", "jsonl", "--kafka"],
        environment()
        | {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9292", "REDIS_URL": "redis://127.0.0.1:6591/0"},
        tmp_path / "send.log",
    )
    assert send.wait(60) == 0, send.tail()
    until(lambda: count("answered") > 100, 60, first.tail)
    first.interrupt()
    assert first.wait(90) == 0, first.tail()
    assert not [pid for pid in processes_with(str(tmp_path)) if pid != os.getpid()]

    second = Service(command, environment(), tmp_path / "second.log")
    until(lambda: answers("http://127.0.0.1:8110/readyz"), 120, second.tail)
    until(
        lambda: count("answered") == 3000,
        120,
        lambda: second.tail() + str(counts.hgetall("counters:default")),
    )
    assert count("accepted") == count("answered") + count("failed") + count("duplicates")
    second.interrupt()
    assert second.wait(90) == 0, second.tail()


def processes_with(text: str) -> list[int]:
    """Processes whose command line holds `text`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode("utf-8", "replace")
        except OSError:
            continue
        if text in command:
            found.append(int(folder.name))
    return found
