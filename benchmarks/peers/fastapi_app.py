"""Plain FastAPI, as its manual shows it: one route with one Redis SET, one that calls a task.

`PEER_REDIS` names the server of the SET, `PEER_BROKER` Celery's broker. Nothing here checks keys,
counts, logs requests or makes sure of anything: it is what accepting an event costs at least.
"""

from __future__ import annotations

import os
import uuid
from typing import Annotated

import redis.asyncio
from fastapi import FastAPI
from pydantic import BaseModel, Field

from benchmarks.peers.celery_app import noop

app = FastAPI()
_redis = redis.asyncio.Redis.from_url(os.environ["PEER_REDIS"])


class Request(BaseModel):
    """The documented body."""

    text: Annotated[str, Field(min_length=1)]
    task_type: str = "general_analysis"
    use_cache: bool = True
    model: str | None = None
    temperature: float = 0.7
    max_tokens: int = 1000


@app.post("/set", status_code=202)
async def set_one(request: Request) -> dict[str, str]:
    """Accept with one SET."""
    task_id = str(uuid.uuid4())
    await _redis.set(f"task:{task_id}", request.text)
    return {"task_id": task_id, "status": "pending", "message": "Accepted"}


@app.post("/delay", status_code=202)
async def delay(request: Request) -> dict[str, str]:
    """Accept with one task, sent from the handler."""
    result = noop.delay(request.text)
    return {"task_id": result.id, "status": "pending", "message": "Accepted"}
