"""A supervisor that is killed leaves no process behind, not even a child's child."""

import os
import select
import signal
import subprocess
import sys

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


def test_children_and_grandchildren_end_with_a_killed_supervisor() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR], stdout=subprocess.PIPE, text=True
    ) as supervisor:
        assert supervisor.stdout is not None
        pids = [int(pid) for pid in supervisor.stdout.readline().split()]
        handles = [os.pidfd_open(pid) for pid in pids]
        supervisor.send_signal(signal.SIGKILL)
        for handle in handles:
            ended, _, _ = select.select([handle], [], [], 30)
            os.close(handle)
            assert ended
    assert len(pids) == 2
