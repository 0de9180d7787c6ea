"""The chart as helm renders it, and what tests ask of the objects that come out."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "ai-eventstream"
KUBERNETES = "1.34.4"
POD_OWNERS = ("Deployment", "StatefulSet", "Job")

Object = dict[str, Any]

EVERYTHING: Mapping[str, Any] = {
    "flower": {"enabled": True, "existingSecret": "flower"},
    "redisinsight": {"enabled": True},
    "ingress": {"enabled": True, "host": "ai.example.com", "tlsSecret": "tls"},
    "api": {"keys": {"existingSecret": "api-keys"}},
    "models": {"existingSecret": "model-keys"},
    "kafka": {"existingSecret": "kafka"},
    "monitoring": {
        "podMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True},
        "dashboards": {"enabled": True},
    },
}
"""Every switch that is off by default."""


class Refused(Exception):
    """helm did not render it; the message is what a user sees."""


@dataclass(frozen=True)
class Chart:
    """`helm template` of the chart."""

    helm: Path
    folder: Path

    def render(
        self,
        values: Mapping[str, Any] | None = None,
        *,
        release: str = "ai",
        namespace: str = "ai",
    ) -> Objects:
        """The objects of a release, hooks included. Raises Refused with what helm says."""
        argv = [self.helm, "template", release, self.folder, "--namespace", namespace]
        argv += ["--kube-version", KUBERNETES, "--values", "-"]
        done = subprocess.run(
            [str(part) for part in argv],
            input=json.dumps(values or {}),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Refused(done.stderr)
        return Objects([each for each in yaml.safe_load_all(done.stdout) if each])


@dataclass(frozen=True)
class Objects:
    """What a release consists of."""

    all: list[Object]

    def __iter__(self) -> Iterator[Object]:
        return iter(self.all)

    @property
    def names(self) -> set[tuple[str, str]]:
        """(kind, name) of each."""
        return {(each["kind"], each["metadata"]["name"]) for each in self.all}

    def of(self, *kinds: str) -> list[Object]:
        """Those of these kinds."""
        return [each for each in self.all if each["kind"] in kinds]

    def one(self, kind: str, name: str) -> Object:
        """The one of this kind and name."""
        [found] = [each for each in self.of(kind) if each["metadata"]["name"] == name]
        return found

    def pods(self) -> dict[str, Object]:
        """`Kind/name` -> {metadata, spec} of a pod, from everything that makes pods."""
        found = {}
        for each in self.all:
            name = f"{each['kind']}/{each['metadata']['name']}"
            if each["kind"] in POD_OWNERS:
                found[name] = each["spec"]["template"]
            elif each["kind"] == "Pod":
                found[name] = each
        return found

    def environment(self, kind: str, name: str) -> dict[str, Any]:
        """Variable -> value, or the reference that it comes from, of an object's container."""
        [container] = self.pods()[f"{kind}/{name}"]["spec"]["containers"]
        return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


def is_hook(each: Object) -> bool:
    """Whether helm makes it for a moment only."""
    return "helm.sh/hook" in (each["metadata"].get("annotations") or {})
