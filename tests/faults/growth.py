"""Whether a process grows: its memory, its open files, and its connections to each neighbour.

Judged is what comes after a warm-up. A line is laid through the memory (least squares), and what it
rises by must stay within a tolerance. Of open files it is the floor that may not rise: whatever
breaks holds some for a moment, but a leak never falls back. Connections to neighbours are counted
apart: they are kept in pools, which fill up to the most that was ever needed at once, lose all when
a neighbour is away, and fill again. So for them there is neither, but a bound: the size of a pool.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.open_files import open_files

WARM_UP_SHARE = 0.25
LEAST_WARM_UP_SECONDS = 15.0
LEAST_JUDGED_SECONDS = 20.0
MEMORY_TOLERANCE = 0.10
LEAST_MEMORY_TOLERANCE_MB = 15.0
FILES_TOLERANCE = 5
MOST_CONNECTIONS = 64
"""Of one process to one neighbour: a pool of Redis connections has so many, and a worker process
never asks a model for more than its slots (32) at once."""
COLUMNS = ("process", "MB", "rise, MB", "files", "rise of floor", "most connections")


@dataclass(frozen=True)
class Sample:
    """One look at a process; `at` in seconds since the start, `files` without `connections`."""

    at: float
    memory_mb: float
    files: int
    connections: Counter[str]


def look_at(pid: int, at: float, neighbours: Mapping[int, str]) -> Sample | None:
    """A sample of a process; `neighbours`: port -> name. None: it has just ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        files = open_files(pid, neighbours)
    except OSError:
        return None
    connections = Counter({name: files.pop(name, 0) for name in neighbours.values()})
    return Sample(at, pages * os.sysconf("SC_PAGE_SIZE") / 1e6, files.total(), connections)


def rise(samples: Sequence[Sample], value: Callable[[Sample], float]) -> float:
    """By how much the least-squares line through `value` rises from the first sample to the last.

    slope = sum((t - mean t)(v - mean v)) / sum((t - mean t)^2)
    """
    mean_at = sum(each.at for each in samples) / len(samples)
    mean = sum(map(value, samples)) / len(samples)
    spread = sum((each.at - mean_at) ** 2 for each in samples)
    if spread == 0:
        return 0.0
    slope = sum((each.at - mean_at) * (value(each) - mean) for each in samples) / spread
    return slope * (samples[-1].at - samples[0].at)


def floor_rise(samples: Sequence[Sample]) -> int:
    """By how much the fewest open files of the later half are more than those of the earlier."""
    half = len(samples) // 2
    earlier, later = samples[:half], samples[half:]
    return min(each.files for each in later) - min(each.files for each in earlier)


def settled(samples: Sequence[Sample]) -> list[Sample]:
    """What is judged: the samples after a process's warm-up; [] for one that ended too soon."""
    life = samples[-1].at - samples[0].at
    begin = samples[0].at + max(LEAST_WARM_UP_SECONDS, WARM_UP_SHARE * life)
    kept = [each for each in samples if each.at >= begin]
    return kept if kept and kept[-1].at - kept[0].at >= LEAST_JUDGED_SECONDS else []


class Growth:
    """What was seen of all processes."""

    def __init__(self) -> None:
        self._samples: dict[tuple[str, int], list[Sample]] = defaultdict(list)

    def add(self, name: str, pid: int, sample: Sample) -> None:
        """One more sample of a process."""
        self._samples[name, pid].append(sample)

    def judge(self) -> tuple[list[tuple[str, ...]], list[str]]:
        """A row (`COLUMNS`) a process that lived long enough, and what grew, in words."""
        rows: list[tuple[str, ...]] = []
        problems: list[str] = []
        for (name, pid), samples in sorted(self._samples.items()):
            who = f"{name} ({pid})"
            most: Counter[str] = Counter()
            for each in samples:
                most |= each.connections
            problems += [
                f"{who} held {count} connections to {neighbour}, more than its pool has"
                for neighbour, count in most.items()
                if count > MOST_CONNECTIONS
            ]
            kept = settled(samples)
            if not kept:
                continue
            mean_mb = sum(each.memory_mb for each in kept) / len(kept)
            most_mb = max(LEAST_MEMORY_TOLERANCE_MB, MEMORY_TOLERANCE * mean_mb)
            memory = rise(kept, lambda each: each.memory_mb)
            files = floor_rise(kept)
            if memory > most_mb:
                problems.append(f"{who} grew by {memory:.1f} MB")
            if files > FILES_TOLERANCE:
                problems.append(f"{who} never closed {files} files")
            rows.append(
                (
                    who,
                    f"{mean_mb:.0f}",
                    f"{memory:+.1f} (<= {most_mb:.0f})",
                    str(kept[-1].files),
                    f"{files:+d} (<= {FILES_TOLERANCE})",
                    " ".join(f"{neighbour} {count}" for neighbour, count in sorted(most.items())),
                )
            )
        return rows, problems
