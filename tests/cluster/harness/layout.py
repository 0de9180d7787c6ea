"""Where a cluster's files are and which addresses it has.

Addresses and ports are the same in every cluster: each has a network of its own.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.harness.errors import HarnessError

BRIDGE = "cluster0"
# The address of the bridge: node, API server, name server and the pods' way out.
NODE_IP = "10.244.0.1"
POD_CIDR = "10.244.0.0/24"
SERVICE_CIDR = "10.96.0.0/16"
API_SERVICE_IP = "10.96.0.1"
DNS_SERVICE_IP = "10.96.0.10"
DOMAIN = "cluster.local"
API_PORT = 6443
METRICS_SERVER_PORT = 4443
NODE_NAME = "node-1"

_CNI_FOLDERS = ("/usr/lib/cni", "/opt/cni/bin")
# sbin is not on every user's PATH.
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


@dataclass(frozen=True)
class Layout:
    """One cluster's folder, and the programs that it is made of."""

    folder: Path
    binaries: Path

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    @property
    def logs(self) -> Path:
        return self.folder / "log"

    @property
    def kubeconfig(self) -> Path:
        """For clients on the machine."""
        return self.folder / "kubeconfig"

    @property
    def inner_kubeconfig(self) -> Path:
        """For clients in the cluster's network."""
        return self.pki / "admin.conf"

    @property
    def containerd_socket(self) -> Path:
        return self.folder / "containerd" / "c.sock"

    def program(self, name: str) -> str:
        return str(self.binaries / name)


def cgroup_name(folder: Path) -> str:
    """The name of the cluster's own folder in each cgroup hierarchy."""
    return f"ai-eventstream-{folder.name}"


def find_program(name: str) -> str | None:
    """The path of a program of the machine."""
    return shutil.which(name, path=SEARCH_PATH)


def find_cni_plugins() -> Path | None:
    """The folder with the network plugins that containerd calls."""
    return next((Path(at) for at in _CNI_FOLDERS if (Path(at) / "bridge").exists()), None)


def system_program(name: str) -> str:
    """Like find_program; raises HarnessError with the way out when it is not there."""
    found = find_program(name)
    if found is None:
        raise HarnessError(f"{name} is not installed; `scripts/cluster packages` says what is")
    return found
