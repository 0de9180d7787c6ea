"""`eventstream dlq`: finding dead letters, reading one, sending them through the stream again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from eventstream.claims import Held
from eventstream.consumer import dead_letters
from eventstream.consumer.dead_letters import Fate, Selection, replay_letters, statuses
from eventstream.errors import Reason
from eventstream.events import Failure, State, TaskStatus
from eventstream.kafka.dead_letters import DeadLetter, from_failure
from eventstream.keys import queue_for
from eventstream.results import Results
from eventstream.spec import Task
from tests.kafka.harness import Stream, a_text, until
from tests.support.events import an_answer


async def claim(stream: Stream) -> list[Held]:
    """What a worker would take now."""
    claim = await stream.tools.inbox.claim(queue_for(stream.name, "kafka"), "worker", 100)
    return list(claim.fresh)


async def fail(stream: Stream, held: Held, reason: Reason = Reason.PROVIDER_UNAVAILABLE) -> None:
    """End an event as a worker does that has no answer for it: dead letter first, then FAILURE."""
    failure = Failure(reason=reason, message="the provider is down", history=("tried twice",))
    letter = from_failure(held.event, held.raw, held.key, failure, datetime.now(UTC))
    await stream.producer.produce(
        stream.dead_letter_topic, letter.value, letter.key, letter.headers
    )
    failed = held.failed(failure.reason, failure.message, failure.history)
    await stream.tools.inbox.finish([failed])


async def state_of(stream: Stream, event_id: str) -> State | None:
    status = await stream.tools.results.status(event_id)
    return status.status if status else None


async def test_list_names_what_failed_and_what_became_of_it(stream: Stream) -> None:
    async with stream.consumed():
        await stream.produce(b"not json", a_text("fine", event_id="e-[1]"), key=b"k")
        await stream.dead_letters(1)
        await stream.accepted(1)
    await fail(stream, (await claim(stream))[0])

    listed = (await stream.command("dlq", "list", "--stream", "reviews", "--json")).json()
    table = await stream.command("dlq", "list", "--stream", "reviews")

    assert [(each["reason"], each["event_id"], each["status"]) for each in listed] == [
        ("invalid_json", f"{stream.topic}-{each_source(listed[0])}", None),
        ("provider_unavailable", "e-[1]", "FAILURE"),
    ]
    assert listed[1]["history"] == ["tried twice"]
    assert "e-[1]" in table.out
    assert "provider_unavailable" in table.out
    assert "FAILURE" in table.out


def each_source(letter: dict[str, dict[str, int]]) -> str:
    source = letter["source"]
    return f"{source['partition']}-{source['offset']}-{source['timestamp_ms']}"


async def test_show_gives_the_bytes_back(stream: Stream) -> None:
    async with stream.consumed():
        await stream.produce(b'{"text": "caf\xe9"}', key=b"\xff", headers=(("trace", b"7"),))
        [letter] = await stream.dead_letters(1)

    shown = await stream.command("dlq", "show", letter.position, "--stream", "reviews")
    by_id = await stream.command("dlq", "show", "--id", letter.event_id, "--stream", "reviews")
    document = (
        await stream.command("dlq", "show", letter.position, "--stream", "reviews", "--json")
    ).json()

    assert shown.out == by_id.out
    assert "not_utf8" in shown.out
    assert (document["text"], document["base64"]) == (None, "eyJ0ZXh0IjogImNhZukifQ==")
    assert document["headers"] == {"trace": "7"}


async def test_a_refused_record_is_accepted_once_its_stream_knows_the_task(stream: Stream) -> None:
    async with stream.consumed():
        await stream.produce(a_text("roses", task_type="poetry"), b"not json")
        await stream.dead_letters(2)
        poetic = stream.spec.model_copy(update={"task": Task(type="poetry", prompt="Rhyme.")})
        await stream.registry.write({"reviews": poetic})

    ran = await stream.command(
        "dlq", "replay", "--stream", "reviews", "--reason", "unknown_task_type"
    )
    async with stream.consumed():
        await stream.accepted(1)

    assert ran.code == 0
    assert "1 of 1 dead letters replayed" in ran.out
    [held] = await claim(stream)
    assert (held.event.task_type, held.event.text) == ("poetry", "roses")


async def test_a_failed_event_is_forgotten_and_goes_on_under_its_id(stream: Stream) -> None:
    async with stream.consumed():
        await stream.produce(a_text("no id of its own"), key=b"k")
        await stream.accepted(1)
        [held] = await claim(stream)
        event_id = held.event.id
        await fail(stream, held)
        assert await state_of(stream, event_id) is State.FAILURE

        ran = await stream.command("dlq", "replay", "--all", "--stream", "reviews", "--json")
        await until(lambda: accepted_again(stream, event_id), "accepted again")

    assert ran.json()["counts"] == {"replayed": 1}
    [again] = await claim(stream)
    assert (again.event.id, again.raw, again.key) == (event_id, held.raw, b"k")


async def accepted_again(stream: Stream, event_id: str) -> bool:
    return await state_of(stream, event_id) is State.PENDING


async def test_what_is_under_way_or_answered_is_left_alone(stream: Stream) -> None:
    async with stream.consumed():
        await stream.produce(
            a_text("one", event_id="waits"), a_text("two", event_id="answered"), key=b"k"
        )
        await stream.accepted(2)
        for held in await claim(stream):
            await fail(stream, held)
        await stream.command("dlq", "replay", "--all", "--stream", "reviews")
        await until(lambda: accepted_again(stream, "answered"), "accepted again")
        await stream.tools.inbox.finish(
            [an_answer(held) for held in await claim(stream) if held.event.id == "answered"]
        )

    ran = await stream.command("dlq", "replay", "--all", "--stream", "reviews", "--json")

    assert ran.json()["counts"] == {"under_way": 1, "answered": 1}
    assert await state_of(stream, "answered") is State.SUCCESS


async def test_a_conflict_does_not_forget_the_event_that_has_the_id(stream: Stream) -> None:
    async with stream.consumed():
        await stream.produce(
            a_text("first", event_id="a"), a_text("second", event_id="a"), key=b"k"
        )
        await stream.dead_letters(1)

    ran = await stream.command("dlq", "replay", "--id", "a", "--stream", "reviews")

    assert "its id still belongs to another event" in ran.out
    assert await state_of(stream, "a") is State.PENDING


async def test_a_dry_run_does_nothing(stream: Stream) -> None:
    async with stream.consumed():
        await stream.produce(a_text("text", event_id="e-1"))
        await stream.accepted(1)
        await fail(stream, (await claim(stream))[0])

        ran = await stream.command("dlq", "replay", "--all", "--dry-run", "--stream", "reviews")

    assert "1 of 1 dead letters would be replayed" in ran.out
    assert await state_of(stream, "e-1") is State.FAILURE


async def test_mistakes_are_answered_with_a_sentence(stream: Stream) -> None:
    nothing = await stream.command("dlq", "replay", "--stream", "reviews")
    no_stream = await stream.command("dlq", "list", "--stream", "nosuch")
    no_position = await stream.command("dlq", "show", "17", "--stream", "reviews")
    no_setting = await stream.command(
        "dlq", "list", "--stream", "reviews", KAFKA_BOOTSTRAP_SERVERS=""
    )
    no_broker = await stream.command(
        "dlq", "list", "--stream", "reviews", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1"
    )

    assert (nothing.code, "--all" in nothing.err) == (2, True)
    assert (no_stream.code, "there are: reviews" in no_stream.err) == (1, True)
    assert (no_position.code, "PARTITION:OFFSET" in no_position.err) == (2, True)
    assert (no_setting.code, "KAFKA_BOOTSTRAP_SERVERS" in no_setting.err) == (2, True)
    assert (no_broker.code, "did not give" in no_broker.err) == (3, True)


async def test_of_the_same_event_failed_twice_only_the_newest_letter_is_replayed(
    stream: Stream,
) -> None:
    async with stream.consumed():
        await stream.produce(a_text("text", event_id="e-1"))
        await stream.accepted(1)
        [held] = await claim(stream)
        await fail(stream, held)
        await fail(stream, held)

        ran = await stream.command("dlq", "replay", "--all", "--stream", "reviews", "--json")
        await until(lambda: accepted_again(stream, "e-1"), "accepted again")

    assert ran.json()["counts"] == {"newer_one": 1, "replayed": 1}


async def test_many_dead_letters_are_replayed_in_batches(stream: Stream) -> None:
    async with stream.consumed():
        values = [a_text(f"text {number}", task_type="poetry") for number in range(1200)]
        await stream.produce(*values)
        await stream.dead_letters(1000)
        await until(lambda: counted(stream, 1200), "all dead-lettered")
        poetic = stream.spec.model_copy(update={"task": Task(type="poetry", prompt="Rhyme.")})
        await stream.registry.write({"reviews": poetic})

    ran = await stream.command("dlq", "replay", "--all", "--stream", "reviews", "--json")
    async with stream.consumed():
        counters = await stream.accepted(1200)

    assert ran.json()["counts"] == {"replayed": 1200}
    assert counters.duplicates == 0


async def counted(stream: Stream, letters: int) -> bool:
    return (await stream.counters()).dead_lettered == letters


async def test_two_replays_at_once_do_not_cancel_what_is_on_its_way_again(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    again: list[Held] = []

    async def seen_before_the_other_replayed(
        results: Results, letters: Sequence[DeadLetter]
    ) -> list[TaskStatus | None]:
        seen = await statuses(results, letters)
        monkeypatch.undo()
        await stream.command("dlq", "replay", "--all", "--stream", "reviews")
        await until(lambda: accepted_again(stream, "e-1"), "accepted again")
        again.extend(await claim(stream))
        return seen

    async with stream.consumed():
        await stream.produce(a_text("text", event_id="e-1"))
        await stream.accepted(1)
        await fail(stream, (await claim(stream))[0])
        monkeypatch.setattr(dead_letters, "statuses", seen_before_the_other_replayed)

        replaying = replay_letters(
            stream.tools, stream.dead_letter_topic, stream.topic, Selection()
        )
        [[(_, fate)]] = [batch async for batch in replaying]

    assert fate is Fate.UNDER_WAY
    assert await stream.tools.inbox.finish([an_answer(held) for held in again]) == [True]
    assert (await stream.counters()).open == 0
