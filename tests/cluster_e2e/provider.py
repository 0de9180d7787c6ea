"""A model provider for a pod: OpenAI's protocol over HTTP, slow, and with limits of its own.

It runs alone in the worker's image (which has aiohttp), mounted from a ConfigMap. Every question
is answered after `LATENCY_SECONDS`, with two exceptions:

- a text with the word `forbidden` is refused (400);
- the model `busy-1` answers `ALLOWANCE` questions in any minute, and the rest with 429 and a
  Retry-After; `GET /allowance/NUMBER` changes that.

`GET /journal` tells how often each model was asked, and about how many different texts, so that a
test can see whether an event was paid for twice.
"""

import asyncio
import hashlib
import math
import os
import re
import time
from collections import Counter, defaultdict, deque
from typing import Any

from aiohttp import web

LATENCY_SECONDS = float(os.environ.get("LATENCY_SECONDS", "1"))
LIMITED_MODEL = "busy-1"
MINUTE_SECONDS = 60.0
DIMENSION = 1536

asked: defaultdict[str, Counter[str]] = defaultdict(Counter)
admitted: deque[float] = deque()
allowance = [int(os.environ.get("ALLOWANCE", "60"))]


async def complete(request: web.Request) -> web.Response:
    """One chat completion: the last message is the text."""
    body: dict[str, Any] = await request.json()
    text, model = str(body["messages"][-1]["content"]), str(body["model"])
    if model == LIMITED_MODEL and (seconds := seconds_to_wait()):
        return refusal(429, "too many requests", {"Retry-After": str(seconds)})
    if "forbidden" in text:
        return refusal(400, "this text is not answered here", {})
    asked[model][text] += 1
    await asyncio.sleep(LATENCY_SECONDS)
    prompt = sum(len(str(message["content"])) for message in body["messages"]) // 4
    return web.json_response(
        {
            "id": f"chatcmpl-{asked[model].total()}",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": "neutral"},
                }
            ],
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": 5,
                "total_tokens": prompt + 5,
            },
        }
    )


def seconds_to_wait() -> int:
    """0, and the question counts, while fewer than the allowance were let in within a minute."""
    now = time.monotonic()
    while admitted and admitted[0] <= now - MINUTE_SECONDS:
        admitted.popleft()
    if len(admitted) < allowance[0]:
        admitted.append(now)
        return 0
    return math.ceil(admitted[0] + MINUTE_SECONDS - now)


def refusal(status: int, message: str, headers: dict[str, str]) -> web.Response:
    """An error as OpenAI's servers word it."""
    return web.json_response({"error": {"message": message}}, status=status, headers=headers)


async def embed(request: web.Request) -> web.Response:
    """Vectors in which texts with the same words are near each other."""
    body: dict[str, Any] = await request.json()
    data = [
        {"object": "embedding", "index": number, "embedding": vector(text)}
        for number, text in enumerate(body["input"])
    ]
    words = sum(len(text.split()) for text in body["input"])
    usage = {"prompt_tokens": words, "total_tokens": words}
    return web.json_response(
        {"object": "list", "model": body["model"], "data": data, "usage": usage}
    )


def vector(text: str) -> list[float]:
    """How often each word stands in a text, words thrown together by a digest."""
    counts = [0.0] * DIMENSION
    for word in re.findall(r"\w+", text.casefold()):
        place = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big") % DIMENSION
        counts[place] += 1.0
    return counts


async def journal(_: web.Request) -> web.Response:
    """Model -> how many questions there were, and how many different ones."""
    return web.json_response(
        {
            model: {"questions": texts.total(), "different": len(texts)}
            for model, texts in asked.items()
        }
    )


async def allow(request: web.Request) -> web.Response:
    """Another allowance."""
    allowance[0] = int(request.match_info["a_minute"])
    return web.json_response({"allowance": allowance[0]})


application = web.Application()
application.add_routes(
    [
        web.post("/v1/chat/completions", complete),
        web.post("/v1/embeddings", embed),
        web.get("/journal", journal),
        web.get("/allowance/{a_minute}", allow),
    ]
)
web.run_app(application, port=8080, print=None)
