"""Becomes another program, after asking Linux to kill it when its parent dies.

Why a program of its own: the request (`PR_SET_PDEATHSIG`) has to be made inside the child,
and running Python code between fork and exec is unsafe in a parent that has threads. This
file is run with `python -I -S`, so it starts in milliseconds and must import nothing but
the standard library. It deliberately handles neither output nor restarts.

Usage: launch.py PARENT_PID PROGRAM [ARGUMENT ...]
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # from <sys/prctl.h>
EXIT_NOT_STARTED = 127  # what a shell answers for a program that it can't run


def main(argv: list[str]) -> int:
    """Replaces this process by the program; returns an exit code only when that fails."""
    parent_pid, program = int(argv[1]), argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before the request was made
        return EXIT_NOT_STARTED
    # Python ignores these two, and ignored signals stay ignored in the next program.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.execv(program[0], program)  # noqa: S606
    except OSError as error:
        print(f"cannot run {program[0]}: {error.strerror}", file=sys.stderr)
        return EXIT_NOT_STARTED


if __name__ == "__main__":
    sys.exit(main(sys.argv))
