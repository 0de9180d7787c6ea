"""Applies the chart's resource definition where it is newer than the cluster's.

Server-side apply by the pod's own service account, which may get and patch this one definition and
nothing else. An older chart (a second release that lags behind, a rollback) leaves a newer
definition alone: taking fields away could lose what is stored in them.

Standard library only.
"""

import http.client
import json
import os
import re
import ssl
import sys
from pathlib import Path

NAME = "eventstreams.ai-eventstream.io"
ANNOTATION = "ai-eventstream.io/version"
PATH = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{NAME}"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# Helm made the definition under its own name and does not come back to it: it is taken over.
QUERY = "fieldManager=ai-eventstream-chart&force=true"


def version_of(text: str) -> tuple[int, ...]:
    """`0.10.1` -> (0, 10, 1); () where there is none, so that any version is newer."""
    return tuple(int(number) for number in re.findall(r"\d+", text.partition("-")[0]))


def version_in(crd_yaml: str) -> str:
    """The release that a definition was generated for; "" where it does not say."""
    found = re.search(rf"^\s*{re.escape(ANNOTATION)}:\s*['\"]?([^'\"\s]+)", crd_yaml, re.MULTILINE)
    return found.group(1) if found else ""


class Cluster:
    """One API server, asked with one token. `authority`: file of the one who vouches for it."""

    def __init__(self, host: str, port: int, authority: str, token: str) -> None:
        self._address = (host, port)
        self._context = ssl.create_default_context(cafile=authority)
        self._token = token

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[int, str]:
        """(status, body) of the answer. Raises OSError when there is none."""
        connection = http.client.HTTPSConnection(*self._address, timeout=30, context=self._context)
        try:
            connection.request(
                method,
                path,
                body=body.encode() if body else None,
                headers={
                    "Authorization": f"Bearer {self._token}",
                    "Content-Type": "application/apply-patch+yaml",
                },
            )
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()


def apply(cluster: Cluster, ours: str) -> tuple[int, str]:
    """(exit code, what to say) of putting this definition where an older one is."""
    status, answer = cluster.ask("GET", PATH)
    if status == 200:
        there = json.loads(answer)["metadata"].get("annotations", {}).get(ANNOTATION, "")
        if version_of(there) > version_of(version_in(ours)):
            return 0, f"{NAME} is of release {there}, newer than {version_in(ours)}: left alone"
        status, answer = cluster.ask("PATCH", f"{PATH}?{QUERY}", ours)
    if status == 200:
        return 0, f"{NAME} is now of release {version_in(ours)}"
    if status == 404:
        return 1, f"{NAME} is not there. Apply it once: kubectl apply --server-side -f crds/"
    return 1, f"the API server refused {NAME} ({status}): {answer[:2000]}"


def main(file: str) -> int:
    """0: the cluster has this definition or a newer one."""
    cluster = Cluster(
        os.environ["KUBERNETES_SERVICE_HOST"],
        int(os.environ["KUBERNETES_SERVICE_PORT"]),
        str(ACCOUNT / "ca.crt"),
        (ACCOUNT / "token").read_text().strip(),
    )
    code, said = apply(cluster, Path(file).read_text())
    print(said)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
