"""Which provider answers a stream, at which address, with which key."""

from __future__ import annotations

from typing import Any

import pytest

from eventstream.errors import ConfigurationError
from eventstream.llm.providers import (
    NO_KEY,
    choose_provider,
    embedding_dimension,
    embedding_model,
    resolve_endpoint,
)
from eventstream.settings import Settings
from eventstream.spec import KeySource, Model, StreamSpec

LOCAL = "local/all-MiniLM-L6-v2"


def stream(**model: Any) -> StreamSpec:
    return StreamSpec(model=Model(**model))


OWN = {"provider": "compatible", "base_url": "http://ollama:11434/v1", "name": "llama3"}
OPENAI = {"openai_api_key": "sk-o"}
ALL = {**OPENAI, "google_api_key": "g", "huggingface_token": "hf"}


@pytest.mark.parametrize(
    ("story", "model", "settings", "chosen"),
    [
        ("nothing at all: the local model", {}, {}, "local"),
        ("a key: its provider", {}, {"google_api_key": "g"}, "gemini"),
        ("several keys: OpenAI first", {}, ALL, "openai"),
        ("several keys: Gemini second", {}, {**ALL, "openai_api_key": None}, "gemini"),
        ("the setting is above keys", {}, {**ALL, "eventstream_provider": "local"}, "local"),
        ("the stream is above the setting", {"provider": "gemini"}, ALL, "gemini"),
        ("an address alone is compatible", {"base_url": "http://x/v1", "name": "m"}, ALL,
         "compatible"),
        ("local, named, in production", {"provider": "local"}, {"environment": "production"},
         "local"),
    ],
)  # fmt: skip
def test_choice(story: str, model: Any, settings: Any, chosen: str) -> None:
    assert choose_provider(stream(**model), Settings(**settings)) == chosen


def test_production_does_not_slide_into_the_local_model() -> None:
    with pytest.raises(ConfigurationError, match="EVENTSTREAM_PROVIDER=local"):
        choose_provider(StreamSpec(), Settings(environment="production"))


@pytest.mark.parametrize(
    ("story", "model", "settings", "environment", "base_url", "name", "key"),
    [
        ("OpenAI as documented", {}, OPENAI, {},
         "https://api.openai.com/v1", "gpt-4o-mini", "sk-o"),
        ("Gemini as documented", {"provider": "gemini"}, ALL, {},
         "https://generativelanguage.googleapis.com/v1beta/openai/", "gemini-2.0-flash", "g"),
        ("Hugging Face as documented", {"provider": "huggingface"}, ALL, {},
         "https://router.huggingface.co/v1", "meta-llama/Llama-3.1-8B-Instruct", "hf"),
        ("a gateway for OpenAI", {}, {**OPENAI, "openai_base_url": "http://gw/v1"}, {},
         "http://gw/v1", "gpt-4o-mini", "sk-o"),
        ("the stream's model and key", {"provider": "openai", "name": "gpt-4o",
                                        "api_key_from": KeySource(env="TEAM")}, OPENAI,
         {"TEAM": "sk-t"}, "https://api.openai.com/v1", "gpt-4o", "sk-t"),
        ("a Secret that the operator put in", {"provider": "openai",
                                               "api_key_from": KeySource(secret="s", key="k")},
         OPENAI, {"EVENTSTREAM_STREAM_API_KEY": "sk-s"}, "https://api.openai.com/v1",
         "gpt-4o-mini", "sk-s"),
        ("a Secret, on a laptop", {"provider": "openai",
                                   "api_key_from": KeySource(secret="s", key="k")},
         OPENAI, {}, "https://api.openai.com/v1", "gpt-4o-mini", "sk-o"),
        ("a compatible server never gets OpenAI's key", OWN, ALL, {},
         "http://ollama:11434/v1", "llama3", NO_KEY),
        ("a compatible server with its own", {**OWN, "api_key_from": KeySource(env="TEAM")}, ALL,
         {"TEAM": "sk-t"}, "http://ollama:11434/v1", "llama3", "sk-t"),
        ("a compatible server from the settings", {},
         {"eventstream_provider": "compatible", "openai_base_url": "http://v/v1",
          "openai_model": "qwen"}, {}, "http://v/v1", "qwen", NO_KEY),
    ],
)  # fmt: skip
def test_endpoint(
    story: str, model: Any, settings: Any, environment: Any, base_url: str, name: str, key: str
) -> None:
    endpoint = resolve_endpoint(stream(**model), Settings(**settings), environment, LOCAL)
    assert (endpoint.base_url, endpoint.model, endpoint.key) == (base_url, name, key)


@pytest.mark.parametrize(
    ("model", "settings", "says"),
    [
        ({"provider": "openai"}, {}, "Set OPENAI_API_KEY"),
        ({"provider": "gemini"}, OPENAI, "Set GOOGLE_API_KEY"),
        ({"provider": "openai", "api_key_from": KeySource(env="TEAM")}, OPENAI, "TEAM: is not set"),
        ({"base_url": "http://x/v1"}, OPENAI, "must name its model"),
        ({}, {"eventstream_provider": "compatible"}, "Set OPENAI_BASE_URL"),
    ],
)
def test_what_is_missing_is_named(model: Any, settings: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        resolve_endpoint(stream(**model), Settings(**settings), {}, LOCAL)


def test_a_key_loses_the_line_break_that_a_secret_often_ends_in() -> None:
    endpoint = resolve_endpoint(StreamSpec(), Settings(openai_api_key="sk-1\n"), {}, LOCAL)
    assert endpoint.key == "sk-1"


@pytest.mark.parametrize("key", ["sk-1\nsk-2", "sk-\u200b1", "sk-ñ"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ConfigurationError, match="one line of ASCII") as refused:
        resolve_endpoint(StreamSpec(), Settings(openai_api_key=key), {}, LOCAL)
    assert "sk-" not in str(refused.value)


def test_accounts_have_buckets_of_their_own_that_do_not_show_the_key() -> None:
    one, same, other = (
        resolve_endpoint(StreamSpec(), Settings(openai_api_key=key), {}, LOCAL)
        for key in ("sk-1", "sk-1", "sk-2")
    )
    assert one.bucket("gpt-4o") == same.bucket("gpt-4o")
    assert len({one.bucket("gpt-4o"), other.bucket("gpt-4o"), one.bucket("gpt-4o-mini")}) == 3
    assert "sk-1" not in one.bucket("gpt-4o") + repr(one)


@pytest.mark.parametrize(
    ("name", "takes"),
    [("gpt-4o-mini", True), ("gpt-5-mini", False), ("gpt-5-chat-latest", True), ("o4-mini", False)],
)
def test_reasoning_models_are_sent_no_temperature(name: str, takes: bool) -> None:
    endpoint = resolve_endpoint(StreamSpec(), Settings(**OPENAI), {}, LOCAL)  # type: ignore[arg-type]
    assert endpoint.takes_temperature(name) is takes


@pytest.mark.parametrize(
    ("story", "model", "settings", "embeds_with"),
    [
        ("OpenAI has its own", {}, OPENAI, "text-embedding-3-small"),
        ("Gemini has its own", {"provider": "gemini"}, ALL, "gemini-embedding-001"),
        ("Hugging Face's router has none", {"provider": "huggingface"}, ALL, None),
        ("a compatible server might have any", OWN, {}, None),
        ("a compatible server, asked for", OWN,
         {"eventstream_embeddings": "provider", "openai_embedding_model": "nomic"}, "nomic"),
        ("local ones wanted", {}, {**OPENAI, "eventstream_embeddings": "local"}, None),
        ("no key", {}, {}, None),
    ],
)  # fmt: skip
def test_embeddings(story: str, model: Any, settings: Any, embeds_with: str | None) -> None:
    configured = Settings(**settings)
    endpoint = resolve_endpoint(stream(**model), configured, {}, LOCAL)
    assert embedding_model(endpoint, configured) == embeds_with


def test_embeddings_that_a_provider_does_not_have_are_not_promised() -> None:
    settings = Settings(**ALL, eventstream_embeddings="provider")  # type: ignore[arg-type]
    endpoint = resolve_endpoint(stream(provider="huggingface"), settings, {}, LOCAL)
    with pytest.raises(ConfigurationError, match="EVENTSTREAM_EMBEDDINGS=local"):
        embedding_model(endpoint, settings)


def test_dimensions() -> None:
    assert embedding_dimension("text-embedding-3-small", Settings()) == 1536
    assert embedding_dimension("own", Settings(vector_dimension=768)) == 768
    with pytest.raises(ConfigurationError, match="Set VECTOR_DIMENSION"):
        embedding_dimension("own", Settings())
    with pytest.raises(ConfigurationError, match="gives vectors of 1536"):
        embedding_dimension("text-embedding-3-small", Settings(vector_dimension=384))
