"""The operator as a process beside a real control plane, and a namespace as the chart leaves it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from eventstream.claims import Arrival
from eventstream.inbox import Inbox
from tests.cluster.harness.cluster import Cluster
from tests.support.events import an_event

T = TypeVar("T")

REPOSITORY = Path(__file__).parents[2]
CRD = REPOSITORY / "charts/ai-eventstream/crds/eventstreams.yaml"


def wait_for(what: str, look: Callable[[], T | Literal[False]], seconds: float = 90.0) -> T:
    """The first true answer of `look`; fails naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"after {seconds:.0f} s there is still no {what}"
        time.sleep(0.1)
    return found


@dataclass
class Namespace:
    """One namespace of the cluster, and the objects in it that these tests look at."""

    cluster: Cluster
    name: str

    def apply(self, *objects: dict[str, Any]) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(listed))

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        return self.cluster.kubectl("-n", self.name, *args, stdin=stdin)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found = self.kubectl("get", kind, name, "--ignore-not-found", "-o", "json")
        return json.loads(found) if found else {}

    def list(self, kind: str, *args: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, *args, "-o", "json"))[
            "items"
        ]
        return items

    def replicas(self, deployment: str) -> int:
        found = self.get("deployment", deployment)
        return int(found["spec"]["replicas"]) if found else -1

    def status(self, stream: str) -> dict[str, Any]:
        status: dict[str, Any] = self.get("eventstream", stream).get("status", {})
        return status

    def condition(self, stream: str, type_: str) -> dict[str, Any]:
        conditions = self.status(stream).get("conditions", ())
        return next((one for one in conditions if one["type"] == type_), {})


@contextmanager
def installed(cluster: Cluster, name: str) -> Iterator[Namespace]:
    """A namespace with the definition, and the Deployments that the chart would make there."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRD))
    cluster.wait_established("eventstreams.ai-eventstream.io")
    cluster.kubectl("create", "namespace", name)
    namespace = Namespace(cluster, name)
    try:
        namespace.apply(*(template(role) for role in ("worker", "consumer")), api_deployment())
        yield namespace
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


def template(role: str) -> dict[str, Any]:
    """The Deployment of the stream `default` for a role, with the chart's labels."""
    labels = _labels(role) | {"ai-eventstream.io/stream": "default"}
    deployment = _deployment(f"ai-{role}", labels, role)
    deployment["metadata"]["labels"]["ai-eventstream.io/template"] = role
    environment = [{"name": "WORKER_STREAMS", "value": "default"}]
    deployment["spec"]["template"]["spec"]["containers"][0]["env"] = environment
    return deployment


def api_deployment(owner: str = "default") -> dict[str, Any]:
    """The API's Deployment, which names the stream that scales it."""
    deployment = _deployment("ai-api", _labels("api"), "api")
    deployment["metadata"]["annotations"] = {"ai-eventstream.io/scaled-by": owner}
    return deployment


def stream(name: str, **spec: Any) -> dict[str, Any]:
    """An EventStream of workers only, unless `spec` says more."""
    return {
        "apiVersion": "ai-eventstream.io/v1alpha1",
        "kind": "EventStream",
        "metadata": {"name": name},
        "spec": spec,
    }


def workers(**bounds: Any) -> dict[str, Any]:
    """The spec's part about workers."""
    return {"scaling": {"workers": bounds}}


async def wait_in_line(inbox: Inbox, name: str, count: int) -> None:
    """Put events into a stream's inbox."""
    events = [an_event(uuid.uuid4().hex, f"text {number}", stream=name) for number in range(count)]
    await inbox.accept([Arrival(event) for event in events])


@dataclass
class Operator:
    """`python -m eventstream_operator` as a process of its own."""

    namespace: Namespace
    redis_url: str
    prefix: str
    log: Path
    variables: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> Operator:
        paths = os.pathsep.join(str(REPOSITORY / part) for part in ("services", "operator"))
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": paths,
            "KUBECONFIG": str(self.namespace.cluster.kubeconfig),
            "WATCH_NAMESPACE": self.namespace.name,
            "REDIS_URL": self.redis_url,
            "EVENTSTREAM_PREFIX": self.prefix,
            "METRICS_HOST": "127.0.0.1",
            "METRICS_PORT": "0",
            "OPERATOR_IDENTITY": "operator-0",
        } | self.variables
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "eventstream_operator"],
                env=environment,
                stdout=log,
                stderr=log,
            )
        return self

    def wait_until_working(self) -> None:
        """Returns after its first whole pass, which makes everything that is missing."""
        try:
            wait_for("pass of the operator", lambda: "last pass" in self.livez(), 120)
        except AssertionError as error:
            error.add_note(self.logged()[-5000:])
            raise

    def livez(self) -> str:
        """The liveness probe's text; empty while nothing listens."""
        return self._read("/livez")

    def metric(self, start: str) -> float:
        """The sum of the samples whose line begins with `start`."""
        lines = self._read("/metrics").splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(start))

    def stop(self) -> int:
        """End it as Kubernetes does; its exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(20)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(20)

    def logged(self) -> str:
        """What it has logged."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def __enter__(self) -> Operator:
        self.start()
        try:
            self.wait_until_working()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def _read(self, path: str) -> str:
        # The log goes on over restarts: the last start counts.
        ports = re.findall(r'"metrics_port": (\d+)', self.logged())
        if not ports:
            return ""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{ports[-1]}{path}", timeout=5) as answer:
                text: str = answer.read().decode()
                return text
        except OSError:
            return ""


def _labels(component: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "ai-eventstream",
        "app.kubernetes.io/instance": "ai",
        "app.kubernetes.io/component": component,
    }


def _deployment(name: str, labels: dict[str, str], container: str) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": {
            "selector": {"matchLabels": dict(labels)},
            "template": {
                "metadata": {"labels": dict(labels)},
                "spec": {
                    "containers": [
                        {
                            "name": container,
                            "image": "localhost/none:1",
                            "resources": {"requests": {"cpu": "10m"}},
                        }
                    ]
                },
            },
        },
    }
