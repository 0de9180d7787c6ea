"""How each program of the cluster is called. Pure: a layout in, a command out."""

from __future__ import annotations

from pathlib import Path
from string import Template

from tests.cluster.harness.layout import (
    API_PORT,
    API_SERVICE_IP,
    BRIDGE,
    DNS_SERVICE_IP,
    DOMAIN,
    METRICS_SERVER_PORT,
    NODE_IP,
    NODE_NAME,
    POD_CIDR,
    SERVICE_CIDR,
    Layout,
    cgroup_name,
    find_cni_plugins,
    system_program,
)
from tests.cluster.harness.pki import Certificate

_ETCD_CLIENT = "http://127.0.0.1:2379"
_ETCD_PEER = "http://127.0.0.1:2380"
# Far above what a test asks for: the client's own limit must never be what is measured.
_CLIENT_RATE = ("--kube-api-qps=500", "--kube-api-burst=1000")

CERTIFICATES = [
    Certificate(
        "apiserver",
        "ca",
        "/CN=kube-apiserver",
        "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,"
        f"DNS:kubernetes.default.svc.{DOMAIN},DNS:localhost,"
        f"IP:127.0.0.1,IP:{NODE_IP},IP:{API_SERVICE_IP}",
    ),
    Certificate("front-proxy", "front-ca", "/CN=front-proxy-client"),
    Certificate("admin", "ca", "/O=system:masters/CN=admin"),
    Certificate("scheduler", "ca", "/CN=system:kube-scheduler"),
    # As an administrator, so that it needs no token for each of its controllers: those cost 4 s.
    Certificate("controllers", "ca", "/O=system:masters/CN=system:kube-controller-manager"),
]
NODE_CERTIFICATES = [
    Certificate("kubelet-client", "ca", "/O=system:masters/CN=kube-apiserver-kubelet-client"),
    Certificate("kubelet", "ca", f"/O=system:nodes/CN=system:node:{NODE_NAME}"),
    Certificate(
        "kubelet-server",
        "ca",
        f"/O=system:nodes/CN=system:node:{NODE_NAME}",
        f"DNS:{NODE_NAME},IP:{NODE_IP}",
    ),
    Certificate("proxy", "ca", "/CN=system:kube-proxy"),
    Certificate(
        "metrics-server",
        "ca",
        "/CN=metrics-server",
        f"DNS:metrics-server.kube-system.svc,IP:{NODE_IP}",
    ),
]


def render(template: str, layout: Layout) -> str:
    """A file of `conf/` with this cluster's paths and addresses in it ($folder, $node_ip...)."""
    return Template(template).substitute(
        folder=layout.folder,
        cgroup=cgroup_name(layout.folder),
        node=NODE_NAME,
        node_ip=NODE_IP,
        bridge=BRIDGE,
        pod_cidr=POD_CIDR,
        dns_service_ip=DNS_SERVICE_IP,
        domain=DOMAIN,
        metrics_server_port=METRICS_SERVER_PORT,
        runc=system_program("runc"),
        cni_plugins=find_cni_plugins(),
    )


def etcd(layout: Layout) -> list[str]:
    """Without fsync: nothing here has to outlive the machine."""
    return [
        layout.program("etcd"),
        *("--name", "test", "--data-dir", str(layout.folder / "etcd"), "--unsafe-no-fsync"),
        *("--listen-client-urls", _ETCD_CLIENT, "--advertise-client-urls", _ETCD_CLIENT),
        *("--listen-peer-urls", _ETCD_PEER, "--initial-advertise-peer-urls", _ETCD_PEER),
        *("--initial-cluster", f"test={_ETCD_PEER}", "--log-level", "warn"),
    ]


def api_server(layout: Layout, *, with_node: bool) -> list[str]:
    """With what it needs to reach kubelets when there is one."""
    pki = layout.pki
    argv = [
        layout.program("kube-apiserver"),
        f"--etcd-servers={_ETCD_CLIENT}",
        f"--bind-address={NODE_IP}",
        f"--advertise-address={NODE_IP}",
        f"--secure-port={API_PORT}",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--allow-privileged=true",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        f"--service-account-issuer=https://kubernetes.default.svc.{DOMAIN}",
        f"--service-account-key-file={pki}/sa.key",
        f"--service-account-signing-key-file={pki}/sa.key",
        f"--requestheader-client-ca-file={pki}/front-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki}/front-proxy.crt",
        f"--proxy-client-key-file={pki}/front-proxy.key",
        "--enable-aggregator-routing=true",
        "--profiling=false",
    ]
    if with_node:
        argv += [
            f"--kubelet-client-certificate={pki}/kubelet-client.crt",
            f"--kubelet-client-key={pki}/kubelet-client.key",
            f"--kubelet-certificate-authority={pki}/ca.crt",
            "--kubelet-preferred-address-types=InternalIP",
        ]
    return argv


def controller_manager(layout: Layout) -> list[str]:
    """With short periods where a test would wait for them (autoscaler, lost nodes)."""
    pki = layout.pki
    return [
        layout.program("kube-controller-manager"),
        *_same_kubeconfig(pki / "controllers.conf"),
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--use-service-account-credentials=false",
        *_CLIENT_RATE,
        f"--service-account-private-key-file={pki}/sa.key",
        f"--root-ca-file={pki}/ca.crt",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
        "--horizontal-pod-autoscaler-sync-period=5s",
        "--node-monitor-grace-period=20s",
    ]


def scheduler(layout: Layout) -> list[str]:
    return [
        layout.program("kube-scheduler"),
        *_same_kubeconfig(layout.pki / "scheduler.conf"),
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        *_CLIENT_RATE,
    ]


def kwok(layout: Layout) -> list[str]:
    """Plays the kubelet of every node: their pods run at once and end when deleted."""
    return [
        layout.program("kwok"),
        f"--kubeconfig={layout.inner_kubeconfig}",
        "--manage-all-nodes=true",
        "--server-address=127.0.0.1:10247",
        "--node-lease-duration-seconds=40",
        "--cidr=10.1.0.0/16",
        "--node-ip=10.0.0.1",
    ]


def containerd(layout: Layout) -> list[str]:
    return [system_program("containerd"), "--config", str(layout.folder / "containerd.toml")]


def kubelet(layout: Layout) -> list[str]:
    root = layout.folder / "kubelet"
    return [
        layout.program("kubelet"),
        f"--config={layout.folder}/kubelet.yaml",
        f"--kubeconfig={layout.pki}/kubelet.conf",
        f"--root-dir={root}",
        f"--cert-dir={root}/pki",
        f"--hostname-override={NODE_NAME}",
        f"--node-ip={NODE_IP}",
    ]


def kube_proxy(layout: Layout) -> list[str]:
    return [layout.program("kube-proxy"), f"--config={layout.folder}/kube-proxy.yaml"]


def coredns(layout: Layout) -> list[str]:
    return [layout.program("coredns"), "-conf", str(layout.folder / "Corefile")]


def metrics_server(layout: Layout) -> list[str]:
    """It panics unless the resolution is longer than the timeout of a request."""
    return [
        layout.program("metrics-server"),
        *_same_kubeconfig(layout.inner_kubeconfig),
        f"--bind-address={NODE_IP}",
        f"--secure-port={METRICS_SERVER_PORT}",
        f"--tls-cert-file={layout.pki}/metrics-server.crt",
        f"--tls-private-key-file={layout.pki}/metrics-server.key",
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-certificate-authority={layout.pki}/ca.crt",
        "--metric-resolution=10s",
        "--kubelet-request-timeout=5s",
    ]


def ask_containerd(layout: Layout, *arguments: str) -> list[str]:
    """About what the kubelet runs."""
    address = str(layout.containerd_socket)
    return [system_program("ctr"), "--address", address, "--namespace", "k8s.io", *arguments]


def _same_kubeconfig(path: Path) -> list[str]:
    return [
        f"--kubeconfig={path}",
        f"--authentication-kubeconfig={path}",
        f"--authorization-kubeconfig={path}",
    ]
