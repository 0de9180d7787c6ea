"""A platform engineer's first day: install, ask, add a stream, delete it.

The tests of this folder build on each other, module by module and in this order, on one
installation: each leaves it working. Two things hold after every one of them: an accepted event has
one result, and accepted = answered + failed + duplicates.
"""

from __future__ import annotations

import json
import re
import subprocess

import pytest
import yaml

from tests.cluster.harness.api import wait_until
from tests.cluster.harness.errors import CommandFailed
from tests.cluster_e2e.installation import (
    GONE_SECONDS,
    RELEASE,
    ROOT,
    SCALED_SECONDS,
    Installation,
)

pytestmark = pytest.mark.timeout(600)


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
