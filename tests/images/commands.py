"""Runs the programs that make and run images; a failure carries the end of what they said."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.images.errors import ImagesError

_TAIL_LINES = 40
_DEBIAN_PACKAGES = {"buildah": "buildah", "debootstrap": "debootstrap", "runc": "runc"}


def run(
    argv: Sequence[str | Path],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_seconds: float = 600,
) -> str:
    """Runs a program to its end, behind everything else that the machine does.

    Returns what it wrote to standard output, without the last line feed. Raises ImagesError when
    the program is not there, fails, or takes too long.
    """
    program = str(argv[0])
    if shutil.which(program) is None:
        package = _DEBIAN_PACKAGES.get(program)
        way_out = f": apt-get install --no-install-recommends {package}" if package else ""
        raise ImagesError(f"{program} is not on the PATH{way_out}")
    line = ["nice", "-n", "10", *map(str, argv)]
    try:
        done = subprocess.run(
            line,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ImagesError(f"`{' '.join(line[3:])}` did not end in {timeout_seconds:g} s") from None
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-_TAIL_LINES:])
        raise ImagesError(f"`{' '.join(line[3:])}` ended with {done.returncode}:\n{tail}")
    return done.stdout.rstrip("\n")
