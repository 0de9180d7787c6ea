"""The machine that figures come from, in a line."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

VERSIONS = (
    "celery",
    "redis",
    "redisvl",
    "confluent-kafka",
    "fastapi",
    "uvicorn",
    "openai",
    "aiohttp",
)


def cpu_model() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.lower().startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def describe() -> str:
    """Processor, cores, system and the versions that matter."""
    packages = ", ".join(f"{name} {version(name)}" for name in VERSIONS)
    return (
        f"{cpu_model()}, {os.cpu_count()} cores, {platform.system()} {platform.release()},"
        f" Python {platform.python_version()}, {packages}"
    )


def load() -> float:
    """How many processes wanted to run in the last minute, on average."""
    return os.getloadavg()[0]
