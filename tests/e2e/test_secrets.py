"""Secrets stay where they were set: not in logs, errors, answers, metrics or process lists.

And what arrives from outside can't make a worker run code, nor is anything open beyond loopback.
"""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from contextlib import suppress
from pathlib import Path

import orjson
import pytest
import redis
from kombu.connection import Connection

from eventstream.embedded.apache_kafka import ApacheKafka
from eventstream.keys import QUEUE_HTTP
from tests.e2e.services import Deployment, Service, until
from tests.faults.provider import Provider
from tests.support.redis_server import RedisServer, free_port

pytestmark = pytest.mark.timeout(300)


class Secrets:
    """A secret for every setting that takes one, each with a mark of its own."""

    def __init__(self) -> None:
        self.by_name: dict[str, str] = {}

    def make(self, name: str) -> str:
        """A new one."""
        self.by_name[name] = f"s3cr3t-{uuid.uuid4().hex}"
        return self.by_name[name]

    def found_in(self, text: str) -> list[str]:
        """The names of those that stand in a text, or what is left of them when it was cut."""
        return [name for name, value in self.by_name.items() if value[:20] in text]


def set_password(server: RedisServer, password: str) -> str:
    """From now on the server wants it; the same password."""
    with redis.Redis(port=server.port) as client:
        client.config_set("requirepass", password)
    return password


def request(url: str, *, key: str | None = None, **headers: str) -> str:
    """What is answered, whatever the status."""
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    asked = urllib.request.Request(url, headers=headers)  # noqa: S310  # loopback
    try:
        with urllib.request.urlopen(asked, timeout=30) as reply:  # noqa: S310
            return f"{reply.headers}{reply.read().decode()}"
    except urllib.error.HTTPError as error:
        return f"{error.headers}{error.read().decode()}"


def post(url: str, body: bytes, key: str) -> bytes:
    headers = {
        "Authorization": f"Bearer {key}",
        "Content-Type": "application/json",
        "Idempotency-Key": "k",
    }
    asked = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310  # loopback
    with urllib.request.urlopen(asked, timeout=30) as reply:  # noqa: S310
        answer: bytes = reply.read()
    return answer


def command_lines() -> str:
    """What a process list shows of every process of this machine that we may see."""
    lines = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            lines.append((folder / "cmdline").read_text("utf-8", "replace").replace("\0", " "))
        except OSError:
            continue
    return "\n".join(lines)


def listening(pid: int) -> set[str]:
    """The addresses that a process listens on, as /proc has them (hexadecimal)."""
    inodes = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            found = re.match(r"socket:\[(\d+)\]", str(handle.readlink()))
            if found:
                inodes.add(found[1])
    addresses = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                addresses.add(fields[1].partition(":")[0])
    return addresses


def test_secrets_stay_secret_when_everything_goes_wrong(tmp_path: Path, kafka: ApacheKafka) -> None:
    secrets = Secrets()
    with Provider() as provider, Deployment(tmp_path) as deployment:
        cache_password = set_password(deployment.cache, secrets.make("REDIS_URL"))
        state_password = set_password(deployment.state, secrets.make("CELERY_RESULT_BACKEND"))
        state_port = deployment.state.port
        api_key, read_key = secrets.make("API_KEYS"), secrets.make("API_READ_ONLY_KEYS")
        metrics = {name: free_port() for name in ("api", "worker", "consumer")}
        environment = {
            "REDIS_URL": f"redis://:{cache_password}@127.0.0.1:{deployment.cache.port}/0",
            "CELERY_BROKER_URL": f"redis://:{state_password}@127.0.0.1:{state_port}/1",
            "CELERY_RESULT_BACKEND": f"redis://:{state_password}@127.0.0.1:{state_port}/2",
            "OPENAI_API_KEY": secrets.make("OPENAI_API_KEY"),
            "OPENAI_BASE_URL": f"http://127.0.0.1:{provider.port}/v1",
            "GOOGLE_API_KEY": secrets.make("GOOGLE_API_KEY"),
            "HUGGINGFACE_TOKEN": secrets.make("HUGGINGFACE_TOKEN"),
            "API_KEYS": api_key,
            "API_READ_ONLY_KEYS": read_key,
            "API_AUTH": "keys",
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA_SASL_MECHANISM": "PLAIN",
            "KAFKA_SASL_USERNAME": "somebody",
            "KAFKA_SASL_PASSWORD": secrets.make("KAFKA_SASL_PASSWORD"),
            "KAFKA_SSL_KEY_PASSWORD": secrets.make("KAFKA_SSL_KEY_PASSWORD"),
            "FLOWER_BASIC_AUTH": f"ana:{secrets.make('FLOWER_BASIC_AUTH')}",
            "LOG_LEVEL": "DEBUG",
            "REDIS_TIMEOUT_SECONDS": "1",
            "WORKER_CONCURRENCY": "1",
        }
        state = redis.Redis(port=state_port, db=2, password=state_password)
        provider.misbehave("refuses_key", 2)
        running = {
            name: deployment.run(name, **environment, METRICS_PORT=str(port))
            for name, port in metrics.items()
        }
        came_out = []
        deployment.until_http_answers(f"{deployment.url}/readyz", running["api"])
        until(lambda: state.zcard("workers") == 1, 90, running["worker"].tail)

        # A provider that refuses the key, and says it aloud.
        body = b'{"text": "this is lovely", "task_type": "sentiment_analysis"}'
        task_id = orjson.loads(post(f"{deployment.url}/process", body, api_key))["task_id"]
        until(lambda: provider.misbehaved["refuses_key"] >= 1, 90, running["worker"].tail)
        until(
            lambda: "events wait" in running["worker"].log.read_text(), 90, running["worker"].tail
        )
        # Requests with a wrong key, none, and a right one in the wrong place.
        for path in ("/process", f"/task/{task_id}", "/health", "/workers", "/streams", "/metrics"):
            for key in (None, api_key[:-1] + "x", read_key, api_key):
                came_out.append(request(f"{deployment.url}{path}", key=key))
            came_out.append(request(f"{deployment.url}{path}", Accept="text/plain"))
        # Kafka does not understand what it is told; then the stores are gone, and another password.
        until(lambda: "waiting_for_kafka" in running["consumer"].log.read_text(), 90,
              running["consumer"].tail)  # fmt: skip
        state.config_set("requirepass", "another")
        state.connection_pool.disconnect()
        other = redis.Redis(port=state_port, password="another")
        other.client_kill_filter(_type="normal", skipme=True)
        until(lambda: "redis_away" in running["worker"].log.read_text(), 90, running["worker"].tail)
        came_out.append(request(f"{deployment.url}/task/{task_id}", key=api_key))
        for wrong in (["top", "--once"], ["streams"], ["worker"], ["flower", "--host", "nowhere"]):
            ended = subprocess.run(
                [sys.executable, "-m", "eventstream", *wrong],
                env=deployment.environment(**environment),
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert ended.returncode != 0
            assert "Traceback" not in ended.stderr
            came_out.append(ended.stdout + ended.stderr)
        came_out.append(command_lines())
        came_out += [request(f"http://127.0.0.1:{port}/metrics") for port in metrics.values()]
        for service in running.values():
            came_out.append(repr(listening(service.pid)))
            assert listening(service.pid) <= {"0100007F", "00000000000000000000000001000000"}
            came_out.append(service.log.read_text("utf-8", "replace"))
        other.close()
        state.close()

    for text in came_out:
        assert secrets.found_in(text) == []


class Bomb:
    """Leaves a file where it is unpickled."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self._file),)


@pytest.mark.parametrize("content_type", ["application/x-python-serialize", "application/x-yaml"])
def test_a_celery_message_that_is_not_json_is_refused_and_the_worker_goes_on(
    deployment: Deployment, tmp_path: Path, content_type: str
) -> None:
    with Provider() as provider:
        worker: Service = deployment.run("worker", **provider.environment, WORKER_CONCURRENCY="1")
        deployment.run_api()
        with Connection(deployment.state.url(1)) as connection:  # type: ignore[no-untyped-call]
            connection.Producer().publish(
                pickle.dumps(Bomb(tmp_path / "exploded")),
                routing_key=QUEUE_HTTP,
                content_type=content_type,
                content_encoding="binary",
                headers={"task": "eventstream.drain", "id": uuid.uuid4().hex},
            )
        until(lambda: "ContentDisallowed" in worker.log.read_text(), 90, worker.tail)
        answer = post_and_wait(deployment)

        assert answer["status"] == "SUCCESS"
        assert not (tmp_path / "exploded").exists()
        assert worker.stop() == 0


def post_and_wait(deployment: Deployment) -> dict[str, object]:
    """One text through the API, and its answer."""
    asked = urllib.request.Request(  # noqa: S310  # loopback
        f"{deployment.url}/process?wait=60",
        data=b'{"text": "this is lovely", "task_type": "sentiment_analysis"}',
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=90) as reply:  # noqa: S310
        document: dict[str, object] = orjson.loads(reply.read())
    return document
