"""Runs the processes of the local stack: starts them in order, keeps them up, ends them all.

Every child leads a session of its own, so a Ctrl-C in the terminal reaches only this
process, which then stops the children in the reverse order of their start: the leader gets
its signal first (a Celery worker needs its pool until the end), the whole group is killed
when the wait is over. What outlives even a killed supervisor is left to launch.py and
guardian.py. It deliberately knows nothing about Redis, Kafka or the services.
"""

import asyncio
import contextlib
import os
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from eventstream.embedded.errors import StackError
from eventstream.embedded.process import READY_POLL_SECONDS, ProcessSpec, end_group

GUARDIAN = Path(__file__).with_name("guardian.py")
TAIL_LINES = 15  # of a process's last output, shown when it ends unexpectedly
LONGEST_LINE_BYTES = 16_384
# A grandchild may hold the pipe open after its parent has ended; nobody waits for it longer.
LAST_OUTPUT_SECONDS = 1.0

Emit = Callable[[str, str], None]
Say = Callable[[str], None]
Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True)
class RestartPolicy:
    """How often a process that died is started again, and how long before each attempt.

    `attempts` counts the restarts within the last `window_seconds`; the delay doubles from
    `first_delay_seconds` up to `longest_delay_seconds`.
    """

    attempts: int = 5
    window_seconds: float = 60.0
    first_delay_seconds: float = 0.5
    longest_delay_seconds: float = 8.0

    def delay_seconds(self, restarts: int) -> float:
        """The wait before the next start after `restarts` recent ones (0 or more)."""
        return min(self.first_delay_seconds * float(2**restarts), self.longest_delay_seconds)


@dataclass
class _Child:
    """What the supervisor knows about one process while it keeps it up."""

    spec: ProcessSpec
    process: asyncio.subprocess.Process | None = None
    keeper: asyncio.Task[None] | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    was_ready: bool = False
    renewing: bool = False  # it is being ended because another process was started again
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    restarts: deque[float] = field(default_factory=deque)


class Supervisor:
    """Starts, keeps up and stops processes.

    `emit(name, line)` gets every line of output, `say(sentence)` what the supervisor itself
    has to tell. `failed` is set, with the sentence in `failure`, when a process could not be
    kept up: the caller then stops the rest.
    """

    def __init__(
        self,
        emit: Emit,
        say: Say,
        *,
        restart: RestartPolicy | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._emit = emit
        self._say = say
        self._restart = restart or RestartPolicy()
        self._sleep = sleep
        self._children: dict[str, _Child] = {}
        self._stopping = asyncio.Event()
        self._guardian: asyncio.subprocess.Process | None = None
        self.failed = asyncio.Event()
        self.failure = ""

    def pid(self, name: str) -> int | None:
        """The process id of a child that runs now, else None."""
        child = self._children.get(name)
        process = child.process if child is not None else None
        return process.pid if process is not None and process.returncode is None else None

    async def start(self, specs: Sequence[ProcessSpec]) -> None:
        """Starts processes, those that depend on none at once, and returns when all are ready.

        May be called again with further processes. Raises StackError, with the last lines of
        its output, when one ends early or is not ready in time; stop() is the caller's then.
        """
        if self._guardian is None:
            self._guardian = await _start_guardian()
        for spec in specs:
            self._children[spec.name] = _Child(spec)
        for spec in specs:
            child = self._children[spec.name]
            child.keeper = asyncio.create_task(self._keep(child))
            child.keeper.add_done_callback(partial(self._keeper_ended, child))
        ready = asyncio.gather(*(self._children[spec.name].ready.wait() for spec in specs))
        failed = asyncio.create_task(self.failed.wait())
        try:
            outcomes: set[asyncio.Future[Any]] = {ready, failed}
            await asyncio.wait(outcomes, return_when=asyncio.FIRST_COMPLETED)
        finally:
            failed.cancel()
            ready.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ready
        if self.failed.is_set():
            raise StackError(self.failure)

    async def stop(self) -> None:
        """Stops everything, last started first; returns when no process is left."""
        self._stopping.set()
        for level in reversed(_levels([child.spec for child in self._children.values()])):
            await asyncio.gather(*(self._end(self._children[name]) for name in level))
        for child in self._children.values():
            if child.keeper is not None:
                child.keeper.cancel()
                await asyncio.gather(child.keeper, return_exceptions=True)
        if self._guardian is not None and self._guardian.stdin is not None:
            self._guardian.stdin.close()
            await self._guardian.wait()

    def kill(self) -> None:
        """Kills every process group at once; stop() then has nothing left to wait for."""
        self._stopping.set()
        for child in self._children.values():
            if child.process is not None and child.process.returncode is None:
                end_group(child.process.pid)

    async def _keep(self, child: _Child) -> None:
        """Starts one process, and again whenever it ends, until stopped or given up."""
        while not self._stopping.is_set():
            for name in child.spec.after:
                await self._children[name].ready.wait()
            code = await self._run_once(child)
            if self._stopping.is_set():
                return
            if child.renewing:
                child.renewing = False
                continue
            if not child.was_ready:
                self._give_up(child, f"{child.spec.name} {_ending(code)} before it was ready")
                return
            if not await self._may_restart(child, code):
                return

    async def _run_once(self, child: _Child) -> int:
        """Runs the process from start to end; returns its exit code (negative: a signal)."""
        spec = child.spec
        child.tail.clear()
        process, lines = await _spawn(spec)
        child.process = process
        self._tell_guardian(f"+{process.pid}")
        output = asyncio.create_task(self._read(child, lines.reader))
        readiness = asyncio.create_task(self._await_ready(child, process))
        ending = asyncio.create_task(process.wait())
        try:
            await asyncio.wait({ending, readiness}, return_when=asyncio.FIRST_EXCEPTION)
            if readiness.done():
                readiness.result()  # a check that raises is a defect: it ends the stack
            end_group(process.pid)  # whatever the leader left behind also holds the pipe
            await asyncio.wait({output}, timeout=LAST_OUTPUT_SECONDS)
            return await ending
        finally:
            child.ready.clear()
            end_group(process.pid)
            readiness.cancel()
            output.cancel()
            await asyncio.gather(readiness, output, ending, return_exceptions=True)
            lines.transport.close()
            self._tell_guardian(f"-{process.pid}")

    async def _await_ready(self, child: _Child, process: asyncio.subprocess.Process) -> None:
        """Sets `ready` once the check says so; ends a process that takes too long."""
        spec = child.spec
        loop = asyncio.get_running_loop()
        deadline = loop.time() + spec.ready_timeout_seconds
        while spec.ready is not None and not await asyncio.to_thread(spec.ready):
            if process.returncode is not None:
                return
            if loop.time() > deadline:
                child.tail.append(f"(not ready within {spec.ready_timeout_seconds:g} s)")
                end_group(process.pid)
                return
            await self._sleep(READY_POLL_SECONDS)
        again = child.was_ready
        child.was_ready = True
        child.ready.set()
        if again:
            self._say(f"{spec.name} runs again")
            await self._renew_dependents(spec.name)

    async def _renew_dependents(self, name: str) -> None:
        """Ends the processes that hold on to state of `name`; their keepers start them again."""
        for other in self._children.values():
            process = other.process
            if name in other.spec.restart_with and process and process.returncode is None:
                self._say(f"{other.spec.name} is started again with {name}")
                other.renewing = True
                await self._end(other)

    async def _may_restart(self, child: _Child, code: int) -> bool:
        """Says what happened and waits for the next start, or gives up; False: given up."""
        now = asyncio.get_running_loop().time()
        name, policy, recent = child.spec.name, self._restart, child.restarts
        while recent and recent[0] < now - policy.window_seconds:
            recent.popleft()
        if len(recent) >= policy.attempts:
            self._give_up(
                child,
                f"{name} {_ending(code)} and was started again {len(recent)} times within "
                f"{policy.window_seconds:g} s: giving up",
            )
            return False
        delay = policy.delay_seconds(len(recent))
        last = f" (last line: {child.tail[-1]})" if child.tail else ""
        self._say(f"{name} {_ending(code)} unexpectedly{last}: starting it again in {delay:g} s")
        recent.append(now)
        await self._sleep(delay)
        return True

    def _keeper_ended(self, child: _Child, keeper: asyncio.Task[None]) -> None:
        if not keeper.cancelled() and (error := keeper.exception()) is not None:
            self._give_up(child, f"{child.spec.name} can't be run: {error!r}")

    def _give_up(self, child: _Child, sentence: str) -> None:
        if not self.failed.is_set():  # the first failure is the cause, later ones follow from it
            last = "".join(f"\n  {child.spec.name} | {line}" for line in child.tail)
            self.failure = f"{sentence}{'. Its last output:' + last if last else ''}"
            self.failed.set()

    async def _end(self, child: _Child) -> None:
        """Signals the leader, waits, and kills the group when the wait is over."""
        process = child.process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(child.spec.stop_signal)
        try:
            await asyncio.wait_for(process.wait(), child.spec.stop_timeout_seconds)
        except TimeoutError:
            waited = f"{child.spec.stop_timeout_seconds:g} s"
            self._say(f"{child.spec.name} did not end within {waited}: killed")
        end_group(process.pid)
        await process.wait()

    async def _read(self, child: _Child, output: asyncio.StreamReader) -> None:
        """Hands the output on line by line; overlong lines are cut into pieces."""
        rest = b""
        while chunk := await output.read(LONGEST_LINE_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LONGEST_LINE_BYTES:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._take_line(child, line)
        if rest:
            self._take_line(child, rest)

    def _take_line(self, child: _Child, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        if text:
            child.tail.append(text)
            self._emit(child.spec.name, text)

    def _tell_guardian(self, line: str) -> None:
        if self._guardian is not None and self._guardian.stdin is not None:
            self._guardian.stdin.write(f"{line}\n".encode())


@dataclass(frozen=True)
class _Output:
    """The reading end of a child's output."""

    reader: asyncio.StreamReader
    transport: asyncio.ReadTransport


async def _spawn(spec: ProcessSpec) -> tuple[asyncio.subprocess.Process, _Output]:
    """Starts a child with its output on a pipe of ours.

    Of ours, because asyncio's own process pipes make `wait()` wait for their end, and a
    grandchild may hold them open long after the child has ended.
    """
    read_end, write_end = os.pipe()
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb")
    )
    try:
        process = await asyncio.create_subprocess_exec(
            *spec.command(),
            env=spec.environment(),
            cwd=spec.cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=write_end,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except BaseException:
        transport.close()
        raise
    finally:
        os.close(write_end)
    return process, _Output(reader, transport)


async def _start_guardian() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-S",
        str(GUARDIAN),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        cwd=os.sep,
        start_new_session=True,
    )


def _ending(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"


def _levels(specs: Sequence[ProcessSpec]) -> list[list[str]]:
    """Groups names by the length of their longest chain of `after`: what starts first, first."""
    by_name = {spec.name: spec for spec in specs}

    def depth(name: str) -> int:
        return 1 + max((depth(other) for other in by_name[name].after), default=-1)

    levels: dict[int, list[str]] = {}
    for name in by_name:
        levels.setdefault(depth(name), []).append(name)
    return [levels[level] for level in sorted(levels)]
