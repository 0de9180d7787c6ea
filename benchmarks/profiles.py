"""Where processes spend their time: py-spy's samples, summed up to a few lines.

py-spy looks from outside, so what is profiled runs as it is. Its samples are counted by the module
of the innermost frame, and by the part of this project nearest to it.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.options import Options
from benchmarks.processes import family

RATE_A_SECOND = 200
LINES = 12


def profile_of(
    groups: Mapping[str, Sequence[int]], load: Callable[[], object], options: Options
) -> str:
    """A summary of where these process families spend their time while `load` runs."""
    if not options.profiles:
        return ""
    program = Path(sys.executable).with_name("py-spy")
    if not program.exists() and shutil.which("py-spy") is None:
        return "py-spy is not installed: no profile was taken."
    argv0 = str(program) if program.exists() else "py-spy"
    with tempfile.TemporaryDirectory() as folder:
        samplers: list[tuple[str, Path, subprocess.Popen[bytes]]] = []
        for name, pids in groups.items():
            for pid in {member for given in pids for member in family(given)}:
                target = Path(folder) / f"{name}-{pid}.txt"
                argv = [
                    argv0,
                    *("record", "--pid", str(pid), "--rate", str(RATE_A_SECOND)),
                    *("--format", "raw", "--output", str(target), "--duration", "3600"),
                    *("--nonblocking", "--full-filenames"),
                ]
                with (Path(folder) / "py-spy.log").open("ab") as log:
                    samplers.append((name, target, subprocess.Popen(argv, stdout=log, stderr=log)))
        time.sleep(1.0)
        try:
            load()
        finally:
            for _, _, sampler in samplers:
                sampler.send_signal(signal.SIGINT)
            for _, _, sampler in samplers:
                sampler.wait(60)
        stacks: dict[str, Counter[tuple[str, ...]]] = {name: Counter() for name in groups}
        for name, target, _ in samplers:
            if target.exists():
                stacks[name].update(read_raw(target.read_text()))
    return "\n\n".join(summary(name, counted) for name, counted in stacks.items() if counted)


def read_raw(text: str) -> Counter[tuple[str, ...]]:
    """py-spy's raw format: `outer;inner 12` a line."""
    counted: Counter[tuple[str, ...]] = Counter()
    for line in text.splitlines():
        stack, _, samples = line.rpartition(" ")
        if samples.isdigit():
            counted[tuple(stack.split(";"))] += int(samples)
    return counted


def summary(name: str, stacks: Mapping[tuple[str, ...], int]) -> str:
    """Samples by place: the innermost frame of ours, and what it was waiting for or calling."""
    total = sum(stacks.values())
    places: Counter[str] = Counter()
    for stack, samples in stacks.items():
        places[_place(stack)] += samples
    lines = [f"{samples / total:6.1%}  {place}" for place, samples in places.most_common(LINES)]
    return "\n".join([f"{name} ({total} samples while busy)", *lines])


def _place(stack: tuple[str, ...]) -> str:
    own = next((frame for frame in reversed(stack) if "eventstream/" in frame), None)
    inner = _short(stack[-1])
    if own is None or own is stack[-1]:
        return inner
    return f"{_short(own)} > {_package(stack[-1])}"


def _short(frame: str) -> str:
    function, _, place = frame.partition(" (")
    file = place.rstrip(")").rpartition(":")[0] or place.rstrip(")")
    return f"{function} ({_tail(file)})"


def _tail(file: str) -> str:
    for mark in ("site-packages/", "services/", "/lib/python3"):
        if mark in file:
            return (
                file.rpartition(mark)[2].partition("/")[2]
                if mark == "/lib/python3"
                else file.rpartition(mark)[2]
            )
    return Path(file).name


def _package(frame: str) -> str:
    tail = _tail(frame.partition(" (")[2].rstrip(")").rpartition(":")[0])
    return tail.partition("/")[0] or tail
