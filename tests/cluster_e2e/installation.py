"""One installation, as its users reach it: kubectl, helm, and commands in a pod beside it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.chart.helm import KUBERNETES
from tests.cluster.harness.api import wait_until
from tests.cluster.harness.commands import run_command
from tests.cluster.harness.errors import CommandTimedOut
from tests.cluster_e2e.targets import Target

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CHART = ROOT / "charts/ai-eventstream"
NAMESPACE = "ai"
RELEASE = "ai"
CLIENT = "client"
READY_SECONDS = 300.0
SEND_SECONDS = 180.0
HELM_SECONDS = 420.0
SCALED_SECONDS = 120.0
SCALED_IN_SECONDS = 240.0
ANSWERED_SECONDS = 240.0
GONE_SECONDS = 120.0


@dataclass(frozen=True)
class Account:
    """What became of a stream's events, and in which state some of them are."""

    accepted: int
    answered: int
    failed: int
    duplicates: int
    states: Counter[str]

    @property
    def balanced(self) -> bool:
        """Whether nothing is open or lost."""
        return self.accepted == self.answered + self.failed + self.duplicates


class Installation:
    """The release `ai` in the namespace `ai`."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.notes = ""
        """What `helm install` said."""

    def kubectl(self, *args: str, stdin: str | None = None, seconds: float = 90.0) -> str:
        """kubectl in the installation's namespace."""
        argv = ["kubectl", f"--namespace={NAMESPACE}", *args]
        return run_command(argv, self.target.environment, stdin=stdin, timeout_seconds=seconds)

    def helm(self, *args: str) -> str:
        """helm in the installation's namespace."""
        argv = ["helm", *args, f"--namespace={NAMESPACE}"]
        return run_command(argv, self.target.environment, timeout_seconds=HELM_SECONDS)

    def install(self, release: str, chart: Path = CHART) -> str:
        """`helm install` with no values but where the images are; what it says."""
        wait = ("--create-namespace", "--wait", "--timeout=6m")
        return self.helm("install", release, str(chart), *wait, *self.target.install_options)

    def upgrade(self, release: str, *values: str) -> None:
        """`helm upgrade` to this chart; `values` (`name=value`) are set beside those of before."""
        wait = ("--reuse-values", "--wait", "--timeout=6m")
        self.helm("upgrade", release, str(CHART), *_set(values), *wait)

    def template(self, *values: str) -> list[dict[str, Any]]:
        """The release's objects, as `helm template` renders them with these values."""
        version = f"--kube-version={KUBERNETES}"
        rendered = self.helm("template", RELEASE, str(CHART), version, *_set(values))
        return [each for each in yaml.safe_load_all(rendered) if each]

    def get(self, resource: str, name: str) -> dict[str, Any]:
        """An object as the API server has it."""
        found: dict[str, Any] = json.loads(self.kubectl("get", resource, name, "-o", "json"))
        return found

    def stream(self, name: str) -> dict[str, Any]:
        """The status of an EventStream; empty before the operator has written one."""
        status: dict[str, Any] = self.get("eventstreams", name).get("status") or {}
        return status

    def condition(self, stream: str, type_: str) -> tuple[str, str]:
        """(status, message) of one of a stream's conditions; Unknown before there is one."""
        for each in self.stream(stream).get("conditions", ()):
            if each["type"] == type_:
                return each["status"], each["message"]
        return "Unknown", ""

    def events(self, stream: str) -> list[str]:
        """The messages of a stream's Kubernetes events."""
        about = f"--field-selector=involvedObject.kind=EventStream,involvedObject.name={stream}"
        found = json.loads(self.kubectl("get", "events", about, "-o", "json"))
        return [each["message"] for each in found["items"]]

    def replicas(self, deployment: str) -> int:
        """How many pods a Deployment is told to have."""
        wanted: int = self.get("deployments", deployment)["spec"]["replicas"]
        return wanted

    def image(self, deployment: str) -> str:
        """The image of a Deployment's container."""
        containers = self.get("deployments", deployment)["spec"]["template"]["spec"]["containers"]
        image: str = containers[0]["image"]
        return image

    def deployments(self) -> set[str]:
        """The names of all Deployments."""
        return set(_names(self.kubectl("get", "deployments", "-o", "name")))

    def wait_ready(self, *deployments: str) -> None:
        """Returns when the newest pods of these Deployments are all there is, and ready."""
        for name in deployments:
            wait = f"--timeout={READY_SECONDS:.0f}s"
            self.kubectl("rollout", "status", f"deployment/{name}", wait, seconds=READY_SECONDS + 9)

    def start_client(self) -> None:
        """A pod with the API's image and settings, that no test kills."""
        template = self.get("deployments", f"{RELEASE}-api")["spec"]["template"]["spec"]
        container = template["containers"][0]
        address = {"name": "EVENTSTREAM_URL", "value": f"http://{RELEASE}-api:8000"}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": CLIENT,
                # The labels that the network policies let through to Redis.
                "labels": {
                    "app.kubernetes.io/name": "ai-eventstream",
                    "app.kubernetes.io/instance": RELEASE,
                    "app.kubernetes.io/component": "test",
                },
            },
            "spec": {
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "terminationGracePeriodSeconds": 1,
                "containers": [
                    {
                        "name": "client",
                        "image": container["image"],
                        "imagePullPolicy": container["imagePullPolicy"],
                        "command": ["sleep", "infinity"],
                        "envFrom": container["envFrom"],
                        "env": [*container["env"], address],
                    }
                ],
            },
        }
        self.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
        self.kubectl("wait", "--for=condition=Ready", f"pod/{CLIENT}", "--timeout=60s")

    def in_client(self, *command: str, stdin: str = "", seconds: float = 90.0) -> str:
        """Runs a command in the client's pod."""
        return self.kubectl("exec", "-i", CLIENT, "--", *command, stdin=stdin, seconds=seconds)

    def _read(self, *command: str, stdin: str) -> str:
        """The same for a command that only reads, so that it may be given twice.

        On a machine with far too much to do `kubectl exec` was seen to go on waiting after the
        command's last word.
        """
        try:
            return self.in_client(*command, stdin=stdin)
        except CommandTimedOut:
            return self.in_client(*command, stdin=stdin)

    def send(self, texts: Iterable[str], stream: str, *options: str) -> list[str]:
        """`eventstream send`; the ids of the events, which are accepted (or in Kafka)."""
        command = ("eventstream", "send", "-", "--stream", stream, *options)
        return self.in_client(*command, stdin="\n".join(texts), seconds=SEND_SECONDS).split()

    def send_by_id(self, texts: dict[str, str], stream: str, *options: str) -> list[str]:
        """The same for texts that have ids of their own."""
        lines = (json.dumps({"event_id": each, "text": text}) for each, text in texts.items())
        return self.send(lines, stream, "--format=jsonl", *options)

    def fetch(self, *urls: str) -> list[Any]:
        """The JSON behind these addresses, as a pod reaches them."""
        program = (HERE / "fetch.py").read_text()
        found: list[Any] = json.loads(self._read("python", "-c", program, stdin="\n".join(urls)))
        return found

    def result(self, text: str, *options: str) -> dict[str, Any]:
        """The result of one text, waited for."""
        command = ("eventstream", "send", "-", "--wait", "--json", *options)
        answer: dict[str, Any] = json.loads(self.in_client(*command, stdin=text))
        result: dict[str, Any] = answer["result"]
        return result

    def ask(self, text: str, *options: str) -> str:
        """The answer to one text, waited for."""
        response: str = self.result(text, *options)["response"]
        return response

    def account(self, stream: str, ids: Sequence[str] = ()) -> Account:
        """The stream's counters, and the states of these events."""
        program = (HERE / "probe.py").read_text()
        told = json.loads(self._read("python", "-c", program, stream, stdin="\n".join(ids)))
        return Account(
            accepted=told["accepted"],
            answered=told["answered"],
            failed=told["failed"],
            duplicates=told["duplicates"],
            states=Counter(told["states"]),
        )

    def wait_finished(self, stream: str, ids: Sequence[str], seconds: float) -> Account:
        """Returns the account once each of these events is answered or failed."""
        seen: list[Account] = []

        def finished() -> bool:
            seen[:] = [self.account(stream, ids)]
            states = seen[0].states
            return states["SUCCESS"] + states["FAILURE"] == len(ids) and seen[0].balanced

        wait_until(finished, f"answer to each of {len(ids)} events of {stream}", seconds)
        return seen[0]

    def pod(self, component: str, stream: str | None = None) -> dict[str, Any]:
        """The oldest pod of a component that is not on its way out."""
        labels = {"instance": RELEASE, "component": component}
        wanted = [f"app.kubernetes.io/{name}={value}" for name, value in labels.items()]
        if stream is not None:
            wanted.append(f"ai-eventstream.io/stream={stream}")
        found = json.loads(self.kubectl("get", "pods", "-l", ",".join(wanted), "-o", "json"))
        alive = [each for each in found["items"] if "deletionTimestamp" not in each["metadata"]]
        oldest: dict[str, Any] = min(alive, key=lambda each: each["metadata"]["creationTimestamp"])
        return oldest

    def wait_restarted(self, pod: dict[str, Any]) -> None:
        """Returns when the pod's container, or a pod in its place, has started and is ready."""
        labels = pod["metadata"]["labels"]
        component = labels["app.kubernetes.io/component"]
        before = _start(pod)

        def again() -> bool:
            now = self.pod(component, labels.get("ai-eventstream.io/stream"))
            states = now["status"].get("containerStatuses") or [{"ready": False}]
            return bool(states[0]["ready"]) and _start(now) != before

        wait_until(again, f"second start of {pod['metadata']['name']}", READY_SECONDS)


def _set(values: Iterable[str]) -> list[str]:
    return [part for value in values for part in ("--set", value)]


def _start(pod: dict[str, Any]) -> tuple[str, int]:
    """Another one a start."""
    return pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"]


def _names(listed: str) -> list[str]:
    return [line.partition("/")[2] for line in listed.split()]
