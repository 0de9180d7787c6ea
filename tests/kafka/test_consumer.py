"""The consumer's promise: every good record in the inbox, every bad one a dead letter."""

from __future__ import annotations

from eventstream.events import State
from eventstream.keys import queue_for
from tests.kafka.harness import Stream, a_text


async def test_a_record_becomes_an_event_with_its_bytes_and_key(stream: Stream) -> None:
    value = a_text("Lovely!", event_id="r-1", metadata={"shop": "Lima"})

    async with stream.consumed():
        await stream.produce(value, key=b"customer-7")
        await stream.accepted(1)

    status = await stream.tools.results.status("r-1")
    assert status is not None
    assert status.status is State.PENDING
    claim = await stream.tools.inbox.claim(queue_for(stream.name, "kafka"), "worker", 10)
    [held] = claim.fresh
    assert (held.event.text, held.event.metadata) == ("Lovely!", {"shop": "Lima"})
    assert (held.raw, held.key) == (value, b"customer-7")


async def test_offsets_are_committed_when_the_consumer_stops(stream: Stream) -> None:
    async with stream.consumed():
        await stream.produce(*(a_text(f"text {number}") for number in range(30)))
        await stream.accepted(30)

    assert sum((await stream.committed()).values()) == 30
    async with stream.consumed():
        await stream.produce(a_text("one more"))
        counters = await stream.accepted(31)
    assert counters.duplicates == 0
