"""One cluster: started, asked, disturbed, taken away.

Two tiers. `CONTROL_PLANE` is a real API server with its controllers and scheduler, and nodes that
kwok plays; `NODE` has a real kubelet with containerd, Service addresses, names and metrics
instead. Both run in namespaces of their own; from outside the API server is reached at a port of
127.0.0.1.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import IO, Any

from tests.cluster.harness import components, state
from tests.cluster.harness.api import ApiClient, wait_until
from tests.cluster.harness.commands import run_command
from tests.cluster.harness.errors import HarnessError
from tests.cluster.harness.layout import API_PORT, NODE_IP, SEARCH_PATH, Layout
from tests.cluster.harness.namespace import Namespace, ProcessId, child_of
from tests.cluster.harness.node import NodeSetup, kill_container, load_image
from tests.cluster.harness.packages import CONTROL_PLANE_PACKAGES, NODE_PACKAGES, require
from tests.cluster.harness.pki import make_pki, write_kubeconfig
from tests.cluster.harness.setup import network_setup, node_setup

_START_SECONDS = 90.0
_COMMAND_SECONDS = 90.0
_LOG_TAIL_LINES = 20
_CONNECTIONS_WAITING = 512
_API_RELAY = "relay to the API server"
_OK = (http.client.OK, http.client.CREATED)


class Tier(Enum):
    CONTROL_PLANE = "control-plane"
    NODE = "node"


class Cluster:
    """A running cluster. Made by `start`; `stop` leaves nothing behind."""

    def __init__(self, tier: Tier, layout: Layout, lock: int, namespace: Namespace) -> None:
        self.tier = tier
        self.layout = layout
        self._lock = lock
        self._namespace = namespace
        self._programs: dict[str, subprocess.Popen[bytes]] = {}
        # Held while nobody listens, too: connections are then refused, and the port stays ours.
        self._api_address = _bind()
        self._api_port: int = self._api_address.getsockname()[1]
        self._api: ApiClient | None = None

    @classmethod
    def start(
        cls,
        tier: Tier,
        clusters: Path,
        binaries: Path,
        *,
        nodes: int = 1,
        name: str | None = None,
        stay: bool = False,
    ) -> Cluster:
        """Starts a cluster whose nodes are ready; its files are in a folder below `clusters`.

        `nodes` are the simulated ones of the tier CONTROL_PLANE. The cluster ends with this
        process, in whatever way it ends, unless `stay`. Raises HarnessError with the ends of the
        logs when something does not come up; nothing is left then.
        """
        require(CONTROL_PLANE_PACKAGES if tier is Tier.CONTROL_PLANE else NODE_PACKAGES)
        state.sweep(clusters)
        folder, lock = state.make_folder(clusters, name or f"{tier.value}-{uuid.uuid4().hex[:8]}")
        layout = Layout(folder, binaries)
        layout.logs.mkdir()
        try:
            namespace = Namespace.create(
                network_setup() + (node_setup(folder) if tier is Tier.NODE else []),
                stay=stay,
                keep_open=lock,
                log=layout.logs / "init.log",
            )
        except BaseException:
            state.remove(folder)
            os.close(lock)
            raise
        cluster = cls(tier, layout, lock, namespace)
        try:
            cluster._bring_up(nodes)
            cluster._write_record()
        except BaseException as error:
            logs = cluster.log_tails()
            cluster.stop()
            if isinstance(error, HarnessError):
                raise HarnessError(f"the cluster does not start: {error}\n{logs}") from error
            raise
        return cluster

    @property
    def kubeconfig(self) -> Path:
        """An administrator's, for clients on the machine."""
        return self.layout.kubeconfig

    @property
    def api_url(self) -> str:
        """The API server's address for clients on the machine."""
        return f"https://127.0.0.1:{self._api_port}"

    def kubectl(
        self, *args: str, stdin: str | None = None, timeout_seconds: float = _COMMAND_SECONDS
    ) -> str:
        """What kubectl writes to standard output; raises CommandFailed with all that it says."""
        return run_command(
            [self.layout.program("kubectl"), *args],
            client_environment(self.layout),
            stdin=stdin,
            timeout_seconds=timeout_seconds,
        )

    def wait_established(self, definition: str) -> None:
        """Returns when the API server serves this resource definition, which is there already.

        `kubectl wait` fails where an object has no conditions at all yet.
        """
        query = '{.status.conditions[?(@.type=="Established")].status}'
        self._wait(
            lambda: self.kubectl("get", f"crd/{definition}", "-o", f"jsonpath={query}") == "True",
            f"resource definition {definition}",
        )

    def helm(self, *args: str, timeout_seconds: float = 600.0) -> str:
        """What helm writes to standard output; raises CommandFailed with all that it says."""
        return run_command(
            [self.layout.program("helm"), *args],
            client_environment(self.layout),
            timeout_seconds=timeout_seconds,
        )

    def run(
        self,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        *,
        stdin: str | None = None,
        timeout_seconds: float = _COMMAND_SECONDS,
    ) -> str:
        """Runs a command in the cluster's network, where pods and Services have addresses.

        `env` is added to this process's environment. Returns its standard output; raises
        CommandFailed.
        """
        return run_command(
            self._namespace.enter(argv),
            self._inner_environment(env),
            stdin=stdin,
            timeout_seconds=timeout_seconds,
        )

    def popen(
        self, argv: Sequence[str], env: Mapping[str, str] | None = None, *, output: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """Starts a command in the cluster's network; its process id is the command's own.

        It does not end with the cluster: whoever starts it ends it.
        """
        return subprocess.Popen(
            self._namespace.enter(argv),
            env=self._inner_environment(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )

    def forward(self, host: str, port: int) -> int:
        """A port of 127.0.0.1, on the machine, that leads to `host` and `port` in the cluster.

        Numbers only: `host` is the address of a pod, a Service or the node. It stays until the
        cluster ends.
        """
        with _bind() as listening:
            self._relay(f"relay to {host}:{port}", listening, host, port)
            found: int = listening.getsockname()[1]
            return found

    def scale_nodes(self, count: int) -> None:
        """Makes sim-1 to sim-`count` the simulated nodes; returns when all are ready.

        What ran on a removed node goes at once: Kubernetes alone would wait for 40 s.
        """
        if self.tier is not Tier.CONTROL_PLANE:
            raise HarnessError("the real node is the only one of its tier")
        wanted = {f"sim-{number}" for number in range(1, count + 1)}
        there = {node["metadata"]["name"] for node in self._nodes()}
        for name in sorted(wanted - there):
            self._ask("POST", "/api/v1/nodes", _simulated_node(name))
        for name in sorted(there - wanted):
            self._ask("DELETE", f"/api/v1/nodes/{name}")
            for pod in self._client.items(f"/api/v1/pods?fieldSelector=spec.nodeName={name}"):
                place = pod["metadata"]
                path = f"/api/v1/namespaces/{place['namespace']}/pods/{place['name']}"
                self._ask("DELETE", f"{path}?gracePeriodSeconds=0")
        self._wait(
            lambda: len(nodes := self._nodes()) == count and all(map(_is_ready, nodes)),
            f"cluster of {count} ready nodes",
        )

    def load_image(self, archive: Path) -> None:
        """Gives the node the images in an archive as `docker save` writes it.

        Pods find them under their names with `imagePullPolicy` IfNotPresent or Never. Raises
        HarnessError when there is no such file, or no node that runs images.
        """
        load_image(self.layout, archive)

    def kill_container(self, namespace: str, pod: str) -> None:
        """Ends the process of the pod's first container with SIGKILL, as a crash would."""
        path = f"/api/v1/namespaces/{namespace}/pods?fieldSelector=metadata.name={pod}"
        found = self._client.items(path)
        if not found:
            raise HarnessError(f"there is no pod {pod} in {namespace}")
        status = found[0]["status"]["containerStatuses"][0]
        kill_container(self.layout, status["containerID"].removeprefix("containerd://"))

    def stop_api_server(self) -> None:
        """Ends the API server as a crash would: connections are cut, new ones are refused."""
        for name in (_API_RELAY, "kube-apiserver"):
            program = self._programs.pop(name)
            os.kill(child_of(program), signal.SIGKILL)
            program.wait()

    def start_api_server(self) -> None:
        """Starts it again with the data that it had; returns when it is ready."""
        self._spawn(
            "kube-apiserver",
            components.api_server(self.layout, with_node=self.tier is Tier.NODE),
        )
        with _bind(self._api_port) as listening:
            self._relay(_API_RELAY, listening, NODE_IP, API_PORT)
        self._wait(lambda: self._client.answers("/readyz"), "API server that is ready")

    def log_tails(self) -> str:
        """The last lines of each program's log, for a failed test's report."""
        parts = []
        for path in sorted(self.layout.logs.glob("*.log")):
            lines = path.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
            if lines:
                parts.append("\n".join([f"--- {path.name}", *lines]))
        return "\n".join(parts)

    def stop(self) -> None:
        """Ends every process of the cluster at once and removes its files."""
        self._namespace.destroy()
        for program in self._programs.values():
            program.wait()
        self._api_address.close()
        state.remove(self.layout.folder)
        os.close(self._lock)

    def _bring_up(self, nodes: int) -> None:
        layout = self.layout
        with_node = self.tier is Tier.NODE
        make_pki(
            layout.pki,
            components.CERTIFICATES + (components.NODE_CERTIFICATES if with_node else []),
        )
        inside = f"https://{NODE_IP}:{API_PORT}"
        for user in ("admin", "scheduler", "controllers"):
            write_kubeconfig(layout.pki, user, inside, layout.pki / f"{user}.conf")
        write_kubeconfig(layout.pki, "admin", self.api_url, layout.kubeconfig)
        self._api = ApiClient(layout.pki, self._api_port)
        self._spawn("etcd", components.etcd(layout))
        node = NodeSetup(layout, self._spawn, self._wait) if with_node else None
        if node is not None:
            node.prepare(inside)
        self.start_api_server()
        self._spawn("kube-controller-manager", components.controller_manager(layout))
        self._spawn("kube-scheduler", components.scheduler(layout))
        if node is not None:
            node.start()
            self.kubectl("apply", "-f", "-", stdin=node.addons())
            # Until it answers, discovery is incomplete, and no namespace can be deleted.
            self._wait(lambda: self._client.answers("/apis/metrics.k8s.io/v1beta1"), "metrics API")
        else:
            self._spawn("kwok", components.kwok(layout))
            self.scale_nodes(nodes)
        self._wait(
            lambda: self._client.answers("/api/v1/namespaces/default/serviceaccounts/default"),
            "service account `default`",
        )
        self._wait(lambda: all(map(_is_ready, self._nodes())), "node that is ready")

    @property
    def _client(self) -> ApiClient:
        assert self._api is not None
        return self._api

    def _spawn(self, name: str, argv: list[str]) -> None:
        with (self.layout.logs / f"{name}.log").open("ab") as log:
            # Nothing of the user's environment: a proxy, say, is not for these.
            environment = {"PATH": SEARCH_PATH, "HOME": str(self.layout.folder)}
            self._programs[name] = self._namespace.spawn(argv, log, environment=environment)

    def _relay(self, name: str, listening: socket.socket, host: str, port: int) -> None:
        listening.listen(_CONNECTIONS_WAITING)
        relay = str(Path(__file__).with_name("relay.py"))
        with (self.layout.logs / "relay.log").open("ab") as log:
            self._programs[name] = self._namespace.spawn(
                [sys.executable, "-I", relay, str(listening.fileno()), host, str(port)],
                log,
                pass_fds=(listening.fileno(),),
            )

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        def holds() -> bool:
            for name, program in self._programs.items():
                if program.poll() is not None:
                    raise HarnessError(f"{name} ended with status {program.returncode}")
            return condition()

        wait_until(holds, what, _START_SECONDS)

    def _ask(self, method: str, path: str, body: object = None) -> None:
        status, text = self._client.ask(method, path, body)
        gone_already = method == "DELETE" and status == http.client.NOT_FOUND
        if status not in _OK and not gone_already:
            raise HarnessError(f"{method} {path} was answered with {status}: {text}")

    def _nodes(self) -> list[dict[str, Any]]:
        return self._client.items("/api/v1/nodes")

    def _inner_environment(self, added: Mapping[str, str] | None) -> dict[str, str]:
        inner = {"KUBECONFIG": str(self.layout.inner_kubeconfig), "NO_PROXY": "*"}
        return client_environment(self.layout) | inner | dict(added or {})

    def _write_record(self) -> None:
        record = {
            "tier": self.tier.value,
            "pid": self._namespace.init.pid,
            "started": self._namespace.init.started,
            "binaries": str(self.layout.binaries),
        }
        (self.layout.folder / "cluster.json").write_text(json.dumps(record) + "\n")


def read_record(folder: Path) -> tuple[Layout, Namespace]:
    """A cluster that another process started; raises HarnessError when there is none."""
    try:
        record = json.loads((folder / "cluster.json").read_text())
    except FileNotFoundError:
        raise HarnessError("no cluster is up; `scripts/cluster up` starts one") from None
    init = ProcessId(record["pid"], record["started"])
    return Layout(folder, Path(record["binaries"])), Namespace(init)


def client_environment(layout: Layout) -> dict[str, str]:
    """This process's environment, with which kubectl and helm find the cluster and nothing else."""
    own = layout.folder / "clients"
    return os.environ | {
        "KUBECONFIG": str(layout.kubeconfig),
        "KUBECACHEDIR": str(own / "kubectl"),
        "HELM_CACHE_HOME": str(own / "helm-cache"),
        "HELM_CONFIG_HOME": str(own / "helm-config"),
        "HELM_DATA_HOME": str(own / "helm-data"),
        "PATH": f"{layout.binaries}{os.pathsep}{os.environ.get('PATH', '')}",
    }


def _bind(port: int = 0) -> socket.socket:
    """A socket at a port of 127.0.0.1 (0: any free one) that does not listen yet."""
    bound = socket.socket()
    # Two sockets may hold one port: the cluster's, which never listens, and a relay's.
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        bound.setsockopt(socket.SOL_SOCKET, option, 1)
    bound.bind(("127.0.0.1", port))
    return bound


def _simulated_node(name: str) -> dict[str, object]:
    size = {"cpu": "32", "memory": "256Gi", "pods": "500"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
            },
        },
        "status": {"allocatable": size, "capacity": size},
    }


def _is_ready(node: Mapping[str, Any]) -> bool:
    conditions = node["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
