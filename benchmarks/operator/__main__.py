"""`python -m benchmarks.operator`: measures, prints, and writes results.md here.

Needs what the tests on a simulated control plane need (docs/testing-cluster.md): Linux, root, and
Go for the first time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

# The folder `operator` is no package (it would hide the standard library's), so its content is
# found by path.
sys.path.insert(0, str(Path(__file__).parents[2] / "operator"))

from tests.cluster.harness.binaries import binaries_dir, default_cache_dir, ensure_binaries
from tests.cluster.harness.cluster import Cluster, Tier
from tests.support.redis_server import RedisServer

from benchmarks.operator.measure import measure
from benchmarks.operator.report import machine, markdown, row

LEAST_REPEATS = 10


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operator", description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 200])
    parser.add_argument("--repeats", type=int, default=12)
    chosen = parser.parse_args()
    if chosen.repeats < LEAST_REPEATS:
        parser.error(f"--repeats: fewer than {LEAST_REPEATS} say little")
    cache = default_cache_dir()
    ensure_binaries(cache, lambda line: print(line, file=sys.stderr))
    before = machine()
    print(before)
    results = []
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as redis:
        cluster = Cluster.start(Tier.CONTROL_PLANE, cache / "clusters", binaries_dir(cache))
        try:
            for streams in chosen.streams:
                results.append(
                    measure(cluster, redis, Path(folder), streams=streams, repeats=chosen.repeats)
                )
                print(row(results[-1]), flush=True)
        finally:
            cluster.stop()
    text = markdown(results, before, machine())
    Path(__file__).with_name("results.md").write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
