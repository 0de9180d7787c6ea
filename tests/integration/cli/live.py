"""The `eventstream` command as a process of its own, for what only a process has: Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from typing import Any, Self

import orjson


class LiveCommand:
    """A command that runs while the test looks at it."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, *arguments: str, env: Mapping[str, str]) -> Self:
        """Start `eventstream ARGUMENTS`, its stdin, stdout and stderr being pipes."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "eventstream", *arguments),
            env={**os.environ, **env},
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
        )
        return cls(process)

    async def line(self) -> str:
        """The next line of stdout."""
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().rstrip("\n")

    async def json_line(self) -> Any:
        """The next line of stdout as JSON."""
        return orjson.loads(await self.line())

    async def write(self, text: str) -> None:
        """Type something on stdin, without ending it."""
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())
        await self._process.stdin.drain()

    async def error_line(self) -> str:
        """The next line of stderr."""
        assert self._process.stderr is not None
        return (await self._process.stderr.readline()).decode().rstrip("\n")

    async def interrupt(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """Ctrl-C, or another signal; its exit code and stderr."""
        code, err, _ = await self.interrupt_and_read(number)
        return code, err

    async def interrupt_and_read(
        self, number: signal.Signals = signal.SIGINT
    ) -> tuple[int, str, str]:
        """Ctrl-C; the exit code, and what was left to read on stderr and on stdout."""
        self._process.send_signal(number)
        out, err = await self._process.communicate()
        assert self._process.returncode is not None
        return self._process.returncode, err.decode(), out.decode()

    async def read_to_its_end(self) -> tuple[int | None, str, str]:
        """Its exit code, and what was left to read on stderr and on stdout."""
        out, err = await self._process.communicate()
        return self._process.returncode, err.decode(), out.decode()

    async def end_unread(self, rest: str) -> tuple[int | None, str]:
        """Type `rest` while nobody reads stdout any more; its exit code and stderr."""
        transport: Any = self._process._transport  # type: ignore[attr-defined]
        transport.get_pipe_transport(1).close()
        await self.write(rest)
        assert self._process.stderr is not None
        err = await self._process.stderr.read()
        await self._process.wait()
        return self._process.returncode, err.decode()

    async def kill(self) -> None:
        """End it, if it has not ended by itself."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()
