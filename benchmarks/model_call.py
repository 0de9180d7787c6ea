"""A model call: what ours costs over the bare openai client's, in CPU and in time.

Ours is the whole call as a worker makes it: prompt, shared limits in Redis, the HTTP call, the
answer held to its form, tokens and cost counted, metrics. The bare client gets the same messages
and does nothing else. Both in this process, to the same provider, which answers at once.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable

import openai

from benchmarks.figures import Figure, Pairs, Section, at_most, number, side
from benchmarks.options import Options
from benchmarks.parts import RedisServer, parts
from benchmarks.provider import EMBEDDING_MODEL, KEY, MODEL
from benchmarks.streams import KEYS, texts
from eventstream.events import ProcessRequest
from eventstream.incoming import event_from_request
from eventstream.llm.client import ChatRequest, ProviderClient
from eventstream.llm.models import Models
from eventstream.llm.prompts import form_of
from eventstream.llm.providers import resolve_endpoint
from eventstream.redis_client import connect
from eventstream.settings import load_settings
from eventstream.spec import StreamSpec

NAME = "model_call"
TITLE = "Model call beside the bare openai client"
WHERE = (
    "three round trips to Redis (the shared limit before, usage and settlement after), each with a"
    " system call and redis-py's work around it; the provider's HTTP is about a quarter"
)
AT_ONCE = 32
Call = Callable[[int], Awaitable[object]]


async def cpu_us(call: Call, calls: int) -> float:
    """Microseconds of this process's CPU a call, `AT_ONCE` under way."""
    numbers = iter(range(calls))

    async def caller() -> None:
        for index in numbers:
            await call(index)

    began = time.process_time()
    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    return (time.process_time() - began) / calls * 1e6


async def p50_ms(call: Call, calls: int) -> float:
    """The median time of a call, one after the other."""
    took = []
    for index in range(calls):
        began = time.perf_counter()
        await call(index)
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


async def run(options: Options) -> Section:
    """Measure; see the module."""
    pairs, calls, alone = options.pick((9, 800, 200), (3, 320, 80), (1, 32, 10))
    with parts() as made:
        state = made.redis("state")
        made.provider()
        os.environ.update(made.environment)
        return await _measure(options, state, pairs, calls, alone)


async def _measure(
    options: Options, state: RedisServer, pairs: int, calls: int, alone: int
) -> Section:
    settings = load_settings(celery_result_backend=state.url(2))
    redis = connect(settings.state_url, timeout_seconds=30)
    models = Models(settings, redis, KEYS, local=None, environment=os.environ)
    spec = StreamSpec()
    events = [
        event_from_request(
            ProcessRequest(text=text, task_type="sentiment_analysis"), spec, event_id=f"m{index}"
        )
        for index, text in enumerate(texts(200))
    ]
    form = form_of("sentiment_analysis", spec)
    endpoint = resolve_endpoint(spec, settings, os.environ, "")
    transport = ProviderClient(endpoint, os.environ)
    bare = openai.AsyncOpenAI(api_key=KEY, base_url=endpoint.base_url, max_retries=0)
    plan = models.plan(events[0], spec)

    async def ours(index: int) -> object:
        event = events[index % len(events)]
        return await models.answer(event, spec, plan, deadline=time.monotonic() + 60)

    async def only_sent(index: int) -> object:
        messages = form.messages(events[index % len(events)].text)
        return await transport.chat(ChatRequest(MODEL, messages, 0.7, 1000), timeout_seconds=60)

    async def theirs(index: int) -> object:
        answer = await bare.chat.completions.create(
            model=MODEL,
            messages=form.messages(events[index % len(events)].text),  # type: ignore[arg-type]
            temperature=0.7,
            max_tokens=1000,
        )
        return answer.choices[0].message.content

    for call in (ours, only_sent, theirs):
        await cpu_us(call, AT_ONCE * 2)
    cpu, sent, waited = Pairs(), Pairs(), Pairs()
    for turn in range(pairs):
        sides = [("ours", ours), ("theirs", theirs), ("sent", only_sent)]
        found = {name: await cpu_us(call, calls) for name, call in sides[:: (-1) ** turn]}
        cpu.add(found["ours"], found["theirs"])
        sent.add(found["sent"], found["theirs"])
        alone_found = {name: await p50_ms(call, alone) for name, call in sides[:2][:: (-1) ** turn]}
        waited.add(alone_found["ours"], alone_found["theirs"])
    await models.aclose()
    await transport.aclose()
    await bare.close()
    await redis.aclose()
    return Section(
        name=NAME,
        title=TITLE,
        figures=(
            Figure(
                "CPU of a whole call ÷ the bare openai client's",
                cpu.ratio,
                len(cpu),
                reach=at_most(0.5),
                ours=side(cpu.ours, "us"),
                theirs=side(cpu.theirs, "us"),
                beside=f"{AT_ONCE} calls at once",
            ),
            Figure(
                "CPU of sending and reading alone ÷ the bare openai client's",
                sent.ratio,
                len(sent),
                ours=side(sent.ours, "us"),
                theirs=side(sent.theirs, "us"),
            ),
            Figure(
                "p50 of a whole call over the bare openai client's, one at a time",
                waited.difference,
                len(waited),
                unit="ms",
                reach=at_most(1.0),
                ours=side(waited.ours, "ms"),
                theirs=side(waited.theirs, "ms"),
            ),
        ),
        conditions=(
            f"{calls} calls a side and turn at {AT_ONCE} at once, {alone} one after the other; the"
            f" provider is a process of its own and answers at once; embeddings"
            f" ({EMBEDDING_MODEL}) are not part of it. Bare: openai.AsyncOpenAI with its defaults"
            f" but for retries (off), {number(1)} attempt a call on both sides"
        ),
        where_the_time_goes=WHERE,
    )
