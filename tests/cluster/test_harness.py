"""The clusters that other tests stand on: they come up, do what Kubernetes does, leave nothing."""

from __future__ import annotations

import http.client
import json
import signal
import ssl
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.cluster.harness import state
from tests.cluster.harness.api import wait_until
from tests.cluster.harness.binaries import binaries_dir, default_cache_dir
from tests.cluster.harness.cluster import Cluster, Tier
from tests.cluster.harness.errors import CommandFailed, HarnessError
from tests.cluster.harness.images import write_image
from tests.cluster.harness.setup import KERNEL_SETTINGS

_DEADLINE_SECONDS = 60.0
_CLUSTERS = default_cache_dir() / "clusters"
_HELLO_PORT = 8080

# A resource whose rule needs CEL: a schema alone can't compare two fields.
_GADGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "gadgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "gadgets", "singular": "gadget", "kind": "Gadget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "min": {"type": "integer"},
                                    "max": {"type": "integer"},
                                },
                                "x-kubernetes-validations": [
                                    {"rule": "self.min <= self.max", "message": "min is above max"}
                                ],
                            }
                        },
                    }
                },
            }
        ],
    },
}


def _gadget(name: str, *, lowest: int, highest: int) -> str:
    return json.dumps(
        {
            "apiVersion": "example.com/v1",
            "kind": "Gadget",
            "metadata": {"name": name},
            "spec": {"min": lowest, "max": highest},
        }
    )


@pytest.fixture
def scaling(control_plane: Cluster) -> Iterator[Callable[..., str]]:
    """kubectl in a namespace of the test's own."""
    name = f"scaling-{uuid.uuid4().hex[:8]}"
    control_plane.kubectl("create", "namespace", name)
    yield lambda *args: control_plane.kubectl("--namespace", name, *args)
    control_plane.kubectl("delete", "namespace", name, "--wait=false")


def test_a_custom_resource_is_checked_by_its_cel_rule(control_plane: Cluster) -> None:
    control_plane.kubectl("apply", "-f", "-", stdin=json.dumps(_GADGETS))
    control_plane.wait_established("gadgets.example.com")
    control_plane.kubectl("apply", "-f", "-", stdin=_gadget("right", lowest=1, highest=3))
    with pytest.raises(CommandFailed, match="min is above max"):
        control_plane.kubectl("apply", "-f", "-", stdin=_gadget("wrong", lowest=3, highest=1))
    assert control_plane.kubectl("get", "gadgets", "-o", "name") == "gadget.example.com/right\n"
    control_plane.kubectl("delete", "crd/gadgets.example.com")


def test_a_deployment_scales_on_simulated_nodes(
    control_plane: Cluster, scaling: Callable[..., str]
) -> None:
    control_plane.scale_nodes(3)
    scaling("create", "deployment", "many", "--image=localhost/none:1")
    scaling("scale", "deployment/many", "--replicas=30")
    scaling("wait", "--for=jsonpath={.status.readyReplicas}=30", "deployment/many")
    used = scaling("get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}").split()
    assert len(used) == 30
    assert set(used) == {"sim-1", "sim-2", "sim-3"}
    control_plane.scale_nodes(1)
    assert control_plane.kubectl("get", "nodes", "-o", "name") == "node/sim-1\n"


def test_everything_goes_on_after_the_api_server_was_away(
    control_plane: Cluster, scaling: Callable[..., str]
) -> None:
    scaling("create", "deployment", "few", "--image=localhost/none:1")
    control_plane.stop_api_server()
    with pytest.raises(CommandFailed, match="was refused"):
        scaling("get", "deployments")
    control_plane.start_api_server()
    scaling("scale", "deployment/few", "--replicas=4")
    scaling("wait", "--for=jsonpath={.status.readyReplicas}=4", "deployment/few", "--timeout=60s")


def test_a_watch_outlives_many_other_connections(control_plane: Cluster) -> None:
    pki = control_plane.layout.pki
    context = ssl.create_default_context(cafile=pki / "ca.crt")
    context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    server = control_plane.api_url.removeprefix("https://")

    def get(stack: ExitStack, path: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPSConnection(server, context=context, timeout=20)
        stack.enter_context(closing(connection))
        connection.request("GET", path)
        return stack.enter_context(connection.getresponse())

    with ExitStack() as stack:
        watches = [get(stack, "/api/v1/namespaces?watch=true") for _ in range(10)]
        for _ in range(200):
            with ExitStack() as short:
                assert get(short, "/readyz").read() == b"ok"
        control_plane.kubectl("create", "namespace", "seen-by-all")
        for watch in watches:
            assert any(b'"seen-by-all"' in line for line in watch)
    control_plane.kubectl("delete", "namespace", "seen-by-all", "--wait=false")


def test_helm_sees_the_version_that_the_server_has(control_plane: Cluster, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text(
        'apiVersion: v2\nname: tiny\nversion: 0.1.0\nkubeVersion: ">=1.34.0-0"\n'
    )
    (tmp_path / "templates" / "map.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: tiny}\n"
        "data: {version: {{ .Capabilities.KubeVersion.Version | quote }}}\n"
    )
    control_plane.helm("install", "tiny", str(tmp_path), "--wait")
    server = json.loads(control_plane.kubectl("version", "-o", "json"))["serverVersion"]
    version = control_plane.kubectl("get", "configmap/tiny", "-o", "jsonpath={.data.version}")
    assert version == server["gitVersion"]
    control_plane.helm("uninstall", "tiny", "--wait")
    with pytest.raises(CommandFailed, match="not found"):
        control_plane.kubectl("get", "configmap/tiny")


def test_a_command_runs_in_the_clusters_network(control_plane: Cluster) -> None:
    assert control_plane.run(["kubectl", "get", "--raw", "/readyz"]) == "ok"
    assert control_plane.run(["sh", "-c", "echo $GREETING"], {"GREETING": "hello"}) == "hello\n"


def test_simulated_nodes_take_no_images(control_plane: Cluster, tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="simulated nodes run no images"):
        control_plane.load_image(tmp_path / "image.tar")


def _load_hello(cluster: Cluster, folder: Path) -> None:
    """A static program as an image of one file."""
    archive = folder / "hello.tar"
    program = binaries_dir(default_cache_dir()) / "hello"
    write_image(archive, "localhost/hello:1", {"/bin/hello": program}, ["/bin/hello"], "1000:1000")
    cluster.load_image(archive)


def test_pods_of_a_local_image_find_each_other_by_name(node: Cluster, tmp_path: Path) -> None:
    _load_hello(node, tmp_path)
    node.kubectl("create", "namespace", "hello")

    def kubectl(*args: str) -> str:
        return node.kubectl("--namespace=hello", *args)

    kubectl("create", "deployment", "hello", "--image=localhost/hello:1", "--replicas=2")
    kubectl("expose", "deployment", "hello", "--port=80", f"--target-port={_HELLO_PORT}")
    kubectl("rollout", "status", "deployment/hello")
    pods = kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.name}").split()
    answers = {f"hello from {pod}\n" for pod in pods}

    # From pod to pod: name, Service address, kubectl exec.
    url = "http://hello.hello.svc.cluster.local"
    assert kubectl("exec", pods[0], "--", "/bin/hello", "get", url) in answers
    # From the machine, through the relay.
    address = kubectl("get", "service/hello", "-o", "jsonpath={.spec.clusterIP}")
    hello = node.layout.program("hello")
    near = subprocess.check_output(
        [hello, "get", f"http://127.0.0.1:{node.forward(address, 80)}"], text=True
    )
    assert near in answers
    # From a program in the cluster's network.
    assert node.run([hello, "get", f"http://{address}"]) in answers
    assert "listening on 8080" in kubectl("logs", pods[0])
    # A process that crashes is started again.
    node.kill_container("hello", pods[1])
    restarted = "--for=jsonpath={.status.containerStatuses[0].restartCount}=1"
    kubectl("wait", restarted, f"pod/{pods[1]}", "--timeout=60s")
    # What the pods really use is measured.
    wait_until(lambda: _measured(node, "hello") == set(pods), "metrics of the pods", 60.0)
    node.kubectl("delete", "namespace", "hello", "--wait=false")


def _measured(cluster: Cluster, namespace: str) -> set[str]:
    try:
        answer = cluster.kubectl(
            "get", "--raw", f"/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods"
        )
    except CommandFailed:  # the metrics API itself is not there yet
        return set()
    return {pod["metadata"]["name"] for pod in json.loads(answer)["items"]}


def test_a_claim_gets_a_volume_that_the_pods_group_may_write_to(
    node: Cluster, tmp_path: Path
) -> None:
    _load_hello(node, tmp_path)
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "keeper"},
        "spec": {
            "securityContext": {"fsGroup": 4321},
            "containers": [
                {
                    "name": "hello",
                    "image": "localhost/hello:1",
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                }
            ],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        },
    }
    node.kubectl("apply", "-f", "-", stdin=json.dumps(claim) + "\n---\n" + json.dumps(pod))
    node.kubectl("wait", "--for=condition=Ready", "pod/keeper")
    volume = node.kubectl("get", "pvc/data", "-o", "jsonpath={.spec.volumeName}")
    path = node.kubectl("get", f"pv/{volume}", "-o", "jsonpath={.spec.local.path}")
    assert Path(path).stat().st_gid == 4321
    node.kubectl("delete", "pod/keeper", "pvc/data", "--grace-period=1")


def _traces(folder: Path) -> list[str]:
    """What a person would find of a cluster: processes, mounts, interfaces, cgroups, files."""
    commands = [
        command.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        for command in _readable(Path("/proc").glob("[0-9]*/cmdline"))
    ]
    return [
        *(f"process {command}" for command in commands if str(folder) in command),
        *(f"cgroup {path}" for path in state.cgroup_folders(folder) if path.exists()),
        *([f"folder {folder}"] if folder.exists() else []),
    ]


def _readable(paths: Iterator[Path]) -> Iterator[Path]:
    """Those whose process has not ended since it was listed."""
    for path in paths:
        try:
            path.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield path


def _machine() -> dict[str, str]:
    """What of the machine itself a node would change, were it not in namespaces."""
    settings = {name: Path("/proc/sys", name).read_text() for name in KERNEL_SETTINGS}
    interfaces = {path.name: "there" for path in Path("/sys/class/net").glob("cluster0*")}
    mounts = {
        line: "mounted"
        for line in Path("/proc/self/mounts").read_text().splitlines()
        if str(_CLUSTERS) in line
    }
    folders = {
        path: str(Path(path).exists())
        for path in ("/var/lib/kubelet", "/var/lib/cni", "/run/containerd", "/var/log/containers")
    }
    return settings | interfaces | mounts | folders


def test_a_node_with_running_pods_leaves_nothing_and_changes_nothing(tmp_path: Path) -> None:
    before = _machine()
    cluster = Cluster.start(Tier.NODE, _CLUSTERS, binaries_dir(default_cache_dir()))
    try:
        _load_hello(cluster, tmp_path)
        cluster.kubectl("run", "hello", "--image=localhost/hello:1")
        cluster.kubectl("wait", "--for=condition=Ready", "pod/hello")
        assert _machine() == before
        assert _traces(cluster.layout.folder)
    finally:
        cluster.stop()
    assert _traces(cluster.layout.folder) == []
    assert _machine() == before


_STARTS_AND_IS_KILLED = """
import sys
import uuid
from pathlib import Path
from tests.cluster.harness.cluster import Cluster, Tier
cluster = Cluster.start(Tier.CONTROL_PLANE, Path(sys.argv[1]), Path(sys.argv[2]))
print(cluster.layout.folder, flush=True)
sys.stdin.read()
"""


def test_a_cluster_ends_with_a_killed_run_and_the_next_run_cleans_up() -> None:
    arguments = [str(_CLUSTERS), str(binaries_dir(default_cache_dir()))]
    with subprocess.Popen(
        [sys.executable, "-c", _STARTS_AND_IS_KILLED, *arguments],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        folder = Path(run.stdout.readline().strip())
        assert state.in_use(folder)
        assert _traces(folder)
        run.send_signal(signal.SIGKILL)
    wait_until(lambda: not state.in_use(folder), "end of the cluster", _DEADLINE_SECONDS)
    state.sweep(_CLUSTERS)
    assert _traces(folder) == []


def test_what_does_not_start_says_so_with_the_log(tmp_path: Path) -> None:
    binaries = tmp_path / "bin"
    binaries.mkdir()
    for program in binaries_dir(default_cache_dir()).iterdir():
        (binaries / program.name).symlink_to(program)
    (binaries / "etcd").unlink()
    (binaries / "etcd").write_text("#!/bin/sh\necho no room for my data >&2\nexit 3\n")
    (binaries / "etcd").chmod(0o755)
    with pytest.raises(HarnessError, match=r"(?s)etcd ended with status 3.*no room for my data"):
        Cluster.start(Tier.CONTROL_PLANE, _CLUSTERS, binaries)
