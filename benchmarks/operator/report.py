"""The figures as Markdown, with the machine that they were measured on."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.operator.measure import CROSSING, Figures


def machine() -> str:
    """Cores, processor, system, Python, and how busy it is now."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    busy = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    return (
        f"{os.cpu_count()} cores ({names[0] if names else platform.machine()}),"
        f" {platform.system()} {platform.release()}, Python {platform.python_version()};"
        f" load averages {busy}"
    )


def told(seconds: Sequence[float]) -> str:
    """Median and range."""
    return f"{median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


def row(figures: Figures) -> str:
    """One number of streams."""
    return (
        f"| {figures.streams} | {told(figures.reactions)} | {told(figures.passes)}"
        f" | {figures.requests_a_pass:.2f} |"
    )


def markdown(results: Sequence[Figures], before: str, after: str) -> str:
    """The whole of results.md."""
    repeats = min(min(len(one.reactions), len(one.passes)) for one in results)
    return "\n".join(
        [
            "# How fast the operator is",
            "",
            "Made by `python -m benchmarks.operator`: the operator as a process of its own, beside"
            " a real API server (simulated nodes) and a real Redis on the same machine. Median and"
            f" range of {repeats} or more repeats; seconds.",
            "",
            f"- At the start: {before}.",
            f"- At the end: {after}.",
            "",
            "| streams | reaction, s | a pass, s | API requests a pass |",
            "|--:|--:|--:|--:|",
            *map(row, results),
            "",
            f"**Reaction**: {CROSSING} events are accepted into one stream's inbox, at any moment"
            " between two passes; it ends when a watch sees the Deployment with more replicas."
            " The operator looks every 2 s, so half of that is waiting for the next look."
            " **A pass**: over all streams, while nothing happens to them. **API requests a"
            " pass**: meanwhile, the renewal of the Lease and the figures in each status every"
            " 30 s included; watches are no requests.",
            "",
            "Asked for are a reaction of at most 5 s, and a pass over 200 streams of at most 1 s.",
            "",
        ]
    )
