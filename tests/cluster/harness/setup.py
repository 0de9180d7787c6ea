"""The commands that make a cluster's namespaces fit for it, run in them by their process 1."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.harness.layout import BRIDGE, NODE_IP, SERVICE_CIDR, system_program

# What a kubelet asks of the kernel. These settings are the machine's, so it is shown files that
# already say what it wants, and leaves the machine's own alone.
KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


def network_setup() -> list[list[str]]:
    """A bridge for the pods, whose address is the node's and the API server's."""
    ip = system_program("ip")
    return [
        [ip, "link", "set", "lo", "up"],
        [ip, "link", "add", BRIDGE, "type", "bridge"],
        [ip, "address", "add", f"{NODE_IP}/24", "dev", BRIDGE],
        [ip, "link", "set", BRIDGE, "up"],
        # Programs on the node reach Services too: kube-proxy's rules need a way to start from.
        [ip, "route", "add", SERVICE_CIDR, "dev", BRIDGE, "src", NODE_IP],
    ]


def node_setup(folder: Path) -> list[list[str]]:
    """What a kubelet and containerd change outside their own folders happens in copies.

    Both use some fixed paths whatever their settings: below /run, which is empty here, and below
    /var, over which lies a layer that takes what they write.
    """
    copies = folder / "machine"
    for name in ("var", "work"):
        (copies / name).mkdir(parents=True)
    commands = [
        # As on any node: volumes mounted for a pod are seen by it.
        ["mount", "--make-rshared", "/"],
        ["mount", "-t", "tmpfs", "tmpfs", "/run"],
        [
            *("mount", "-t", "overlay", "overlay", "-o"),
            f"lowerdir=/var,upperdir={copies}/var,workdir={copies}/work",
            "/var",
        ],
        # Replies between pods on one bridge must pass the firewall that changed their addresses.
        ["sh", "-c", "test -d /proc/sys/net/bridge || modprobe br_netfilter"],
        ["sh", "-c", "echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables"],
        ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"],
    ]
    for name, value in KERNEL_SETTINGS.items():
        copy = copies / name.replace("/", ".")
        copy.write_text(f"{value}\n")
        commands.append(["mount", "--bind", str(copy), f"/proc/sys/{name}"])
    return commands
