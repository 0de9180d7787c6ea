"""What is started as a service, and when it counts as ready."""

import http.server
import socket
import sys
import threading
from collections.abc import Iterator

import pytest

from eventstream.embedded.plan import KafkaChoice, Ports, plan_stack
from eventstream.embedded.process import ProcessSpec
from eventstream.embedded.services import answers_http, listens, service_processes


def services(kafka: KafkaChoice, *, flower: bool = True) -> dict[str, ProcessSpec]:
    plan = plan_stack({}, ports=Ports(), kafka=kafka, flower=flower)
    specs = service_processes(plan, after=("cache", "state"), worker_shutdown_seconds=30)
    return {spec.name: spec for spec in specs}


def test_each_service_is_the_command_of_the_same_name() -> None:
    for name, spec in services(KafkaChoice.DEMO).items():
        assert spec.argv == (sys.executable, "-P", "-m", "eventstream", name)
        assert spec.after == ("cache", "state")


def test_without_a_broker_there_is_no_consumer() -> None:
    assert set(services(KafkaChoice.NONE)) == {"api", "worker", "flower"}


def test_flower_can_be_left_out() -> None:
    assert "flower" not in services(KafkaChoice.DEMO, flower=False)


def test_the_consumer_is_started_again_with_the_demo_broker_only() -> None:
    assert services(KafkaChoice.DEMO)["consumer"].restart_with == ("broker",)
    assert services(KafkaChoice.APACHE)["consumer"].restart_with == ()


def test_a_worker_gets_longer_to_end_than_it_may_take() -> None:
    assert services(KafkaChoice.DEMO)["worker"].stop_timeout_seconds > 30


class OneStatus(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(503 if self.path == "/readyz" else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keeps the test's output quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), OneStatus) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_an_answer_below_400_counts_as_ready(server: str) -> None:
    assert answers_http(f"{server}/livez")
    assert not answers_http(f"{server}/readyz")


def test_nobody_there_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
        assert listens(port)
    assert not listens(port)
    assert not answers_http(f"http://127.0.0.1:{port}/livez")
