"""Prices as data, cost in whole micro-dollars."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from eventstream.errors import ConfigurationError
from eventstream.llm.cost import Tokens, load_price_list
from eventstream.settings import Settings
from eventstream.spec import Provider


@pytest.mark.parametrize(
    ("provider", "model", "tokens", "microdollars"),
    [
        ("openai", "gpt-4o-mini", Tokens(1_000_000, 0), 150_000),
        ("openai", "gpt-4o-mini", Tokens(0, 1_000_000), 600_000),
        ("openai", "gpt-4o-mini", Tokens(1, 0), 1),
        ("openai", "gpt-4o-mini", Tokens(0, 0), 0),
        ("openai", "gpt-4o-mini", Tokens(1000, 100, cached_prompt=400), 180),
        ("openai", "gpt-3.5-turbo", Tokens(1000, 0, cached_prompt=1000), 500),
        ("openai", "gpt-4o-mini-2024-07-18", Tokens(1000, 100), 210),
        ("openai", "gpt-4o-2024-05-13", Tokens(1000, 100), 6500),
        ("openai", "gpt-4o-2024-08-06", Tokens(1000, 100), 3500),
        ("openai", "text-embedding-3-small", Tokens(1_000_000), 20_000),
        ("gemini", "models/gemini-2.0-flash", Tokens(1000, 100), 140),
        ("huggingface", "openai/gpt-oss-20b:groq", Tokens(1000, 1000), 600),
        ("local", "local/all-MiniLM-L6-v2", Tokens(1000, 1000), 0),
        ("openai", "gpt-17", Tokens(1000, 1000), None),
        ("compatible", "gpt-4o-mini", Tokens(1000, 1000), None),
    ],
)
def test_cost(provider: Provider, model: str, tokens: Tokens, microdollars: int | None) -> None:
    assert load_price_list(None).cost_microdollars(provider, model, tokens) == microdollars


def test_models_that_settings_name_by_default_have_prices() -> None:
    prices, settings = load_price_list(None), Settings()
    for model in (settings.openai_model, settings.openai_embedding_model):
        assert prices.price("openai", model)
    for model in (settings.gemini_model, settings.gemini_embedding_model):
        assert prices.price("gemini", model)
    assert prices.price("huggingface", settings.huggingface_model)


def test_a_missing_price_is_said_once() -> None:
    prices = load_price_list(None)
    with capture_logs() as lines:
        for _ in range(3):
            prices.price("openai", "gpt-17")
    assert [line["model"] for line in lines] == ["gpt-17"]


def test_a_price_list_adds_and_replaces(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(
        "openai: {gpt-4o-mini: {input: 1, output: 2}}\ncompatible: {llama3: {input: 0.5}}\n"
    )
    prices = load_price_list(file)
    assert prices.cost_microdollars("openai", "gpt-4o-mini", Tokens(10, 10)) == 30
    assert prices.cost_microdollars("compatible", "llama3", Tokens(10, 10)) == 5
    assert prices.price("openai", "gpt-4o") is not None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("openai: {m: {input: -1}}", "openai.m.input"),
        ("openai: {m: {inputs: 1}}", "openai.m.input"),
        ("nobody: {m: {input: 1}}", "nobody"),
        ("[", "neither YAML nor JSON"),
        ("- a", "the document"),
    ],
)
def test_a_wrong_price_list_is_named(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=says) as error:
        load_price_list(file)
    assert "prices.yaml" in str(error.value)
    with pytest.raises(ConfigurationError, match="can't be read"):
        load_price_list(tmp_path / "absent.yaml")
