"""`python -m benchmarks.autoscale`: runs everything, writes results.md and results.svg here."""

from __future__ import annotations

import sys
from pathlib import Path

# The folder `operator` is no package (it would hide the standard library's), so its content is
# found by path.
sys.path.insert(0, str(Path(__file__).parents[2] / "operator"))

from benchmarks.autoscale.report import markdown, svg, verdicts
from benchmarks.autoscale.run import measure
from benchmarks.autoscale.scalers import DEFAULTS, SCALERS
from benchmarks.autoscale.traces import TRACES


def main() -> None:
    """Print each line as it is there; write both files at the end."""
    for name, defaults in DEFAULTS.items():
        print(f"{name}: {defaults}")
    print(f"\n{'':44s}{'drain':>8s}{'worst':>8s}{'p99':>8s}{'worker-s':>10s}{'changes':>9s}")
    results = []
    for trace in TRACES:
        for scaler in SCALERS:
            result = measure(trace, scaler)
            results.append(result)
            m = result.measures
            print(
                f"{trace.name:20s}{scaler:24s}{m.drain_seconds:8.0f}{m.worst_age_seconds:8.0f}"
                f"{m.late_age_seconds:8.0f}{m.worker_seconds:10.0f}{m.changes:9.0f}",
                flush=True,
            )
    folder = Path(__file__).parent
    (folder / "results.md").write_text(markdown(results))
    (folder / "results.svg").write_text(svg(results))
    print("\n" + "\n".join(verdicts(results)))


if __name__ == "__main__":
    main()
