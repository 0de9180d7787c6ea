"""The supervisor with tiny real child processes: order, restarts, and nothing left behind."""

import asyncio
import os
import select
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventstream.embedded.errors import StackError
from eventstream.embedded.process import ProcessSpec
from eventstream.embedded.supervisor import RestartPolicy, Supervisor

AT_ONCE = RestartPolicy(attempts=2, first_delay_seconds=0.0)
WAIT_FOR_A_SIGNAL = "import signal; print('up', flush=True); signal.pause()"


class Stack:
    """A supervisor and everything that it printed and said."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.said: list[str] = []
        self.news = asyncio.Event()
        self.supervisor = Supervisor(self._emit, self._say, restart=AT_ONCE)

    def _emit(self, name: str, line: str) -> None:
        self.lines.append((name, line))
        self.news.set()

    def _say(self, sentence: str) -> None:
        self.said.append(sentence)
        self.news.set()

    async def until_printed(self, name: str, line: str, times: int = 1) -> None:
        while self.lines.count((name, line)) < times:
            self.news.clear()
            await self.news.wait()

    async def until_said(self, part: str) -> None:
        while not any(part in sentence for sentence in self.said):
            self.news.clear()
            await self.news.wait()


@pytest.fixture
async def stack() -> AsyncIterator[Stack]:
    stack = Stack()
    yield stack
    await stack.supervisor.stop()


def python(name: str, code: str, **options: object) -> ProcessSpec:
    return ProcessSpec(name=name, argv=(sys.executable, "-c", code), **options)  # type: ignore[arg-type]


async def until_gone(pid: int) -> None:
    """Returns when a process, a child of anybody, has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await asyncio.to_thread(select.select, [handle], [], [])
    finally:
        os.close(handle)


async def test_every_line_of_output_comes_with_the_name_of_its_process(stack: Stack) -> None:
    code = "import signal; print('one\\ntwo', flush=True); signal.pause()"
    await stack.supervisor.start([python("talker", code)])
    await stack.until_printed("talker", "two")
    assert stack.lines == [("talker", "one"), ("talker", "two")]


async def test_a_process_starts_when_those_it_depends_on_are_ready(
    stack: Stack, tmp_path: Path
) -> None:
    store = python(
        "store",
        f"import pathlib, signal; pathlib.Path({str(tmp_path / 'ready')!r}).touch();signal.pause()",
        ready=(tmp_path / "ready").exists,
    )
    service = python(
        "service",
        f"import os, signal; print(os.path.exists({str(tmp_path / 'ready')!r}), flush=True);"
        "signal.pause()",
        after=("store",),
    )
    await stack.supervisor.start([service, store])
    await stack.until_printed("service", "True")


async def test_independent_processes_start_side_by_side(stack: Stack, tmp_path: Path) -> None:
    def waits_for_both(mine: str) -> ProcessSpec:
        touch = f"import pathlib, signal; pathlib.Path({str(tmp_path / mine)!r}).touch()"
        both = lambda: len(list(tmp_path.iterdir())) == 2  # noqa: E731
        return python(mine, f"{touch}; signal.pause()", ready=both)

    await stack.supervisor.start([waits_for_both("left"), waits_for_both("right")])
    assert stack.supervisor.pid("left") != stack.supervisor.pid("right")


async def test_stop_goes_in_the_reverse_order(stack: Stack) -> None:
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), sys.exit()))\n"
        "print('up', flush=True)\n"
        "signal.pause()"
    )
    store, service = python("store", code), python("service", code, after=("store",))
    await stack.supervisor.start([store, service])
    await stack.until_printed("store", "up")
    await stack.until_printed("service", "up")
    await stack.supervisor.stop()
    assert [name for name, line in stack.lines if line == "bye"] == ["service", "store"]


async def test_what_ignores_the_signal_is_killed_with_its_children(stack: Stack) -> None:
    code = (
        "import os, signal\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = os.fork()\n"
        "if child: print(child, flush=True)\n"
        "while True: signal.pause()"
    )
    await stack.supervisor.start([python("deaf", code, stop_timeout_seconds=0.05)])
    while not stack.lines:
        await stack.news.wait()
    grandchild, leader = int(stack.lines[0][1]), stack.supervisor.pid("deaf")
    assert leader is not None
    await stack.supervisor.stop()
    await until_gone(leader)
    await until_gone(grandchild)
    assert stack.said == ["deaf did not end within 0.05 s: killed"]


async def test_a_leader_that_ends_well_leaves_no_grandchild(stack: Stack) -> None:
    code = (
        "import os, signal\n"
        "child = os.fork()\n"
        "if child == 0: signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "if child: print(child, flush=True)\n"
        "while True: signal.pause()"
    )
    await stack.supervisor.start([python("pool", code)])
    while not stack.lines:
        await stack.news.wait()
    await stack.supervisor.stop()
    await until_gone(int(stack.lines[0][1]))


async def test_what_dies_is_started_again_and_said_so(stack: Stack) -> None:
    await stack.supervisor.start([python("worker", WAIT_FOR_A_SIGNAL)])
    await stack.until_printed("worker", "up")
    first = stack.supervisor.pid("worker")
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await stack.until_said("worker runs again")
    assert stack.said[0] == (
        "worker was killed by signal 9 unexpectedly (last line: up): starting it again in 0 s"
    )
    assert stack.supervisor.pid("worker") not in (None, first)


async def test_what_dies_again_and_again_is_given_up(stack: Stack) -> None:
    await stack.supervisor.start([python("broken", "print('no disk'); raise SystemExit(3)")])
    await stack.supervisor.failed.wait()
    assert stack.supervisor.failure == (
        "broken ended with code 3 and was started again 2 times within 60 s: giving up. "
        "Its last output:\n  broken | no disk"
    )


async def test_what_holds_on_to_the_state_of_another_is_started_again_with_it(
    stack: Stack,
) -> None:
    broker = python("broker", WAIT_FOR_A_SIGNAL)
    consumer = python("consumer", WAIT_FOR_A_SIGNAL, after=("broker",), restart_with=("broker",))
    api = python("api", WAIT_FOR_A_SIGNAL, after=("broker",))
    await stack.supervisor.start([broker, consumer, api])
    before = {name: stack.supervisor.pid(name) for name in ("broker", "consumer", "api")}
    for name, pid in before.items():
        assert pid is not None
        await stack.until_printed(name, "up")
    os.kill(before["broker"] or 0, signal.SIGKILL)
    await stack.until_printed("consumer", "up", times=2)
    assert "consumer is started again with broker" in stack.said
    assert stack.supervisor.pid("consumer") != before["consumer"]
    assert stack.supervisor.pid("api") == before["api"]


async def test_a_start_that_fails_shows_the_last_output(stack: Stack) -> None:
    code = "print('bad configuration'); raise SystemExit(2)"
    with pytest.raises(StackError, match="broken ended with code 2 before it was ready") as error:
        await stack.supervisor.start([python("broken", code, ready=lambda: False)])
    assert str(error.value).endswith("Its last output:\n  broken | bad configuration")


async def test_a_process_that_never_gets_ready_fails_the_start(stack: Stack) -> None:
    slow = python("slow", WAIT_FOR_A_SIGNAL, ready=lambda: False, ready_timeout_seconds=0.05)
    with pytest.raises(StackError, match=r"not ready within 0\.05 s"):
        await stack.supervisor.start([slow])
    assert stack.supervisor.pid("slow") is None


async def test_a_program_that_does_not_exist_is_named(stack: Stack) -> None:
    missing = ProcessSpec(name="missing", argv=("/no/such/program",), ready=lambda: False)
    with pytest.raises(StackError, match="cannot run /no/such/program: No such file or directory"):
        await stack.supervisor.start([missing])


async def test_a_folder_that_does_not_exist_fails_the_start(stack: Stack, tmp_path: Path) -> None:
    nowhere = python("lost", "", cwd=tmp_path / "absent")
    with pytest.raises(StackError, match="lost can't be run: FileNotFoundError"):
        await stack.supervisor.start([nowhere])


async def test_kill_ends_everything_at_once(stack: Stack) -> None:
    code = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAIT_FOR_A_SIGNAL}"
    await stack.supervisor.start([python("deaf", code, stop_timeout_seconds=3600.0)])
    await stack.until_printed("deaf", "up")
    stack.supervisor.kill()
    await stack.supervisor.stop()
    assert stack.supervisor.pid("deaf") is None


async def test_a_line_without_end_is_handed_on_in_pieces(stack: Stack) -> None:
    code = "import signal; print('x' * 40_000, flush=True); signal.pause()"
    await stack.supervisor.start([python("talker", code)])
    while sum(len(line) for _, line in stack.lines) < 40_000:
        stack.news.clear()
        await stack.news.wait()
    assert len(stack.lines) > 1


async def test_the_delay_before_a_restart_doubles_up_to_a_bound() -> None:
    policy = RestartPolicy(first_delay_seconds=0.5, longest_delay_seconds=3.0)
    assert [policy.delay_seconds(n) for n in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
