"""`python -m benchmarks.cache`: measures, prints, and writes results.md, .json and .svg here."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cache.measure import Judged, Policy, Vectors, embed, judge, time_guard
from benchmarks.cache.pairs import HALVES, PairsError, read_half
from benchmarks.cache.peer import DEFAULT_SIMILARITY, Agreement, ask_redisvl
from benchmarks.cache.report import Results, as_json, markdown, summary, svg
from eventstream.cache.similarity import threshold_for
from eventstream.llm.local.minilm import SentenceEncoder


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 when it could be run, whatever it found, 2 when it could not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cache", description=__doc__)
    parser.add_argument("--half", choices=HALVES, help="only this half, and write no files")
    parser.add_argument(
        "--redisvl-pairs",
        type=int,
        default=100,
        metavar="N",
        help="pairs to ask RedisVL itself about, on a Redis of its own; 0: none (default 100)",
    )
    options = parser.parse_args(argv)
    try:
        halves = {half: read_half(half) for half in ([options.half] if options.half else HALVES)}
    except PairsError as error:
        print(error, file=sys.stderr)
        return 2
    encoder = SentenceEncoder.load(None)
    vectors = embed((pair for pairs in halves.values() for pair in pairs), encoder)
    judged = {half: judge(pairs, vectors) for half, pairs in halves.items()}
    results = Results(
        halves=judged,
        policies=_policies(encoder.name),
        agreement=_agreement(judged, vectors, options.redisvl_pairs),
        time=time_guard([item.pair for half in judged.values() for item in half]),
        embedding_model=encoder.name,
        machine=_machine(),
    )
    print(summary(results))
    if options.half is None:
        folder = Path(__file__).parent
        (folder / "results.md").write_text(markdown(results), "utf-8")
        (folder / "results.json").write_text(as_json(results), "utf-8")
        (folder / "results.svg").write_text(svg(results), "utf-8")
    return 0


def _policies(model: str) -> list[Policy]:
    return [
        Policy("guarded", threshold_for(model, "guarded").value, guarded=True),
        Policy("threshold", threshold_for(model, "threshold").value, guarded=False),
        Policy("threshold, as documented", 0.85, guarded=False),
        Policy("RedisVL, default", DEFAULT_SIMILARITY, guarded=False),
    ]


def _agreement(judged: dict[str, list[Judged]], vectors: Vectors, count: int) -> Agreement | None:
    everything = [item for half in judged.values() for item in half]
    if not count:
        return None
    return ask_redisvl(everything[:: max(1, len(everything) // count)][:count], vectors)


def _machine() -> str:
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return f"{os.cpu_count()} x {model}, {platform.system()}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
