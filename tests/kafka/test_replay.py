"""`eventstream replay`: reading a topic again after the results Redis lost its data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from eventstream.events import State
from tests.kafka.harness import Stream, a_text, until


async def test_what_redis_lost_is_accepted_again_and_the_rest_is_known(stream: Stream) -> None:
    began = datetime.now(UTC)
    async with stream.consumed():
        await stream.produce(*(a_text(f"text {n}", event_id=f"e-{n}") for n in range(40)))
        await stream.produce(b"not json")
        await stream.accepted(40)
        await stream.committed_all(41)
    for number in range(15):
        await stream.tools.inbox.cancel(f"e-{number}")
        await stream.tools.inbox.cancel(f"e-{number}")
    committed = await stream.committed()

    ran = await stream.command(
        "replay", "--topic", stream.topic, "--since", began.isoformat(), "--json"
    )

    counts = ran.json()
    assert (counts["accepted"], counts["duplicates"], counts["refused"]) == (15, 25, 1)
    assert counts["read"] == counts["total"] == 41
    status = await stream.tools.results.status("e-0")
    assert status is not None
    assert status.status is State.PENDING
    assert await stream.committed() == committed


async def test_records_before_the_time_are_left_alone(stream: Stream) -> None:
    await stream.produce(a_text("old", event_id="old"))
    since = datetime.now(UTC) + timedelta(milliseconds=1)  # Kafka's times are milliseconds
    await until(lambda: datetime.now(UTC) > since, "the next millisecond")
    await stream.produce(a_text("new", event_id="new"))

    ran = await stream.command("replay", "--topic", stream.topic, "--since", since.isoformat())

    assert ran.code == 0
    assert "1 records read" in ran.out
    assert await stream.tools.results.status("old") is None
    assert await stream.tools.results.status("new") is not None


async def test_mistakes_are_answered_with_a_sentence(stream: Stream) -> None:
    no_topic = await stream.command("replay", "--topic", "nosuch", "--since", "1h")
    no_time = await stream.command("replay", "--topic", stream.topic, "--since", "yesterday")

    assert (no_topic.code, stream.topic in no_topic.err) == (1, True)
    assert (no_time.code, "15m" in no_time.err) == (2, True)
