"""When the liveness probe of a worker or consumer gives up, and when it must not."""

from __future__ import annotations

import socket
from types import ModuleType

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from tests.chart.helm import CHART, Chart
from tests.chart.scripts import load

IN_HAND = 'eventstream_events_in_flight{pid="parent"} 4.0\n'
IDLE = 'eventstream_events_in_flight{pid="parent"} 0.0\n'
FINISHED = 'eventstream_events_finished_total{stream="a b",outcome="answered"} 7.0\n'
RETRIES = 'eventstream_model_retries_total{stream="default",cause="timeout"} 2.0\n'
OF_PYTHON = "python_gc_collections_total 99.0\n"


@pytest.fixture(scope="module")
def progress() -> ModuleType:
    """The script that the pods run."""
    return load(CHART / "files" / "progress.py")


def test_events_in_flight_are_work_and_counters_are_movement(progress: ModuleType) -> None:
    text = f"# HELP x\n{IN_HAND}{FINISHED}{RETRIES}{OF_PYTHON}"

    assert progress.figures(text, "worker") == (True, 9.0)
    assert progress.figures(IDLE + FINISHED, "worker") == (False, 7.0)


def test_lag_is_a_consumers_work_unless_it_was_told_to_wait(progress: ModuleType) -> None:
    lag = 'eventstream_kafka_lag_records{stream="s",topic="t",partition="0"} 120.0\n'
    paused = 'eventstream_kafka_paused_partitions{stream="s"} 3.0\n'

    assert progress.figures(lag, "consumer") == (True, 0.0)
    assert progress.figures(lag + paused, "consumer") == (False, 0.0)


@pytest.mark.parametrize(
    ("case", "before", "working", "moved", "now", "still"),
    [
        ("the first look", "", True, 5.0, 1000.0, 0.0),
        ("a memory that was cut off", "5.0", True, 5.0, 1000.0, 0.0),
        ("something moved", "5.0 100.0", True, 6.0, 1000.0, 0.0),
        ("nothing to do", "5.0 100.0", False, 5.0, 1000.0, 0.0),
        ("work, and nothing moved", "5.0 100.0", True, 5.0, 460.0, 360.0),
        ("the clock was set back", "5.0 100.0", True, 5.0, 40.0, 0.0),
    ],
)
def test_how_long_nothing_has_moved(
    progress: ModuleType,
    case: str,
    before: str,
    working: bool,
    moved: float,
    now: float,
    still: float,
) -> None:
    after, seconds = progress.judge(before, working, moved, now)

    assert seconds == still, case
    # The waiting goes on from where it began, or begins anew now.
    assert after == (before if still else f"{moved} {now}")


def test_it_reads_what_prometheus_client_serves(progress: ModuleType) -> None:
    registry = CollectorRegistry()
    Gauge("eventstream_events_in_flight", "Held.", registry=registry).set(3)
    Counter("eventstream_wake_ups", "Sent.", ["queue"], registry=registry).labels("a b").inc(2)
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    try:
        text = progress.fetch(("127.0.0.1", server.server_port))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

    assert progress.figures(text, "worker") == (True, 2.0)


def test_a_process_that_does_not_answer_is_not_alive(progress: ModuleType) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()

    with pytest.raises(OSError, match="refused"):
        progress.fetch(address)


def test_the_pods_run_it_with_their_own_patience(chart: Chart) -> None:
    objects = chart.render({"worker": {"stalledSeconds": 900}})

    held = objects.one("ConfigMap", "ai-probe")["data"]["progress.py"]
    assert held == (CHART / "files" / "progress.py").read_text(encoding="utf-8")
    [worker] = objects.pods()["Deployment/ai-worker"]["spec"]["containers"]
    assert worker["livenessProbe"]["exec"]["command"] == [
        "python",
        "-IS",
        "/probe/progress.py",
        "worker",
        "900",
    ]
    mounts = {mount["name"]: mount["mountPath"] for mount in worker["volumeMounts"]}
    assert mounts["probe"] == "/probe"
