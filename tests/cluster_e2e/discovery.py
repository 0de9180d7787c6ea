"""Finds a namespace's pods for a Prometheus that is built without Kubernetes, as Debian's is.

Run beside it in a pod, with the pod's own service account: `python discovery.py NAMESPACE` answers
on 127.0.0.1:8081 with one target a port of a container, under the same `__meta_` labels as
Prometheus' own discovery (`role: pod`), in the form that `http_sd_configs` reads.
https://prometheus.io/docs/prometheus/latest/configuration/configuration/#pod

Standard library only.
"""

import http.server
import json
import re
import ssl
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
ADDRESS = ("127.0.0.1", 8081)
META = "__meta_kubernetes"


def targets(pod: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The targets of one pod; none before it has an address."""
    metadata, status = pod["metadata"], pod["status"]
    if "podIP" not in status:
        return
    labels = {
        f"{META}_namespace": metadata["namespace"],
        f"{META}_pod_name": metadata["name"],
        f"{META}_pod_ip": status["podIP"],
        f"{META}_pod_phase": status["phase"],
        f"{META}_pod_node_name": pod["spec"].get("nodeName", ""),
    }
    for name, value in metadata.get("labels", {}).items():
        safe = re.sub(r"[^a-zA-Z0-9_]", "_", name)
        labels[f"{META}_pod_label_{safe}"] = value
        labels[f"{META}_pod_labelpresent_{safe}"] = "true"
    for container in pod["spec"]["containers"]:
        for port in container.get("ports", ()):
            number = str(port["containerPort"])
            of_port = {
                f"{META}_pod_container_name": container["name"],
                f"{META}_pod_container_port_name": port.get("name", ""),
                f"{META}_pod_container_port_number": number,
                f"{META}_pod_container_port_protocol": port.get("protocol", "TCP"),
            }
            yield {"targets": [f"{status['podIP']}:{number}"], "labels": labels | of_port}


def pods(namespace: str) -> list[dict[str, Any]]:
    """The namespace's pods, as the API server lists them."""
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    token = (ACCOUNT / "token").read_text().strip()
    request = urllib.request.Request(
        f"https://kubernetes.default.svc/api/v1/namespaces/{namespace}/pods",
        headers={"Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(request, timeout=10, context=context) as answer:  # noqa: S310
        found: list[dict[str, Any]] = json.load(answer)["items"]
        return found


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers each GET with what is there now."""

    def do_GET(self) -> None:
        found = [target for pod in pods(sys.argv[1]) for target in targets(pod)]
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing to say about each."""


http.server.ThreadingHTTPServer(ADDRESS, Handler).serve_forever()
