"""`eventstream send --kafka --wait`: every record gets its own answer, or its own refusal."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson

from eventstream.cli.arrivals import Arrived, wait_until_taken
from eventstream.cli.transports import Place
from eventstream.keys import queue_for
from tests.integration.cli.api_process import ApiProcess
from tests.kafka.harness import Stream, a_text
from tests.support.events import an_answer


async def test_a_text_under_an_id_that_is_in_use_does_not_get_the_other_text_s_answer(
    stream: Stream, tmp_path: Path
) -> None:
    texts = tmp_path / "texts.jsonl"
    texts.write_bytes(a_text("too late", event_id="o-17") + b"\n" + a_text("fine", event_id="o-18"))
    with ApiProcess(stream.environment()) as api:
        async with stream.consumed():
            await stream.produce(a_text("the first one", event_id="o-17"))
            await stream.accepted(1)
            sending = asyncio.create_task(
                stream.command(
                    *("send", str(texts), "--kafka", "--stream", "reviews", "--wait", "--json"),
                    EVENTSTREAM_URL=api.url,
                )
            )
            await stream.accepted(2)
            claim = await stream.tools.inbox.claim(queue_for("reviews", "kafka"), "worker", 10)
            await stream.tools.inbox.finish([an_answer(held) for held in claim.fresh])
            ran = await sending

    refused, answered = [orjson.loads(line) for line in ran.out.splitlines()]
    assert ran.code == 1
    assert (refused["line"], refused["status"]) == (1, "FAILURE")
    assert refused["progress"]["reason"] == "id_conflict"
    assert (answered["line"], answered["status"]) == (2, "SUCCESS")


async def test_records_that_no_consumer_takes_are_waited_for_once_and_not_one_by_one(
    stream: Stream,
) -> None:
    await stream.produce(a_text("one"), a_text("two"))
    places = [Place(partition, offset) for partition in range(3) for offset in range(2)]

    came = await wait_until_taken(
        stream.settings, "reviews", stream.spec, places, {}, patience_seconds=0.2
    )

    assert came == Arrived({}, frozenset(places))
