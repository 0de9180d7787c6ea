"""What the tier NODE has beyond a control plane: a machine that runs containers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.cluster.harness import components
from tests.cluster.harness.commands import run_command
from tests.cluster.harness.errors import HarnessError
from tests.cluster.harness.images import write_image
from tests.cluster.harness.layout import NODE_NAME, Layout
from tests.cluster.harness.pki import write_kubeconfig
from tests.cluster.harness.state import cgroup_folders

_CONF_DIR = Path(__file__).with_name("conf")
_IMPORT_SECONDS = 120.0
_KILL_SECONDS = 30.0
_VOLUMES = 24
_VOLUME_SIZE = "10Gi"

Spawn = Callable[[str, list[str]], None]
Wait = Callable[[Callable[[], bool], str], None]


class NodeSetup:
    """Brings up one node in two steps, before and after the API server is ready."""

    def __init__(self, layout: Layout, spawn: Spawn, wait: Wait) -> None:
        self._layout = layout
        self._spawn = spawn
        self._wait = wait

    def prepare(self, api_url: str) -> None:
        """Writes the configuration and starts containerd, which takes its time meanwhile."""
        folder = self._layout.folder
        for user in ("kubelet", "proxy"):
            write_kubeconfig(self._layout.pki, user, api_url, self._layout.pki / f"{user}.conf")
        for name in ("cni", "kubelet", "pod-logs", "containerd"):
            (folder / name).mkdir()
        for name in ("containerd.toml", "kubelet.yaml", "kube-proxy.yaml", "Corefile"):
            (folder / name).write_text(self._rendered(name))
        (folder / "cni" / "10-bridge.conflist").write_text(self._rendered("bridge.conflist"))
        # No names of the world outside: there is no way to it.
        (folder / "resolv.conf").touch()
        for volume in self._volumes():
            volume.mkdir(parents=True)
        for cgroup in cgroup_folders(folder):
            cgroup.mkdir()
        write_image(
            folder / "pause.tar",
            "localhost/pause:1",
            {"/pause": self._layout.binaries / "pause"},
            entrypoint=["/pause"],
            user="65535:65535",
        )
        self._spawn("containerd", components.containerd(self._layout))

    def start(self) -> None:
        """Starts what needs the API server."""
        self._wait(self._imports_pause, "containerd that takes images")
        self._spawn("kubelet", components.kubelet(self._layout))
        self._spawn("kube-proxy", components.kube_proxy(self._layout))
        self._spawn("coredns", components.coredns(self._layout))
        self._spawn("metrics-server", components.metrics_server(self._layout))

    def addons(self) -> str:
        """Services of the programs that run beside the kubelet, and volumes, as a manifest."""
        volumes = [
            _volume(f"volume-{number}", path) for number, path in enumerate(self._volumes(), 1)
        ]
        return self._rendered("addons.yaml") + "".join(
            f"---\n{json.dumps(volume)}\n" for volume in volumes
        )

    def _rendered(self, name: str) -> str:
        return components.render((_CONF_DIR / name).read_text(), self._layout)

    def _volumes(self) -> list[Path]:
        folder = self._layout.folder / "volumes"
        return [folder / str(number) for number in range(1, _VOLUMES + 1)]

    def _imports_pause(self) -> bool:
        try:
            load_image(self._layout, self._layout.folder / "pause.tar")
        except HarnessError:
            return False
        return True


def load_image(layout: Layout, archive: Path) -> None:
    """Gives the node the images of a docker-archive; raises HarnessError when it can't."""
    if not layout.containerd_socket.exists():
        raise HarnessError("no containerd is up here: simulated nodes run no images")
    if not archive.is_file():
        raise HarnessError(f"there is no file {archive}")
    run_command(
        components.ask_containerd(layout, "images", "import", str(archive)),
        timeout_seconds=_IMPORT_SECONDS,
    )


def kill_container(layout: Layout, container: str) -> None:
    """Ends the first process of a container, known by its id, with SIGKILL."""
    run_command(
        components.ask_containerd(layout, "tasks", "kill", "--signal", "SIGKILL", container),
        timeout_seconds=_KILL_SECONDS,
    )


def _volume(name: str, path: Path) -> dict[str, object]:
    """A folder of the node as a volume: unlike a hostPath it is made writable for a pod's group."""
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE_NAME]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": _VOLUME_SIZE},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "local",
            "persistentVolumeReclaimPolicy": "Retain",
            "local": {"path": str(path)},
            "nodeAffinity": {
                "required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]},
            },
        },
    }
