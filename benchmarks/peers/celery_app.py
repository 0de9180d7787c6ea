"""Plain Celery on Redis: a task that does nothing, and one that asks the model once.

The settings are those of our own worker where both have them: four prefork processes, prefetch 1,
late acknowledgement, JSON. `PEER_BROKER` names the broker; results are ignored, which is cheaper
for Celery than keeping them.
"""

from __future__ import annotations

import os

import openai
from celery import Celery

app = Celery("peer", broker=os.environ["PEER_BROKER"])
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    worker_concurrency=4,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 700},
    task_default_queue="peer",
)

_client: openai.OpenAI | None = None


@app.task(name="peer.noop")  # type: ignore[untyped-decorator]
def noop(text: str) -> None:
    """Nothing: what Celery itself costs."""


@app.task(name="peer.ask")  # type: ignore[untyped-decorator]
def ask(text: str) -> str | None:
    """One call of the model, as the openai package's manual has it."""
    global _client
    if _client is None:
        _client = openai.OpenAI()
    answer = _client.chat.completions.create(
        model=os.environ["OPENAI_MODEL"],
        messages=[
            {"role": "system", "content": "Classify the sentiment."},
            {"role": "user", "content": text},
        ],
        temperature=0.7,
        max_tokens=1000,
    )
    return answer.choices[0].message.content
