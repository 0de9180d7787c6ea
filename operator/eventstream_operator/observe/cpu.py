"""CPU of the API's pods: use over request, mean over ready pods, from metrics.k8s.io."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from eventstream_operator.cluster import POD_METRICS, Cluster
from eventstream_operator.observe.deployments import belongs_to, is_ready
from eventstream_operator.observe.observation import CpuUse
from eventstream_operator.world import name_of

CONTAINER: Final = "api"

# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_UNITS: Final = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal("1e3"),
    "M": Decimal("1e6"),
}


@dataclass(frozen=True, slots=True)
class PodCpu:
    """What one pod's main container used."""

    cores: float
    measured_at: float
    """Unix seconds."""


async def read_cpu(cluster: Cluster, labels: str) -> dict[str, PodCpu]:
    """Pod name -> its use of CPU, of the pods with these labels. Raises ClusterError."""
    listed = await cluster.list(POD_METRICS, labels=labels)
    found = {}
    for item in listed["items"]:
        containers = item["containers"]
        main = next((one for one in containers if one["name"] == CONTAINER), None) or containers[0]
        found[name_of(item)] = PodCpu(
            cores=parse_cpu(main["usage"]["cpu"]),
            measured_at=datetime.fromisoformat(item["timestamp"]).timestamp(),
        )
    return found


def cpu_use(
    deployment: Mapping[str, Any], pods: Iterable[Mapping[str, Any]], used: Mapping[str, PodCpu]
) -> tuple[CpuUse, float] | None:
    """The mean, and when the oldest of its figures was measured (Unix seconds).

    None while no ready pod has a figure.
    """
    containers = deployment["spec"]["template"]["spec"]["containers"]
    main = next((one for one in containers if one["name"] == CONTAINER), containers[0])
    requested = (main.get("resources", {}).get("requests") or {}).get("cpu")
    measured = [
        used[name_of(pod)]
        for pod in pods
        if belongs_to(pod, deployment) and is_ready(pod) and name_of(pod) in used
    ]
    if not measured:
        return None
    oldest = min(pod.measured_at for pod in measured)
    request = parse_cpu(requested) if requested else 0.0
    if not request:
        return CpuUse(percent=None), oldest
    mean = sum(pod.cores for pod in measured) / len(measured)
    return CpuUse(percent=100 * mean / request, pods=len(measured)), oldest


def parse_cpu(quantity: str | int | float) -> float:
    """A CPU quantity in cores: `250m` -> 0.25. Raises ValueError for what is none."""
    text = str(quantity)
    number, unit = (text[:-1], text[-1]) if text and text[-1] in _UNITS else (text, "")
    try:
        return float(Decimal(number) * _UNITS.get(unit, Decimal(1)))
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a quantity of CPU") from None
