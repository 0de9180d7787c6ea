"""What a call costs: a price list as data, and integer micro-dollars.

A price of 1 dollar for a million tokens is 1 micro-dollar a token, so cost is tokens times price,
rounded up a call. Prices are decimals: no float decides about a fraction of a cent. A model
without a price has no cost (None), never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from importlib import resources
from pathlib import Path
from typing import Annotated, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from eventstream.errors import ConfigurationError
from eventstream.logs import get_logger
from eventstream.spec import Provider

log = get_logger(__name__)

_Dollars = Annotated[Decimal, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
_DATED: Final = re.compile(r"-\d{4}-\d{2}-\d{2}$")


class Price(BaseModel):
    """Dollars for a million tokens (micro-dollars for one)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: _Dollars
    output: _Dollars = Decimal(0)
    cached_input: _Dollars | None = None
    """Left out: repeated prompts cost as much as new ones."""


class _PriceFile(RootModel[dict[Provider, dict[str, Price]]]):
    """provider -> model -> price."""


@dataclass(frozen=True)
class Tokens:
    """What one call used."""

    prompt: int = 0
    completion: int = 0
    cached_prompt: int = 0
    """The part of `prompt` that the provider had cached."""

    @property
    def total(self) -> int:
        """What a tokens-a-minute limit counts."""
        return self.prompt + self.completion

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.cached_prompt + other.cached_prompt,
        )


class PriceList:
    """Prices by provider and model."""

    def __init__(self, prices: Mapping[Provider, Mapping[str, Price]]) -> None:
        self._prices = {provider: dict(models) for provider, models in prices.items()}
        self._said: set[tuple[str, str]] = set()

    def price(self, provider: Provider, model: str) -> Price | None:
        """The price of a model, or None. The local model costs nothing.

        `gpt-4o-mini-2024-07-18`, `models/gemini-2.0-flash` and `owner/model:router-choice` are
        found under their plain names, unless they have prices of their own. A missing price is
        logged once.
        """
        if provider == "local":
            return Price(input=Decimal(0))
        models = self._prices.get(provider, {})
        plain = model.removeprefix("models/").partition(":")[0]
        for name in (model, plain, _DATED.sub("", plain)):
            if name in models:
                return models[name]
        if (provider, model) not in self._said:
            self._said.add((provider, model))
            log.warning(
                "no price is known, so cost is not counted: add the model to PRICE_LIST",
                provider=provider,
                model=model,
            )
        return None

    def cost_microdollars(self, provider: Provider, model: str, tokens: Tokens) -> int | None:
        """Cost of one call, rounded up; None without a price."""
        price = self.price(provider, model)
        if price is None:
            return None
        cached = min(tokens.cached_prompt, tokens.prompt)
        cached_price = price.input if price.cached_input is None else price.cached_input
        cost = (
            (tokens.prompt - cached) * price.input
            + cached * cached_price
            + tokens.completion * price.output
        )
        return int(cost.to_integral_value(ROUND_CEILING))


def load_price_list(path: Path | None) -> PriceList:
    """The built-in list, with a file's prices added or put in their place.

    Raises ConfigurationError naming the file, the entry and what is wrong.
    """
    built_in = resources.files("eventstream.llm").joinpath("prices.yaml").read_text("utf-8")
    prices: dict[Provider, dict[str, Price]] = dict(_parse(built_in, "prices.yaml"))
    if path is not None:
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                "PRICE_LIST", f"{path} can't be read", "Name a YAML or JSON file, or unset it"
            ) from error
        for provider, models in _parse(text, f"PRICE_LIST {path}").items():
            prices[provider] = {**prices.get(provider, {}), **models}
    return PriceList(prices)


def _parse(text: str, where: str) -> dict[Provider, dict[str, Price]]:
    way_out = "Write `openai: {some-model: {input: 0.15, output: 0.60}}`, in dollars a million"
    try:
        return _PriceFile.model_validate(yaml.safe_load(text) or {}).root
    except yaml.YAMLError as error:
        raise ConfigurationError(where, "is neither YAML nor JSON", way_out) from error
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in problem["loc"]) or "the document"
        raise ConfigurationError(where, f"{field}: {problem['msg']}", way_out) from error
