"""`scripts/bench [NAME ...] [--quick] [--json]`: measures, prints, and writes results.md and .json.

Each benchmark runs in a process of its own, so that none finds connections, metrics or garbage of
another. One that breaks does not stop the others; a figure out of reach is shown, and is no error.
Results of benchmarks that were not run this time stay as they were.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.figures import section_from
from benchmarks.options import Options, Size
from benchmarks.registry import BENCHMARKS
from benchmarks.report import lines, markdown

FOLDER = Path(__file__).parent
LONGEST_SECONDS = 900


def measure(name: str, options: Options, target: Path) -> None:
    """Run one benchmark in this process and write its section as JSON."""
    began = time.perf_counter()
    section = asyncio.run(BENCHMARKS[name](options))
    section = replace(
        section, quick=options.size != "full", seconds=round(time.perf_counter() - began, 1)
    )
    target.write_text(json.dumps(section.to_dict(), indent=1, ensure_ascii=False))


def in_a_process(name: str, options: Options) -> dict[str, Any] | None:
    """One benchmark's section from a process of its own; None: it broke."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "section.json"
        argv = [
            *(sys.executable, "-m", "benchmarks", name),
            *("--size", options.size, "--into", str(target)),
            *([] if options.profiles else ["--no-profiles"]),
        ]
        try:
            done = subprocess.run(argv, timeout=LONGEST_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            print(f"bench: {name} took longer than {LONGEST_SECONDS} s", file=sys.stderr)
            return None
        if done.returncode or not target.exists():
            return None
        document: dict[str, Any] = json.loads(target.read_text())
        return document


def publish(found: dict[str, dict[str, Any]], where: str, folder: Path = FOLDER) -> None:
    """Write both files, keeping the sections that were not measured this time."""
    stored = folder / "results.json"
    document = json.loads(stored.read_text()) if stored.exists() else {}
    sections = {**document.get("sections", {}), **found}
    machines = {**document.get("machines", {}), **dict.fromkeys(found, where)}
    ordered = {name: sections[name] for name in BENCHMARKS if name in sections}
    text = json.dumps({"machines": machines, "sections": ordered}, indent=1, ensure_ascii=False)
    stored.write_text(text + "\n")
    page = markdown([section_from(section) for section in ordered.values()], machines)
    (folder / "results.md").write_text(page)


def main() -> int:
    """Run what was asked for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="a short run; writes no results")
    parser.add_argument("--json", action="store_true", help="print the sections as JSON")
    parser.add_argument("--no-profiles", action="store_true", help="leave the profiles out")
    parser.add_argument("--size", choices=("full", "quick", "tiny"), help=argparse.SUPPRESS)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    size: Size = given.size or ("quick" if given.quick else "full")
    options = Options(size=size, profiles=not given.no_profiles)
    if given.into is not None:
        measure(given.names[0], options, given.into)
        return 0
    found: dict[str, dict[str, Any]] = {}
    broken = []
    for name in given.names or BENCHMARKS:
        if not given.json:
            print(f"{name} ...", flush=True)
        section = in_a_process(name, options)
        if section is None:
            broken.append(name)
            continue
        found[name] = section
        if not given.json:
            print("\n".join(lines(section_from(section))), flush=True)
    if given.json:
        print(json.dumps({"machine": machine.describe(), "sections": found}, ensure_ascii=False))
    if size == "full" and found:
        when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        publish(found, f"{machine.describe()}; {when}; load {machine.load():.1f} at the end")
    if broken:
        print(f"bench: broken, see above: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
