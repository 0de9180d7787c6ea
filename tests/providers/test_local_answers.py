"""The same way of an answer with the real local model: no key, no network, no cost."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from eventstream.errors import Reason
from eventstream.events import Event
from eventstream.keys import Keys
from eventstream.llm.local import LocalModel
from eventstream.llm.models import CallFailed, ModelReply, Models
from eventstream.llm.spending import Spending
from eventstream.redis_client import AsyncRedis
from eventstream.settings import Settings
from eventstream.spec import Budget, Limits, StreamSpec, Task

NAME = "local/all-MiniLM-L6-v2"
REVIEW = "The parcel arrived broken and nobody answers my mails. I want my money back."


@pytest.fixture(scope="module")
def local_model() -> LocalModel:
    return LocalModel.load(None)


@pytest.fixture
async def models(
    local_model: LocalModel, redis_client: AsyncRedis, keys: Keys
) -> AsyncIterator[Models]:
    models = Models(Settings(), redis_client, keys, local=local_model, environment={})
    yield models
    await models.aclose()


async def ask(models: Models, spec: StreamSpec, task_type: str, text: str = REVIEW) -> ModelReply:
    fields: dict[str, Any] = {"temperature": 0.7, "max_tokens": 1000}
    event = Event(id="e", stream="s", via="http", text=text, task_type=task_type, **fields)
    plan = models.plan(event, spec)
    return await models.answer(event, spec, plan, deadline=time.monotonic() + 30)


@pytest.mark.parametrize(
    "task_type",
    ["summarization", "classification", "question_answering", "general_analysis"],
)
async def test_every_task_is_answered_under_its_own_name(models: Models, task_type: str) -> None:
    text = f"{REVIEW} What does the writer want?"
    reply = await ask(models, StreamSpec(), task_type, text)
    assert reply.response
    assert reply.model == NAME
    assert reply.cost_microdollars == 0
    assert reply.cacheable


async def test_sentiment_keeps_the_words_that_providers_are_given(models: Models) -> None:
    assert (await ask(models, StreamSpec(), "sentiment_analysis")).response == "negative"


async def test_labels_are_the_streams(models: Models) -> None:
    task = Task(type="classification", labels=("Praise", "Complaint"))
    assert (await ask(models, StreamSpec(task=task), "classification")).response == "Complaint"


async def test_what_it_can_not_do_is_a_failure_that_names_the_way_out(models: Models) -> None:
    schema = {"type": "object", "required": ["poem"],
              "properties": {"poem": {"type": "string", "pattern": "^Ode"}}}  # fmt: skip
    task = Task(type="poem", prompt="Write an ode.", output_schema=schema)
    with pytest.raises(CallFailed) as failure:
        await ask(models, StreamSpec(task=task), "poem")
    assert failure.value.reason in (Reason.PROVIDER_REFUSED, Reason.OUTPUT_INVALID)


async def test_usage_counts_tokens_and_no_money(
    models: Models, redis_client: AsyncRedis, keys: Keys
) -> None:
    spec = StreamSpec(limits=Limits(requests_per_minute=1, budget=Budget(usd=0.01)))
    for _ in range(3):
        await ask(models, spec, "sentiment_analysis")
    spending = Spending(redis_client, keys)
    usage = await spending.usage("s", spending.today())
    assert (usage.calls, usage.cost_microdollars) == (3, 0)
    assert usage.prompt_tokens > 0


async def test_vectors(models: Models) -> None:
    embedder = models.embedder(StreamSpec())
    assert embedder is not None
    assert embedder.name == NAME
    rows = await embedder.embed(["a parcel", "a package", "the moon"])
    assert rows.shape == (3, embedder.dimension)
    assert float(rows[0] @ rows[1]) > float(rows[0] @ rows[2])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)
