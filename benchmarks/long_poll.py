"""A long poll: from the result being stored to the response being read, with 100 waiting.

A hundred clients wait with `GET /task/{id}?wait=` on one API process. Their events are finished one
after the other, as a worker does it; the clock runs from the moment at which Redis confirmed the
result.
"""

from __future__ import annotations

import asyncio
import statistics
import time

import orjson

from benchmarks.api import API_KEY
from benchmarks.figures import Figure, Section, Spread, at_most, number, quantile
from benchmarks.options import Options
from benchmarks.parts import parts
from benchmarks.streams import KEYS
from eventstream.claims import Answered, Arrival, Held
from eventstream.events import ProcessRequest, Result
from eventstream.inbox import Inbox
from eventstream.incoming import event_from_request
from eventstream.keys import QUEUE_HTTP
from eventstream.redis_client import connect
from eventstream.spec import StreamSpec

NAME = "long_poll"
TITLE = "Long poll: result stored to response read"
WHERE = (
    "one message on the channel wakes the waiting requests; each then reads its status and result"
    " from Redis and answers"
)
WAITING = 100


async def run(options: Options) -> Section:
    """Measure; see the module."""
    rounds, waiting = options.pick((8, WAITING), (3, WAITING), (1, 10))
    with parts(API_KEYS=API_KEY) as made:
        _, state = made.stores()
        _, port = made.api()
        client = connect(state.url(2), timeout_seconds=30)
        inbox = Inbox(client, KEYS, result_ttl_seconds=600, lease_seconds=600)
        found = [await _round(inbox, port, number, waiting) for number in range(rounds + 1)][1:]
        await client.aclose()
    p50 = Spread.of([statistics.median(each) for each in found])
    p99 = Spread.of([quantile(each, 0.99) for each in found])
    return Section(
        name=NAME,
        title=TITLE,
        figures=(
            Figure("p50", p50, rounds, unit="ms", reach=at_most(10)),
            Figure("p99", p99, rounds, unit="ms", reach=at_most(50)),
        ),
        conditions=(
            f"{number(waiting)} clients wait on one API process, one connection each; results are"
            " stored 10 ms apart. A time, not a ratio: it is as good as the machine was quiet"
        ),
        where_the_time_goes=WHERE,
    )


async def _round(inbox: Inbox, port: int, turn: int, waiting: int) -> list[float]:
    """Milliseconds from stored to read, of so many waiting clients."""
    spec = StreamSpec()
    ids = [f"poll-{turn}-{index}" for index in range(waiting)]
    await inbox.accept(
        [
            Arrival(event_from_request(ProcessRequest(text="A text."), spec, event_id=event_id))
            for event_id in ids
        ]
    )
    claim = await inbox.claim(QUEUE_HTTP, "bench", waiting)
    reading = {event_id: asyncio.create_task(_poll(port, event_id)) for event_id in ids}
    # Until all of them wait: an answer that is there already is no poll.
    await asyncio.sleep(1.0)
    stored = {}
    for held in claim.fresh:
        await inbox.finish([_answered(held)])
        stored[held.event.id] = time.perf_counter()
        await asyncio.sleep(0.01)
    return [(await reading[event_id] - stored[event_id]) * 1000 for event_id in ids]


async def _poll(port: int, event_id: str) -> float:
    """When the response was read whole."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"GET /task/{event_id}?wait=60 HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        f"authorization: Bearer {API_KEY}\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
    body = await reader.readexactly(length)
    at = time.perf_counter()
    writer.close()
    if orjson.loads(body)["status"] != "SUCCESS":
        raise RuntimeError("a poll ended without its result: this is no figure")
    return at


def _answered(held: Held) -> Answered:
    result = Result(
        response="positive",
        task_type=held.event.task_type,
        model="bench-model",
        processing_time=0.001,
        from_cache=False,
    )
    return Answered(held=held, result=result, source="model")
