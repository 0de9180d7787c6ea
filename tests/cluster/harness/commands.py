"""Runs a command to its end and returns what it wrote, or raises with all that it said."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

from tests.cluster.harness.errors import CommandFailed, CommandTimedOut


def run_command(
    argv: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    stdin: str | None = None,
    timeout_seconds: float,
) -> str:
    """Standard output of `argv`.

    Raises CommandFailed with both outputs when its status is not 0, and CommandTimedOut when it has
    not ended in time.
    """
    try:
        done = subprocess.run(
            argv,
            env=environment,
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandTimedOut(
            f"`{' '.join(argv)}` did not end within {timeout_seconds:.0f} s"
        ) from error
    if done.returncode != 0:
        raise CommandFailed(list(argv), done.returncode, done.stdout + done.stderr)
    return done.stdout
