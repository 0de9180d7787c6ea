"""The published page: every section that was measured, with the machine it was measured on."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.figures import Figure, Section, number

HEAD = """\
# Benchmarks

Written by `scripts/bench`; [docs/benchmarks.md](../docs/benchmarks.md) says how to run it and how
to read it. Every figure is a ratio of two sides that ran in turns within one run (except where a
line's unit is a time or a size): the median over the pairs, and their range. "Reach" is what the
figure is meant to be. Peers: plain Celery as its manual and the documented design have it (one task
an event, one call a task), and RedisVL's SemanticCache.
"""


def markdown(sections: Sequence[Section], machines: dict[str, str]) -> str:
    """The whole page; `machines` says for each section when and where it was measured."""
    parts = [HEAD, *_overview(sections)]
    for section in sections:
        parts += _section(section, machines.get(section.name, ""))
    return "\n".join(parts).rstrip() + "\n"


def lines(section: Section) -> list[str]:
    """The section's figures for a terminal."""
    return [
        f"  {_mark(figure):<13} {_value(figure):<28} {figure.name}"
        + (f"  [{figure.ours}; {figure.theirs}]" if figure.ours else "")
        for figure in section.figures
    ]


def _overview(sections: Sequence[Section]) -> list[str]:
    rows = [
        f"| [{section.name}](#{section.name}) | {figure.name} | {_value(figure)} |"
        f" {_reach(figure)} | {_mark(figure)} |"
        for section in sections
        for figure in section.figures
    ]
    return [
        "| Benchmark | Figure | Median (range) | Reach | |",
        "|---|---|---|---|---|",
        *rows,
        "",
    ]


def _section(section: Section, machine: str) -> list[str]:
    parts = [f"## {section.name}", "", f"**{section.title}.** {section.conditions}.", ""]
    if section.quick:
        parts += ["A short run (`--quick`): a look, not a published figure.", ""]
    parts += [
        "| Figure | Median (range), pairs | Reach | Ours | Peer | Beside it |",
        "|---|---|---|---|---|---|",
    ]
    parts += [
        f"| {figure.name} | {_value(figure)}, {figure.pairs} | {_reach(figure)} {_mark(figure)} |"
        f" {figure.ours} | {figure.theirs} | {figure.beside} |"
        for figure in section.figures
    ]
    parts.append("")
    for table in section.tables:
        parts += [f"{table.title}:", "", _row(table.head), _row(["---"] * len(table.head))]
        parts += [_row(row) for row in table.rows]
        parts.append("")
    if section.where_the_time_goes:
        parts += [f"Where the time goes: {section.where_the_time_goes}", ""]
    if section.profile:
        parts += ["```", section.profile, "```", ""]
    if machine:
        parts += [f"*{machine}*", ""]
    return parts


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _value(figure: Figure) -> str:
    value = figure.value
    unit = "" if figure.unit == "x" else f" {figure.unit}"
    return f"{number(value.median)}{unit} ({number(value.low)} to {number(value.high)})"


def _reach(figure: Figure) -> str:
    if figure.reach is None:
        return "reported"
    unit = "" if figure.unit == "x" else f" {figure.unit}"
    return f"{figure.reach.kind} {number(figure.reach.value)}{unit}"


def _mark(figure: Figure) -> str:
    return {None: "", True: "in reach", False: "out of reach"}[figure.in_reach]
