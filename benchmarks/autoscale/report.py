"""The results as a Markdown table, and as a picture (SVG, drawn here: it is lines and text)."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

from benchmarks.autoscale.run import PHASES, Result
from benchmarks.autoscale.scalers import DEFAULTS, MAX_PODS, MIN_PODS, SCALERS
from benchmarks.autoscale.traces import TRACES

OURS: Final = next(iter(SCALERS))
COLOURS: Final = ("#d6336c", "#1971c2", "#2f9e44", "#e8590c")
WIDTH, PANEL, LEFT, TOP, GAP = 1100, 150, 60, 60, 46


def by_trace(results: Iterable[Result]) -> dict[str, dict[str, Result]]:
    """Trace -> scaler -> result."""
    table: dict[str, dict[str, Result]] = {}
    for result in results:
        table.setdefault(result.trace, {})[result.scaler] = result
    return table


def verdicts(results: Iterable[Result]) -> list[str]:
    """A sentence a trace: who is better in worst age and in worker-seconds."""
    lines = []
    for trace, scalers in by_trace(results).items():
        ours = scalers[OURS].measures
        behind, ahead, mixed = [], [], []
        for name, result in scalers.items():
            if name == OURS:
                continue
            older = result.measures.worst_age_seconds > ours.worst_age_seconds
            dearer = result.measures.worker_seconds > ours.worker_seconds
            if older and dearer:
                ahead.append(name)
            elif older or dearer:
                mixed.append(f"{name} ({'cheaper, but older' if older else 'younger, but dearer'})")
            else:
                behind.append(name)
        parts = []
        if ahead:
            parts.append(f"better in both than {', '.join(ahead)}")
        if mixed:
            parts.append(f"in one of both than {', '.join(mixed)}")
        if behind:
            parts.append(f"worse in both than {', '.join(behind)}")
        lines.append(f"- {trace}: {'; '.join(parts)}.")
    return lines


def markdown(results: list[Result]) -> str:
    """The whole of results.md."""
    lines = [
        "# Autoscalers on the same load",
        "",
        "Made by `python -m benchmarks.autoscale`: a simulation, with the operator's real decision"
        f" code. Means of {len(PHASES)} runs (other arrivals, other moments of looking)."
        f" {MIN_PODS} to {MAX_PODS} pods for all; a pod has 4 processes of 4 slots, a usual call"
        " takes 2 s: 8 events/s.",
        "",
        "![Unfinished events and pods over time](results.svg)",
        "",
        "**Time to drain**: from the first to the last second in which more than 100 events waited."
        " **Worst age**: from arrival to answer, of the event that waited longest (p99: of the 99th"
        " in a hundred). **Worker-seconds**: of pods, starting and stopping ones included."
        " **Changes**: of the number of replicas.",
        "",
    ]
    what = {trace.name: trace.what for trace in TRACES}
    for trace, scalers in by_trace(results).items():
        lines += [
            f"## {trace[0].upper()}{trace[1:]}",
            "",
            f"{what[trace][0].upper()}{what[trace][1:]}.",
            "",
            "| | time to drain, s | worst age, s | p99 age, s | worker-seconds | changes |",
            "|---|--:|--:|--:|--:|--:|",
        ]
        for name, result in scalers.items():
            m = result.measures
            lines.append(
                f"| {name} | {m.drain_seconds:,.0f} | {m.worst_age_seconds:,.0f}"
                f" | {m.late_age_seconds:,.0f} | {m.worker_seconds:,.0f} | {m.changes:.0f} |"
            )
        lines.append("")
    lines += ["## AI-EventStream against each, by worst age and worker-seconds", ""]
    lines += [*verdicts(results), "", "## Parameters", ""]
    lines += [f"- {name}: {defaults}." for name, defaults in DEFAULTS.items()]
    lines += [
        "",
        "## What the simulation leaves out",
        "",
        "- Every scaler sees its numbers at once; a real HPA reads an external metric through an"
        " adapter that adds its own delay.",
        "- The data plane is ours for all of them: one that polls a Redis list, or Numaflow's own,"
        " is another system. What is compared is the decision.",
        "- Others are better set than by default by somebody who knows the load: KEDA with"
        " listLength 100, Numaflow with a shorter cooldown. Ours stands at its defaults too.",
        "- In the throttling trace a refused call counts against the provider's limit, and"
        " Retry-After grows with it. The second throttling trace leaves that out.",
        "",
    ]
    return "\n".join(lines)


def svg(results: list[Result]) -> str:
    """Two panels a trace: unfinished events, and pods, over time."""
    table = by_trace(results)
    half = (WIDTH - LEFT - 60) // 2
    height = TOP + len(table) * (PANEL + GAP) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for index, name in enumerate(SCALERS):
        x = LEFT + index * 240
        parts.append(
            f'<rect x="{x}" y="14" width="18" height="4" fill="{COLOURS[index]}"/>'
            f'<text x="{x + 24}" y="20">{escape(name)}</text>'
        )
    for row, (trace, scalers) in enumerate(table.items()):
        top = TOP + row * (PANEL + GAP)
        parts.append(f'<text x="{LEFT}" y="{top - 8}" font-weight="bold">{escape(trace)}</text>')
        seconds = max(result.history[-1][0] for result in scalers.values())
        for column, (field, title) in enumerate(((1, "unfinished events"), (2, "pods"))):
            left = LEFT + column * (half + 60)
            series = [[point[field] for point in result.history] for result in scalers.values()]
            most = max(max(values) for values in series)
            parts.append(_frame(left, top, half, title, most, seconds))
            for colour, values in zip(COLOURS, series, strict=True):
                parts.append(_line(left, top, half, values, most, seconds, colour))
    return "\n".join([*parts, "</svg>", ""])


def _frame(left: int, top: int, width: int, title: str, most: int, seconds: int) -> str:
    return (
        f'<rect x="{left}" y="{top}" width="{width}" height="{PANEL}" fill="none" stroke="#ccc"/>'
        f'<text x="{left - 4}" y="{top + 10}" text-anchor="end">{most:,}</text>'
        f'<text x="{left - 4}" y="{top + PANEL}" text-anchor="end">0</text>'
        f'<text x="{left + width}" y="{top + PANEL + 14}" text-anchor="end">{seconds:,} s</text>'
        f'<text x="{left + width}" y="{top - 8}" text-anchor="end">{title}</text>'
    )


def _line(
    left: int, top: int, width: int, values: list[int], most: int, seconds: int, colour: str
) -> str:
    step = max(1, len(values) // 240)
    points = " ".join(
        f"{left + width * at / seconds:.0f},{top + PANEL - PANEL * values[at] / (most or 1):.0f}"
        for at in range(0, len(values), step)
    )
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.3"/>'
