"""What makes two answers interchangeable, and what can't be served."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from eventstream.errors import ConfigurationError, Reason
from eventstream.events import Event
from eventstream.keys import Keys
from eventstream.llm.contract import FloatArray
from eventstream.llm.models import CallFailed, Models
from eventstream.redis_client import connect
from eventstream.settings import Settings
from eventstream.spec import Budget, Limits, Model, StreamSpec, Task


class Local:
    """A local model's names; nobody asks it anything here."""

    name = "local/all-MiniLM-L6-v2"
    embedding_name = "all-MiniLM-L6-v2"
    dimension = 384

    def embed(self, texts: Sequence[str]) -> FloatArray:
        return np.ones((len(texts), 384), dtype=np.float32) / np.float32(384**0.5)

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def answer(self, request: Any) -> Any:
        raise AssertionError("not asked")


class Planner:
    """Models that are never connected to anything."""

    def models(self, local: Local | None = None, **settings: Any) -> Models:
        redis = connect("redis://127.0.0.1:1/0", timeout_seconds=1)
        return Models(Settings(**settings), redis, Keys(), local=local, environment={})


@pytest.fixture
def planner() -> Planner:
    return Planner()


def event(**fields: Any) -> Event:
    return Event(
        **{
            "id": "e",
            "stream": "reviews",
            "via": "http",
            "text": "text",
            "task_type": "general_analysis",
            "temperature": 0.7,
            "max_tokens": 1000,
            **fields,
        }
    )


def test_a_plan(planner: Planner) -> None:
    plan = planner.models(openai_api_key="k").plan(event(), StreamSpec())
    assert (plan.provider, plan.model, plan.display_model) == (
        "openai", "gpt-4o-mini", "gpt-4o-mini",
    )  # fmt: skip
    assert plan.embedding_name == "text-embedding-3-small"
    assert plan.prompt_version.startswith("general_analysis.v1-")


def test_the_local_model_says_so(planner: Planner) -> None:
    plan = planner.models(Local()).plan(event(), StreamSpec())
    assert plan.display_model == "local/all-MiniLM-L6-v2"
    assert plan.embedding_name == "all-MiniLM-L6-v2"


def test_parameters_tell_answers_apart_where_they_matter(planner: Planner) -> None:
    def digest(models: Models, **fields: Any) -> str:
        return models.plan(event(**fields), StreamSpec()).parameters_digest

    asked, local = planner.models(openai_api_key="k"), planner.models(Local())
    assert digest(asked) == digest(asked)
    assert digest(asked) != digest(asked, temperature=0.0)
    assert digest(asked) != digest(asked, max_tokens=10)
    assert digest(asked) != digest(asked, temperature=0.7000001)
    assert digest(local) == digest(local, temperature=0.0)


@pytest.mark.parametrize("temperature", [0, 0.0, 0.1, 0.7, 1.0, 1.25, 2.0])
def test_what_was_kept_before_is_found_by_the_same_parameters(
    planner: Planner, temperature: float
) -> None:
    models = planner.models(openai_api_key="k")
    digest = models.plan(event(temperature=temperature), StreamSpec()).parameters_digest
    written = f"{temperature:g}/1000"
    assert digest == hashlib.sha256(written.encode()).hexdigest()[:12]


def test_the_same_model_at_another_server_is_another(planner: Planner) -> None:
    def digest(**settings: Any) -> str:
        models = planner.models(openai_api_key="k", **settings)
        return models.plan(event(), StreamSpec()).parameters_digest

    elsewhere = digest(openai_base_url="http://10.0.0.7:8000/v1")

    assert digest(openai_base_url="https://api.openai.com/v1") == digest()
    assert elsewhere not in (digest(), digest(openai_base_url="http://10.0.0.8:8000/v1"))


def test_a_caller_may_name_an_allowed_model(planner: Planner) -> None:
    spec = StreamSpec(model=Model(allow=("gpt-4o",)))
    models = planner.models(openai_api_key="k")
    assert models.plan(event(model="gpt-4o"), spec).model == "gpt-4o"


def test_what_a_stream_no_longer_takes_is_a_failure(planner: Planner) -> None:
    models = planner.models(openai_api_key="k")
    with pytest.raises(CallFailed, match="does not allow model 'gpt-4o'") as failure:
        models.plan(event(model="gpt-4o"), StreamSpec())
    assert failure.value.reason is Reason.MODEL_NOT_ALLOWED
    with pytest.raises(CallFailed, match="no task type 'stars'") as failure:
        models.plan(event(task_type="stars"), StreamSpec())
    assert failure.value.reason is Reason.UNKNOWN_TASK_TYPE


@pytest.mark.parametrize(
    ("spec", "settings", "says"),
    [
        (StreamSpec(), {}, "the local model is not on this machine"),
        (StreamSpec(model=Model(provider="gemini")), {}, "GOOGLE_API_KEY"),
        (StreamSpec(), {"openai_api_key": "k", "vector_dimension": 384}, "VECTOR_DIMENSION"),
        (
            StreamSpec(model=Model(name="gpt-17"), limits=Limits(budget=Budget(usd=1))),
            {"openai_api_key": "k"},
            "PRICE_LIST",
        ),
        (
            StreamSpec(model=Model(allow=("gpt-17",)), limits=Limits(budget=Budget(usd=1))),
            {"openai_api_key": "k"},
            "gpt-17",
        ),
    ],
)
def test_a_stream_that_cannot_be_served_is_found_at_the_start(
    planner: Planner, spec: StreamSpec, settings: Any, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        planner.models(**settings).check(spec)


def test_a_stream_that_can_be_served_passes(planner: Planner) -> None:
    spec = StreamSpec(task=Task(type="classification", labels=("a", "b")),
                      limits=Limits(budget=Budget(usd=20)))  # fmt: skip
    planner.models(Local()).check(spec)
    planner.models(openai_api_key="k").check(spec)


async def test_the_local_models_vectors(planner: Planner) -> None:
    models = planner.models(Local())
    embedder = models.embedder(StreamSpec())
    assert embedder is not None
    assert (await embedder.embed(["a", "b"])).shape == (2, 384)
    await models.aclose()


def test_vectors_say_which_server_of_one_name_made_them(planner: Planner) -> None:
    def server(spec: StreamSpec, **settings: Any) -> str:
        embedder = planner.models(openai_api_key="k", **settings).embedder(spec)
        assert embedder is not None
        return embedder.server

    assert server(StreamSpec()) == ""
    there = "http://10.0.0.7:8000/v1"
    assert server(StreamSpec(), openai_base_url=there) == there


def test_without_any_embeddings_there_is_no_embedder(planner: Planner) -> None:
    assert planner.models(huggingface_token="hf").embedder(StreamSpec()) is None
