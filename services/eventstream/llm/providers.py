"""Providers as data, and the choice of one for a stream.

Every provider here is reached through the OpenAI protocol: OpenAI itself, Gemini and Hugging Face
at their documented compatible endpoints, or any base URL (vLLM, Ollama, a gateway). Pure: it
decides from values that are handed in, makes no client and reads no environment.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from eventstream.errors import ConfigurationError
from eventstream.settings import Settings
from eventstream.spec import Provider, StreamSpec

STREAM_KEY_VARIABLE: Final = "EVENTSTREAM_STREAM_API_KEY"
"""Where the operator puts the key that a stream takes from a Kubernetes Secret."""

NO_KEY: Final = "no-key"
"""Sent to a compatible endpoint without a key; such servers ignore it."""

# Reasoning models take no temperature but their own.
# https://platform.openai.com/docs/guides/reasoning
_OPENAI_FIXED_TEMPERATURE: Final = re.compile(r"^(o\d|gpt-5(?!.*chat))")


@dataclass(frozen=True)
class ProviderFacts:
    """What differs between providers that speak one protocol."""

    name: Provider
    metric_name: str
    """`gen_ai.provider.name` of the OpenTelemetry GenAI conventions."""
    base_url: str | None
    key_variable: str | None
    length_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    has_embeddings: bool = False
    texts_a_batch: int = 100
    """Texts that one embeddings call may hold."""


FACTS: Final[Mapping[Provider, ProviderFacts]] = {
    "openai": ProviderFacts(
        name="openai",
        metric_name="openai",
        base_url="https://api.openai.com/v1",
        key_variable="OPENAI_API_KEY",
        length_field="max_completion_tokens",
        has_embeddings=True,
        texts_a_batch=512,
    ),
    # https://ai.google.dev/gemini-api/docs/openai
    "gemini": ProviderFacts(
        name="gemini",
        metric_name="gcp.gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai/",
        key_variable="GOOGLE_API_KEY",
        has_embeddings=True,
    ),
    # https://huggingface.co/docs/inference-providers (chat only)
    "huggingface": ProviderFacts(
        name="huggingface",
        metric_name="huggingface",
        base_url="https://router.huggingface.co/v1",
        key_variable="HUGGINGFACE_TOKEN",
    ),
    "compatible": ProviderFacts(
        name="compatible", metric_name="compatible", base_url=None, key_variable=None
    ),
    "local": ProviderFacts(name="local", metric_name="local", base_url=None, key_variable=None),
}

# Vector lengths that the providers document, so that an index can be made before the first call.
KNOWN_DIMENSIONS: Final[Mapping[str, int]] = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
    "gemini-embedding-001": 3072,
}


@dataclass(frozen=True)
class Endpoint:
    """One provider at one address with one key."""

    facts: ProviderFacts
    model: str
    base_url: str
    key: str = field(repr=False)

    @property
    def local(self) -> bool:
        """Whether this is the model in this process."""
        return self.facts.name == "local"

    @property
    def server(self) -> str:
        """Its address, where that is not the provider's own; a model's name means another there."""
        return "" if self.base_url == (self.facts.base_url or "") else self.base_url

    @property
    def account(self) -> str:
        """A short digest of address and key: who the provider counts against, without the key."""
        return hashlib.sha256(f"{self.base_url}\n{self.key}".encode()).hexdigest()[:12]

    def bucket(self, model: str) -> str:
        """Name of the limit bucket that all workers share for one model of this account."""
        return f"{self.facts.name}:{self.account}:{model}"

    def who(self, model: str) -> str:
        """Provider and model, for people."""
        return f"{self.facts.name} ({model})"

    def takes_temperature(self, model: str) -> bool:
        """Whether a temperature may be sent."""
        return self.facts.name != "openai" or not _OPENAI_FIXED_TEMPERATURE.match(model)


def choose_provider(spec: StreamSpec, settings: Settings) -> Provider:
    """The provider of a stream: its own, the settings', the first with a key, else `local`.

    A stream that names a `baseUrl` and no provider means `compatible`. Raises ConfigurationError
    in production when nothing names a provider and there is no key: answers of the small local
    model must be meant.
    """
    if spec.model.provider is not None:
        return spec.model.provider
    if spec.model.base_url is not None:
        return "compatible"
    if settings.eventstream_provider is not None:
        return settings.eventstream_provider
    keyed: tuple[tuple[Provider, object], ...] = (
        ("openai", settings.openai_api_key),
        ("gemini", settings.google_api_key),
        ("huggingface", settings.huggingface_token),
    )
    for name, key in keyed:
        if key is not None:
            return name
    if settings.production:
        raise ConfigurationError(
            "EVENTSTREAM_PROVIDER",
            "no model provider has a key, and ENVIRONMENT=production uses the small local model"
            " only when it is named",
            "Set OPENAI_API_KEY, GOOGLE_API_KEY or HUGGINGFACE_TOKEN, or"
            " EVENTSTREAM_PROVIDER=local",
        )
    return "local"


def resolve_endpoint(
    spec: StreamSpec, settings: Settings, environment: Mapping[str, str], local_name: str
) -> Endpoint:
    """Address, key and model of a stream.

    `environment` is where `apiKeyFrom` looks. Raises ConfigurationError naming what is missing.
    """
    facts = FACTS[choose_provider(spec, settings)]
    if facts.name == "local":
        return Endpoint(facts, model=local_name, base_url="", key="")
    if facts.name == "compatible":
        return _compatible(facts, spec, settings, environment)
    base_url, model = _settings_of(facts.name, settings)
    key = _key(spec, _settings_key(facts.name, settings), environment)
    if key is None:
        raise ConfigurationError(
            facts.key_variable or facts.name,
            f"provider {facts.name!r} needs a key",
            f"Set {facts.key_variable}, or the stream's model.apiKeyFrom",
        )
    address = spec.model.base_url or base_url or facts.base_url
    assert address is not None
    return Endpoint(facts, spec.model.name or model, address, key)


def _compatible(
    facts: ProviderFacts, spec: StreamSpec, settings: Settings, environment: Mapping[str, str]
) -> Endpoint:
    """A stream's own address with the stream's own key, or both from the settings.

    The settings' OpenAI key never goes to an address that a stream names.
    """
    if spec.model.base_url is not None:
        if spec.model.name is None:
            raise ConfigurationError(
                "model.name", "a stream with a baseUrl must name its model", "Set model.name"
            )
        key = _key(spec, None, environment)
        return Endpoint(facts, spec.model.name, spec.model.base_url, key or NO_KEY)
    if settings.openai_base_url is None:
        raise ConfigurationError(
            "EVENTSTREAM_PROVIDER",
            "provider 'compatible' needs an address",
            "Set OPENAI_BASE_URL and OPENAI_MODEL, or the stream's model.baseUrl and model.name",
        )
    key = _key(spec, _settings_key("openai", settings), environment)
    return Endpoint(
        facts, spec.model.name or settings.openai_model, settings.openai_base_url, key or NO_KEY
    )


def _key(spec: StreamSpec, settings_key: str | None, environment: Mapping[str, str]) -> str | None:
    """The key without the white space that a file or a Secret often ends in."""
    found = _found_key(spec, settings_key, environment)
    if found is None:
        return None
    key = found.strip()
    if not key.isprintable() or not key.isascii():
        raise ConfigurationError(
            "model.apiKeyFrom",
            "the provider's key has characters that no HTTP header may hold",
            "Look at the variable or Secret that it comes from: it should be one line of ASCII",
        )
    return key


def _found_key(
    spec: StreamSpec, settings_key: str | None, environment: Mapping[str, str]
) -> str | None:
    source = spec.model.api_key_from
    if source is None:
        return settings_key
    if source.env is not None:
        named = environment.get(source.env)
        if not named:
            raise ConfigurationError(
                source.env,
                "is not set, and the stream's model.apiKeyFrom.env names it",
                f"Set {source.env}",
            )
        return named
    return environment.get(STREAM_KEY_VARIABLE) or settings_key


def _settings_key(provider: Provider, settings: Settings) -> str | None:
    secret = {
        "openai": settings.openai_api_key,
        "gemini": settings.google_api_key,
        "huggingface": settings.huggingface_token,
    }[provider]
    return secret.get_secret_value() if secret is not None else None


def _settings_of(provider: Provider, settings: Settings) -> tuple[str | None, str]:
    return {
        "openai": (settings.openai_base_url, settings.openai_model),
        "gemini": (settings.gemini_base_url, settings.gemini_model),
        "huggingface": (settings.huggingface_base_url, settings.huggingface_model),
    }[provider]


def embedding_model(endpoint: Endpoint, settings: Settings) -> str | None:
    """The provider's embedding model for look-ups; None: the local model's are used.

    Raises ConfigurationError when the provider's embeddings are demanded and it has none.
    """
    if endpoint.local or settings.eventstream_embeddings == "local":
        return None
    if endpoint.facts.name == "compatible":
        # Which model such a server embeds with is nowhere stated, so it must be asked for.
        demanded = settings.eventstream_embeddings == "provider"
        return settings.openai_embedding_model if demanded else None
    if not endpoint.facts.has_embeddings:
        if settings.eventstream_embeddings == "provider":
            raise ConfigurationError(
                "EVENTSTREAM_EMBEDDINGS",
                f"provider {endpoint.facts.name!r} has no embeddings at its compatible endpoint",
                "Set EVENTSTREAM_EMBEDDINGS=local, or unset it",
            )
        return None
    return {
        "openai": settings.openai_embedding_model,
        "gemini": settings.gemini_embedding_model,
    }[endpoint.facts.name]


def embedding_dimension(model: str, settings: Settings) -> int:
    """Vector length of a provider's embedding model.

    Raises ConfigurationError when it is neither known nor set, or VECTOR_DIMENSION disagrees.
    """
    known = KNOWN_DIMENSIONS.get(model.removeprefix("models/"))
    wanted = settings.vector_dimension
    if known is None and wanted is None:
        raise ConfigurationError(
            "VECTOR_DIMENSION",
            f"the vector length of embedding model {model!r} is not known",
            "Set VECTOR_DIMENSION to it",
        )
    if known is not None and wanted is not None and known != wanted:
        raise ConfigurationError(
            "VECTOR_DIMENSION",
            f"is {wanted}, but {model!r} gives vectors of {known}",
            f"Set it to {known}, or unset it",
        )
    return known or wanted or 0
