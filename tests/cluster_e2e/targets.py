"""Where the tests run: a node that is made for them, or the cluster of a kubeconfig."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from tests.cluster.harness.cluster import Cluster, client_environment
from tests.cluster.harness.commands import run_command


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
        self._cluster = cluster
        self.environment: Mapping[str, str] = client_environment(cluster.layout)

    def kill(self, pod: Mapping[str, Any]) -> None:
        """kill -9 of the container's first process, and so of all the others in it."""
        metadata = pod["metadata"]
        self._cluster.kill_container(metadata["namespace"], metadata["name"])


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
