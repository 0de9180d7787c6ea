"""What is written in one turn of the loop goes out with one call."""

from __future__ import annotations

import asyncio

import pytest

from eventstream.api.protocol import CorkedTransport


class Recorded(asyncio.Transport):
    """Remembers every call that would become a system call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[bytes | str] = []
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.calls.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.calls.append("close")
        self.closing = True

    def abort(self) -> None:
        self.calls.append("abort")
        self.closing = True


@pytest.fixture
async def pair() -> tuple[CorkedTransport, Recorded]:
    real = Recorded()
    return CorkedTransport(real, asyncio.get_running_loop()), real


async def test_head_and_body_go_out_together(pair: tuple[CorkedTransport, Recorded]) -> None:
    corked, real = pair
    corked.write(b"head ")
    corked.write(b"")
    corked.write(b"body")
    assert real.calls == []
    await asyncio.sleep(0)
    assert real.calls == [b"head body"]


async def test_the_next_turn_is_a_write_of_its_own(pair: tuple[CorkedTransport, Recorded]) -> None:
    corked, real = pair
    corked.write(b"one")
    await asyncio.sleep(0)
    corked.write(b"two")
    await asyncio.sleep(0)
    assert real.calls == [b"one", b"two"]


async def test_closing_sends_first(pair: tuple[CorkedTransport, Recorded]) -> None:
    corked, real = pair
    corked.write(b"last words")
    corked.close()
    await asyncio.sleep(0)
    assert real.calls == [b"last words", "close"]


async def test_aborting_does_not(pair: tuple[CorkedTransport, Recorded]) -> None:
    corked, real = pair
    corked.write(b"never sent")
    corked.abort()
    await asyncio.sleep(0)
    assert real.calls == ["abort"]
