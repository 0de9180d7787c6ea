"""A platform engineer's first day: install, ask, add a stream, load, upgrade, crash, uninstall.

The tests build on each other, in this order, on one installation: each leaves it working. Two
things hold after every one of them: an accepted event is answered once, and accepted = answered +
failed + duplicates.
"""

from __future__ import annotations

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from tests.cluster.harness.api import wait_until
from tests.cluster.harness.errors import CommandFailed
from tests.cluster_e2e.installation import CHART, HERE, RELEASE, ROOT, Installation

pytestmark = pytest.mark.timeout(600)

LOAD_EVENTS = 5_000
THROUGH_HTTP = 1_000
SENT_TWICE = 100
SCALED_SECONDS = 60.0
DRAINED_SECONDS = 400.0
SCALED_IN_SECONDS = 240.0
GONE_SECONDS = 90.0
ANSWERED_SECONDS = 240.0


def test_helm_install_alone_gives_a_working_system(installation: Installation) -> None:
    assert installation.deployments() == {
        f"ai-{name}" for name in ("api", "consumer", "operator", "worker")
    }
    claims = installation.kubectl("get", "pvc", "-o", "jsonpath={.items[*].status.phase}")
    assert claims == "Bound Bound Bound"
    wait_until(
        lambda: installation.stream("default").get("phase") == "Running",
        "status of the stream `default`",
        SCALED_SECONDS,
    )
    assert installation.stream("default")["workers"]["summary"] == "1/1"


def test_helm_test_gets_answers_through_http_and_kafka(installation: Installation) -> None:
    said = installation.helm("test", RELEASE, "--logs")
    assert "Phase:          Succeeded" in said
    assert re.search(r"HTTP:\n\S+ +positive", said)
    assert re.search(r"Kafka:\n\S+ +negative", said)


def test_the_three_commands_of_the_notes_work_as_printed(installation: Installation) -> None:
    commands = re.findall(r"^     (\S.*)$", installation.notes, re.MULTILINE)
    assert len(commands) == 3
    outputs = [
        subprocess.run(
            ["sh", "-c", command],
            env=installation.target.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout
        for command in commands
    ]
    assert "Succeeded" in outputs[0]
    assert "Sentiment: positive" in outputs[1]
    assert re.search(r"^default +Running", outputs[2], re.MULTILINE)


def test_one_file_makes_a_stream_of_its_own(installation: Installation) -> None:
    installation.kubectl("apply", "-f", str(ROOT / "k8s/examples/reviews.yaml"))
    wait_until(
        lambda: {"ai-worker-reviews", "ai-consumer-reviews"} <= installation.deployments(),
        "Deployments of the stream `reviews`",
        SCALED_SECONDS,
    )
    installation.wait_ready("ai-worker-reviews", "ai-consumer-reviews")

    assert installation.ask("I love it, thank you!", "--stream=reviews") == "praise"
    broken = "It broke after two days and nobody answers."
    assert installation.ask(broken, "--stream=reviews", "--kafka") == "complaint"
    account = installation.account("reviews")
    assert (account.answered, account.failed) == (2, 0)
    # What the owner of the file sees.
    wait_until(
        lambda: "reviews   Running" in installation.kubectl("get", "es"),
        "line about `reviews`",
        SCALED_SECONDS,
    )
    described = installation.kubectl("describe", "es", "reviews")
    assert "1 of 1 workers, 1 of 1 consumers ready" in described


def test_a_wrong_stream_is_refused_with_a_sentence(installation: Installation) -> None:
    wrong = yaml.safe_load((ROOT / "k8s/examples/reviews.yaml").read_text())
    wrong["spec"]["scaling"]["workers"] |= {"min": 5, "max": 2}
    with pytest.raises(CommandFailed, match="min must not be above max"):
        installation.kubectl("apply", "-f", "-", stdin=json.dumps(wrong))


def test_a_deleted_stream_takes_its_pods_along_while_the_operator_is_down(
    installation: Installation,
) -> None:
    installation.kubectl("scale", "deployment/ai-operator", "--replicas=0")
    installation.kubectl(
        "wait", "--for=delete", "pod", "-l", "app.kubernetes.io/component=operator"
    )
    installation.kubectl("delete", "es", "reviews")
    wait_until(
        lambda: not {"ai-worker-reviews", "ai-consumer-reviews"} & installation.deployments(),
        "end of the Deployments of `reviews`",
        GONE_SECONDS,
    )
    installation.kubectl("scale", "deployment/ai-operator", "--replicas=1")
    installation.wait_ready("ai-operator")


@pytest.fixture(scope="module")
def slow_stream(installation: Installation) -> str:
    """A stream whose model takes 1 s; 32 events/s a worker."""
    program = f"--from-file={HERE / 'slow_model.py'}"
    installation.kubectl("create", "configmap", "slow-model", program)
    manifest = (HERE / "slow_model.yaml").read_text()
    installation.kubectl(
        "apply", "-f", "-", stdin=manifest.replace("WORKER_IMAGE", installation.image("ai-worker"))
    )
    installation.kubectl("apply", "-f", str(HERE / "slow.yaml"))
    wait_until(
        lambda: {"ai-worker-slow", "ai-consumer-slow"} <= installation.deployments(),
        "Deployments of the stream `slow`",
        SCALED_SECONDS,
    )
    installation.wait_ready("slow-model", "ai-worker-slow", "ai-consumer-slow")
    return "slow"


def _questions(installation: Installation) -> dict[str, int]:
    """What the model was asked: in all, and how many different texts."""
    read = (
        "import urllib.request as r; print(r.urlopen('http://slow-model/journal').read().decode())"
    )
    counted: dict[str, int] = json.loads(installation.in_client("python", "-c", read))
    return counted


def test_load_brings_workers_and_its_end_takes_them_away(
    installation: Installation, slow_stream: str
) -> None:
    assert installation.replicas("ai-worker-slow") == 1
    texts = [f"Parcel {number} came a day late." for number in range(LOAD_EVENTS)]
    through_http = installation.send(texts[:THROUGH_HTTP], slow_stream)
    through_kafka = {f"parcel-{n}": texts[n] for n in range(THROUGH_HTTP, LOAD_EVENTS)}
    installation.send_by_id(through_kafka, slow_stream, "--kafka")
    repeated = dict(list(through_kafka.items())[:SENT_TWICE])
    installation.send_by_id(repeated, slow_stream, "--kafka")

    # Up: one line of numbers says why.
    wait_until(
        lambda: installation.replicas("ai-worker-slow") == 4, "fourth worker", SCALED_SECONDS
    )
    wait_until(
        lambda: installation.stream(slow_stream)["decision"].endswith("-> 4"),
        "reason of the fourth worker",
        SCALED_SECONDS,
    )
    assert re.match(
        r"backlog \d+ \(queued \d+, in flight \d+, Kafka lag \d+\), [\d.]+ events/s in, .* -> 4$",
        installation.stream(slow_stream)["decision"],
    )

    ids = [*through_http, *through_kafka]
    account = installation.wait_finished(slow_stream, ids, DRAINED_SECONDS)
    assert account.states == {"SUCCESS": LOAD_EVENTS}
    assert (account.answered, account.failed) == (LOAD_EVENTS, 0)
    assert account.duplicates == SENT_TWICE
    # Nobody was asked, or paid, twice.
    assert _questions(installation) == {"questions": LOAD_EVENTS, "different": LOAD_EVENTS}

    # Down again, and it says so.
    wait_until(
        lambda: installation.replicas("ai-worker-slow") == 1, "scale-in to one", SCALED_IN_SECONDS
    )
    wait_until(
        lambda: installation.stream(slow_stream)["workers"]["summary"] == "1/1",
        "status of one worker",
        SCALED_SECONDS,
    )
    status = installation.stream(slow_stream)
    assert status["backlog"] == 0
    assert status["decision"].endswith("-> 1")
    history = [each["decision"] for each in status["history"]]
    assert any(sentence.endswith("-> 4") for sentence in history), history


def test_a_drained_node_gives_everything_back(installation: Installation, slow_stream: str) -> None:
    before = installation.account(slow_stream)
    texts = {f"drained-{n}": f"Note {n} before the drain." for n in range(200)}
    ids = installation.send_by_id(texts, slow_stream, "--kafka")

    node = installation.pod("api")["spec"]["nodeName"]
    with ThreadPoolExecutor(1) as administrator:
        drained = administrator.submit(_drain, installation, node)
        wait_until(
            lambda: "unschedulable" in installation.get("nodes", node)["spec"] or drained.done(),
            "drain that has begun",
            SCALED_SECONDS,
        )
        # The next pod of a kind may only go when the one before is back, and there is one node.
        installation.kubectl("uncordon", node)
        drained.result()
    installation.wait_ready(*sorted(installation.deployments()))
    installation.start_client()

    account = installation.wait_finished(slow_stream, ids, ANSWERED_SECONDS)
    assert account.states == {"SUCCESS": len(ids)}
    assert account.answered - before.answered == len(ids)


def _drain(installation: Installation, node: str) -> None:
    options = ("--force", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=240s")
    installation.kubectl("drain", node, *options, seconds=250)


def test_upgrade_and_rollback_keep_the_replicas_and_lose_nothing(
    installation: Installation,
) -> None:
    # On two cores; what the chart asks for would leave no room for three workers and a fourth.
    small = "worker.resources.requests.cpu=50m,api.resources.requests.cpu=100m"
    _upgrade(installation, f"defaultStream.spec.scaling.workers.min=3,{small}")
    wait_until(lambda: installation.replicas("ai-worker") == 3, "third worker", SCALED_SECONDS)
    installation.wait_ready("ai-worker")
    before = installation.account("default")

    sent: list[str] = []
    with ThreadPoolExecutor(1) as sender:
        rolled = sender.submit(_upgrade_and_roll_back, installation)
        while not rolled.done():
            number = len(sent)
            texts = {f"rolled-{number + n}": f"It is parcel {number + n}." for n in range(20)}
            sent += installation.send_by_id(texts, "default", "--kafka")
        replicas = rolled.result()

    assert replicas == [3, 3]
    account = installation.wait_finished("default", sent, ANSWERED_SECONDS)
    assert account.states == {"SUCCESS": len(sent)}
    assert account.answered - before.answered == len(sent)
    assert account.failed == before.failed


def _upgrade(installation: Installation, value: str) -> None:
    wait = ("--reuse-values", "--wait", "--timeout=6m")
    installation.helm("upgrade", RELEASE, str(CHART), "--set", value, *wait)


def _upgrade_and_roll_back(installation: Installation) -> list[int]:
    """A change that rolls every pod, and back; the replicas of the workers after each."""
    _upgrade(installation, "settings.LOG_LEVEL=WARNING")
    upgraded = installation.replicas("ai-worker")
    installation.helm("rollback", RELEASE, "--wait", "--timeout=6m")
    return [upgraded, installation.replicas("ai-worker")]


@pytest.mark.parametrize(
    "component", ["worker", "consumer", "operator", "redis-state", "redis-cache", "kafka", "api"]
)
def test_kill_9_of_any_pod_loses_nothing(
    installation: Installation, slow_stream: str, component: str
) -> None:
    before = installation.account(slow_stream)
    texts = {f"{component}-{n}": f"Letter {n} for the {component}." for n in range(200)}
    ids = installation.send_by_id(texts, slow_stream, "--kafka")

    stream = slow_stream if component in ("worker", "consumer") else None
    pod = installation.pod(component, stream)
    installation.target.kill(pod)
    installation.wait_restarted(pod)

    account = installation.wait_finished(slow_stream, ids, ANSWERED_SECONDS)
    assert account.states == {"SUCCESS": len(ids)}
    assert account.answered - before.answered == len(ids)
    assert account.failed == before.failed


def test_uninstall_takes_all_but_data_and_definition(installation: Installation) -> None:
    for stream in ("default", "slow"):
        assert installation.account(stream).balanced
    installation.kubectl("delete", "es", "slow")
    installation.kubectl("delete", "deployment/slow-model", "service/slow-model", "pod/client")
    installation.helm("uninstall", RELEASE, "--wait", "--timeout=3m")

    wait_until(lambda: installation.deployments() == set(), "end of all Deployments", GONE_SECONDS)
    claims = installation.kubectl("get", "pvc", "-o", "name").split()
    assert len(claims) == 3
    assert "eventstreams.ai-eventstream.io" in installation.kubectl("get", "crd")


def test_another_name_installs_after_that(installation: Installation) -> None:
    assert "helm test second" in installation.install("second")
    assert "Answered." in installation.helm("test", "second", "--logs")
    installation.helm("uninstall", "second", "--wait", "--timeout=3m")
    assert installation.deployments() == set()
