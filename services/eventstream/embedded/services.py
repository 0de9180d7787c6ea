"""The four services as child processes: what is started and when each counts as ready.

They are the same commands that run in a container; only their environment says that they
are part of a local stack.
"""

import http.client
import socket
import sys
from collections.abc import Callable
from urllib.parse import urlsplit

from eventstream.embedded.plan import HOST, KafkaChoice, StackPlan
from eventstream.embedded.process import ProcessSpec

CHECK_TIMEOUT_SECONDS = 1.0
START_TIMEOUT_SECONDS = 60.0
API_STOP_SECONDS = 20.0
FLOWER_STOP_SECONDS = 5.0
CONSUMER_STOP_SECONDS = 20.0


def service_processes(
    plan: StackPlan, *, after: tuple[str, ...], worker_shutdown_seconds: int
) -> list[ProcessSpec]:
    """The services of a plan; all start at once, when the processes in `after` are ready."""
    broker = () if plan.kafka is not KafkaChoice.DEMO else ("broker",)
    specs = [
        ProcessSpec(
            name="api",
            argv=_command("api"),
            env=plan.env_for("api"),
            ready=lambda: answers_http(f"{plan.api_url}/livez"),
            ready_timeout_seconds=START_TIMEOUT_SECONDS,
            stop_timeout_seconds=API_STOP_SECONDS,
            after=after,
        ),
        ProcessSpec(
            name="worker",
            argv=_command("worker"),
            env=plan.env_for("worker"),
            ready=_metrics_answer(plan, "worker"),
            ready_timeout_seconds=START_TIMEOUT_SECONDS,
            # It may take that long to finish or give back what it holds, and then it ends.
            stop_timeout_seconds=worker_shutdown_seconds + 10.0,
            after=after,
        ),
    ]
    if plan.consumer:
        specs.append(
            ProcessSpec(
                name="consumer",
                argv=_command("consumer"),
                env=plan.env_for("consumer"),
                ready=_metrics_answer(plan, "consumer"),
                ready_timeout_seconds=START_TIMEOUT_SECONDS,
                stop_timeout_seconds=CONSUMER_STOP_SECONDS,
                after=after,
                # The demo broker forgets groups and topics, and its consumers do not notice.
                restart_with=broker,
            )
        )
    if plan.flower:
        specs.append(
            ProcessSpec(
                name="flower",
                argv=_command("flower"),
                env=plan.env_for("flower"),
                ready=lambda: listens(plan.ports.flower),
                ready_timeout_seconds=START_TIMEOUT_SECONDS,
                stop_timeout_seconds=FLOWER_STOP_SECONDS,
                after=after,
            )
        )
    return specs


def answers_http(url: str) -> bool:
    """Whether a GET is answered with a status below 400."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(
        parts.hostname or HOST, parts.port, timeout=CHECK_TIMEOUT_SECONDS
    )
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def listens(port: int) -> bool:
    """Whether something on this machine takes connections on the port."""
    try:
        socket.create_connection((HOST, port), timeout=CHECK_TIMEOUT_SECONDS).close()
    except OSError:
        return False
    return True


def _metrics_answer(plan: StackPlan, service: str) -> Callable[[], bool]:
    port = plan.metrics_ports[service]
    return lambda: answers_http(f"http://{HOST}:{port}/metrics")


def _command(service: str) -> tuple[str, ...]:
    # -P: a folder in the current directory must never be taken for one of our modules.
    return (sys.executable, "-P", "-m", "eventstream", service)
