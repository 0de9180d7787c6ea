"""Where the tests run: a node that is made for them, or the cluster of a kubeconfig."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from tests.cluster.harness.cluster import Cluster, client_environment
from tests.cluster.harness.commands import run_command
from tests.cluster.harness.state import cgroup_folders


class Target(Protocol):
    """A cluster whose nodes have the images, or can pull them."""

    environment: Mapping[str, str]
    """With it kubectl and helm find the cluster."""
    install_options: tuple[str, ...]
    """What `helm install` has to be told about the images: nothing, where the nodes have them."""

    def kill(self, pod: Mapping[str, Any]) -> None:
        """Ends a pod's processes without a chance to say goodbye."""


class OwnNode:
    """The node of `tests.cluster.harness`."""

    install_options: tuple[str, ...] = ()

    def __init__(self, cluster: Cluster) -> None:
        self._folder = cluster.layout.folder
        self.environment: Mapping[str, str] = client_environment(cluster.layout)

    def kill(self, pod: Mapping[str, Any]) -> None:
        """kill -9 of every process in the pod's container, and of nothing else."""
        container = pod["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
        for cgroup in cgroup_folders(self._folder):
            for folder in cgroup.rglob(container):
                for pid in (folder / "cgroup.procs").read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
                return
        raise LookupError(f"no cgroup of container {container}")


class NamedCluster:
    """A cluster of somebody's, which has or pulls the images (`scripts/images load|push`)."""

    def __init__(self, kubeconfig: Path, registry: str | None) -> None:
        self.environment: Mapping[str, str] = os.environ | {"KUBECONFIG": str(kubeconfig)}
        self.install_options: tuple[str, ...] = (
            ("--set", f"images.registry={registry}") if registry else ()
        )

    def kill(self, pod: Mapping[str, Any]) -> None:
        """The nearest thing without the node: the kubelet is to kill it at once."""
        metadata = pod["metadata"]
        where = f"--namespace={metadata['namespace']}"
        options = ("--grace-period=0", "--force", "--wait=false")
        run_command(
            ["kubectl", where, "delete", "pod", metadata["name"], *options],
            self.environment,
            timeout_seconds=60,
        )
