"""The folder of a worker's metrics: it goes with the worker, or with the next one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PREPARE = """
from eventstream.worker import exposition
print(exposition.prepare(), flush=True)
input()
"""


def start(parent: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that has prepared its folder in `parent`, and the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", PREPARE],
        env={**os.environ, "TMPDIR": str(parent)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_what_a_killed_worker_left_is_removed_by_the_next_and_no_other(tmp_path: Path) -> None:
    killed, left = start(tmp_path)
    alive, kept = start(tmp_path)
    assert left.is_dir()
    end(killed)

    third, own = start(tmp_path)

    assert sorted(tmp_path.iterdir()) == sorted([kept, own])
    end(alive)
    end(third)
