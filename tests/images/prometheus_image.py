"""The stand-in of `prom/prometheus`: the machine's own server with the libraries that it loads.

As in the public image the program is /bin/prometheus and runs as nobody (65534). Nothing else is in
it: configuration and data come as volumes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.harness.images import write_image
from tests.cluster.harness.layout import system_program
from tests.images.commands import run

PROGRAM = "/bin/prometheus"
NOBODY = "65534:65534"
COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"


def prometheus_reference() -> str:
    """The image that docker-compose.yml runs: nothing else in the project names one."""
    services: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
    reference: str = services["prometheus"]["image"]
    return reference


def write_prometheus(target: Path) -> Path:
    """Write the stand-in as a docker-archive; returns `target`.

    Raises HarnessError when Prometheus is not installed, ImagesError when it can't be looked into.
    """
    program = Path(system_program("prometheus"))
    libraries = re.findall(r"(/\S+)", run(["ldd", program]))
    files = {PROGRAM: program} | {each: Path(each).resolve() for each in libraries}
    write_image(target, prometheus_reference(), files, entrypoint=[PROGRAM], user=NOBODY)
    return target
