"""The stand-in of `prom/prometheus`: Debian's server, started as the public image starts its own.

As there the program is /bin/prometheus, its configuration /etc/prometheus/prometheus.yml, and its
data in /prometheus belongs to nobody (65534).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from tests.images.stand_ins import StandIn

UID = 65534
COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"


def prometheus_reference() -> str:
    """The image that docker-compose.yml runs: nothing else in the project names one."""
    services: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
    reference: str = services["prometheus"]["image"]
    return reference


def _arrange(root: Path) -> None:
    (root / "prometheus").mkdir()
    os.chown(root / "prometheus", UID, UID)


PROMETHEUS = StandIn(
    packages=("prometheus",),
    arrange=_arrange,
    config={
        "--entrypoint": '["/bin/prometheus"]',
        "--cmd": "--config.file=/etc/prometheus/prometheus.yml --storage.tsdb.path=/prometheus",
        "--user": f"{UID}:{UID}",
        "--workingdir": "/prometheus",
        "--volume": "/prometheus",
        "--port": "9090",
    },
)
