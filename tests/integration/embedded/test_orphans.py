"""Whoever starts processes and is killed leaves none behind, not even a child's child."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

SUPERVISOR = """
import asyncio, sys
from eventstream.embedded.process import ProcessSpec
from eventstream.embedded.supervisor import Supervisor

POOL = '''
import os, signal
child = os.fork()
if child: print(os.getpid(), child, flush=True)
signal.pause()
'''

async def main():
    supervisor = Supervisor(lambda name, line: print(line, flush=True), print)
    await supervisor.start([ProcessSpec(name="pool", argv=(sys.executable, "-c", POOL))])
    await asyncio.Event().wait()

asyncio.run(main())
"""

PLAIN = """
import sys
from pathlib import Path
from eventstream.embedded.process import LocalProcess, ProcessSpec

folder = Path(sys.argv[1])
code = "import pathlib, signal, sys; pathlib.Path(sys.argv[1]).touch(); signal.pause()"
argv = (sys.executable, "-c", code, str(folder / "up"))
one = LocalProcess(ProcessSpec(name="one", argv=argv, ready=(folder / "up").exists), folder / "log")
one.start()
print(one.pid, flush=True)
sys.stdin.read()
"""


def all_end_with_their_starter(code: str, *arguments: str) -> int:
    """Kills the program and waits for those whose ids it printed; returns their number."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as starter:
        assert starter.stdout is not None
        pids = [int(pid) for pid in starter.stdout.readline().split()]
        handles = [os.pidfd_open(pid) for pid in pids]
        starter.send_signal(signal.SIGKILL)
        for handle in handles:
            ended, _, _ = select.select([handle], [], [], 30)
            os.close(handle)
            assert ended
    return len(pids)


def test_children_and_grandchildren_end_with_a_killed_supervisor() -> None:
    assert all_end_with_their_starter(SUPERVISOR) == 2


def test_a_single_process_ends_with_the_program_that_started_it(tmp_path: Path) -> None:
    assert all_end_with_their_starter(PLAIN, str(tmp_path)) == 1
