"""A model provider that takes its time: OpenAI's protocol over HTTP, as a program for a pod.

It runs alone in the worker's image (which has aiohttp), mounted from a ConfigMap. Every question
is answered after `LATENCY_SECONDS`; `GET /journal` tells how often each text was asked, so that a
test can see whether an event was paid for twice.
"""

import asyncio
import os
from collections import Counter
from typing import Any

from aiohttp import web

LATENCY_SECONDS = float(os.environ.get("LATENCY_SECONDS", "1"))
asked: Counter[str] = Counter()


async def complete(request: web.Request) -> web.Response:
    """One chat completion: the last message is the text."""
    body: dict[str, Any] = await request.json()
    text = str(body["messages"][-1]["content"])
    asked[text] += 1
    await asyncio.sleep(LATENCY_SECONDS)
    return web.json_response(
        {
            "id": f"chatcmpl-{asked.total()}",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": "neutral"},
                }
            ],
            "usage": {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25},
        }
    )


async def journal(_: web.Request) -> web.Response:
    """How many questions there were, and how many different ones."""
    return web.json_response({"questions": asked.total(), "different": len(asked)})


application = web.Application()
application.add_routes([web.post("/v1/chat/completions", complete), web.get("/journal", journal)])
web.run_app(application, port=8080, print=None)
