"""Process settings: read from the environment once, at the edge, into one model.

Nothing deeper reads the environment. Every setting has its documented name, a default that runs on
a laptop, and an answer to a wrong value that names the variable and the way out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import SplitResult, parse_qs, urlsplit

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from eventstream.errors import ConfigurationError
from eventstream.keys import DEFAULT_CONSUMER_GROUP, DEFAULT_PROCESSED_TOPIC, DEFAULT_TOPIC

REDIS_SCHEMES = ("redis", "rediss", "unix", "sentinel")
CLUSTER_SCHEMES = ("redis+cluster", "rediss+cluster")
Port = Annotated[int, Field(ge=0, le=65535)]
Names = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """All settings of all services. Field names are the environment variables in lower case."""

    model_config = SettingsConfigDict(
        env_prefix="", extra="ignore", frozen=True, env_ignore_empty=True, populate_by_name=True
    )

    # Stores: DB 0 cache, DB 1 broker, DB 2 results, inbox and metadata. Each may be another server.
    redis_url: str = "redis://127.0.0.1:6379/0"
    celery_broker_url: str | None = None
    """Left out: REDIS_URL's server, database 1."""
    celery_result_backend: str | None = None
    """Left out: REDIS_URL's server, database 2."""
    redis_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    cache_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 0.5
    result_ttl_seconds: Annotated[int, Field(ge=1)] = 3600
    eventstream_prefix: str = ""

    # Kafka. Without KAFKA_BOOTSTRAP_SERVERS there is no consumer, no sink and no dead-letter topic.
    kafka_bootstrap_servers: str | None = None
    kafka_topic_raw_data: str = DEFAULT_TOPIC
    kafka_topic_processed: str = DEFAULT_PROCESSED_TOPIC
    kafka_consumer_group: str = DEFAULT_CONSUMER_GROUP
    kafka_max_poll_records: Annotated[int, Field(ge=1, le=10_000)] = 500
    kafka_max_message_bytes: Annotated[int, Field(ge=1)] = 1_000_000
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_ssl_ca_location: Path | None = None
    kafka_ssl_certificate_location: Path | None = None
    kafka_ssl_key_location: Path | None = None
    kafka_ssl_key_password: SecretStr | None = None
    kafka_session_timeout_ms: Annotated[int, Field(ge=1000, le=3_600_000)] = 6000
    kafka_max_backlog: Annotated[int, Field(ge=1)] = 20_000
    """Partitions pause while a stream's inbox holds more than this."""

    # Models.
    openai_api_key: SecretStr | None = None
    openai_base_url: str | None = None
    openai_model: str = "gpt-4o-mini"
    openai_embedding_model: str = "text-embedding-3-small"
    google_api_key: SecretStr | None = None
    gemini_base_url: str | None = None
    gemini_model: str = "gemini-2.0-flash"
    gemini_embedding_model: str = "gemini-embedding-001"
    huggingface_token: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices(
            "HUGGINGFACE_TOKEN", "HF_TOKEN", "HUGGINGFACE_API_TOKEN", "huggingface_token"
        ),
    )
    huggingface_base_url: str | None = None
    huggingface_model: str = "meta-llama/Llama-3.1-8B-Instruct"
    local_model_dir: Path | None = None
    eventstream_provider: (
        Literal["openai", "gemini", "huggingface", "compatible", "local"] | None
    ) = None
    """Left out: the first of openai, gemini, huggingface that has a key, else local."""
    eventstream_embeddings: Literal["provider", "local"] | None = None
    """Left out: the provider's embeddings where it has them, else local."""
    price_list: Path | None = None
    """A YAML or JSON file of prices that adds to or replaces the built-in list."""

    # Cache.
    semantic_similarity_threshold: (
        Annotated[float, Field(ge=0.5, le=1, allow_inf_nan=False)] | None
    ) = None
    cache_ttl: Annotated[int, Field(ge=1)] = 3600
    vector_dimension: Annotated[int, Field(ge=1, le=32_768)] | None = None
    """Left out: what the embedding model gives. Set: it must agree, or the start says so."""

    # Worker.
    worker_concurrency: Annotated[int, Field(ge=1, le=256)] = 4
    worker_prefetch_multiplier: Annotated[int, Field(ge=1, le=1000)] = 1
    worker_max_tasks_per_child: Annotated[int, Field(ge=1)] = 100
    worker_slots: Annotated[int, Field(ge=1, le=1024)] = 32
    """Model calls under way at once in one worker process; 1 is one call a process."""
    worker_shutdown_seconds: Annotated[int, Field(ge=0, le=3600)] = 30
    worker_lease_seconds: Annotated[float, Field(ge=1, le=3600)] = 30.0
    worker_streams: Names = ()
    """Which streams a worker or consumer serves; left out: all that are registered."""
    event_deadline_seconds: Annotated[float, Field(gt=0, le=250)] = 120.0
    max_deliveries: Annotated[int, Field(ge=1, le=100)] = 3
    task_soft_time_limit_seconds: Annotated[int, Field(ge=1)] = 300
    task_time_limit_seconds: Annotated[int, Field(ge=1)] = 600

    # Limits. Both left out: the provider's own headers and 429s rule.
    rate_limit_calls: Annotated[int, Field(ge=1)] | None = None
    rate_limit_period: Annotated[int, Field(ge=1)] = 60

    # API.
    api_host: str = "127.0.0.1"
    api_port: Port = Field(
        default=8000, validation_alias=AliasChoices("API_PORT", "PORT", "api_port")
    )
    api_auth: Literal["keys", "none"] | None = None
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    api_read_only_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    api_max_body_bytes: Annotated[int, Field(ge=1024)] = 4_000_000
    api_body_timeout_seconds: Annotated[float, Field(gt=0)] = 15.0
    api_max_backlog: Annotated[int, Field(ge=1)] = 100_000
    """Above it POST /process answers 503 with Retry-After instead of filling Redis."""

    # Flower, metrics, logs.
    flower_host: str = "127.0.0.1"
    flower_port: Port = 5555
    metrics_host: str = "127.0.0.1"
    metrics_port: Port = 0
    """Port of a process's own metrics; 0: none."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    log_format: Literal["auto", "json", "console"] = "auto"
    environment: str = "development"

    @field_validator("log_level", mode="before")
    @classmethod
    def _level_in_any_case(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("worker_streams", "api_keys", "api_read_only_keys", mode="before")
    @classmethod
    def _comma_separated(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("redis_url")
    @classmethod
    def _a_cache_address(cls, value: str) -> str:
        if urlsplit(value).scheme not in (*REDIS_SCHEMES, *CLUSTER_SCHEMES):
            raise ValueError(
                "must begin with redis://, rediss://, redis+cluster://, rediss+cluster://, unix://"
                " or sentinel://"
            )
        return _checked_address(value)

    @field_validator("celery_broker_url", "celery_result_backend")
    @classmethod
    def _a_redis_address(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).scheme not in REDIS_SCHEMES:
            raise ValueError("must begin with redis://, rediss://, unix:// or sentinel://")
        return value and _checked_address(value)

    @model_validator(mode="after")
    def _only_the_cache_is_a_cluster(self) -> Settings:
        if urlsplit(self.redis_url).scheme in CLUSTER_SCHEMES and not (
            self.celery_broker_url and self.celery_result_backend
        ):
            raise ValueError(
                "redis_url: a cluster can only be the cache; name other servers in"
                " CELERY_BROKER_URL and CELERY_RESULT_BACKEND"
            )
        return self

    @field_validator("eventstream_prefix")
    @classmethod
    def _plain_prefix(cls, value: str) -> str:
        if value and not all(char.isalnum() or char in "-_.:" for char in value):
            raise ValueError("must hold letters, digits and -_.: only")
        return value

    @property
    def cache_url(self) -> str:
        """The semantic cache's Redis."""
        return self.redis_url

    @property
    def broker_url(self) -> str:
        """Celery's broker."""
        return self.celery_broker_url or _with_database(self.redis_url, 1)

    @property
    def state_url(self) -> str:
        """Results, inbox and metadata."""
        return self.celery_result_backend or _with_database(self.redis_url, 2)

    @property
    def production(self) -> bool:
        """Whether open doors are worth a loud warning."""
        return self.environment.lower() == "production"


def _checked_address(url: str) -> str:
    """`url`, when its parts can be used; else ValueError, which never quotes what may be secret."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return url
    if not all(_is_port(place) for place in parts.netloc.rpartition("@")[2].split(",")):
        raise ValueError(
            "has a port that is not a number from 1 to 65535 (in a user or password, / is written"
            " %2F, # is %23, ? is %3F)"
        )
    database = [segment for segment in parts.path.split("/") if segment][_database_at(parts) :]
    if database and not (len(database) == 1 and database[0].isdecimal()):
        raise ValueError("must end with the number of a database, as in redis://127.0.0.1:6379/0")
    if "db" in parse_qs(parts.query):
        # It would rule over the path, and put cache, broker and results into one database.
        raise ValueError("must have its database in the path, /0, and not in ?db=")
    return url


def _database_at(parts: SplitResult) -> int:
    return 1 if parts.scheme == "sentinel" else 0


def _is_port(place: str) -> bool:
    """Whether `place`, a host with or without a port, has none or a possible one."""
    port = place.rpartition("]")[2].partition(":")[2]
    return not port or (port.isdecimal() and 0 < int(port) <= 65535)


def _with_database(url: str, database: int) -> str:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        # geturl() would drop the empty host, and with it the slashes that Redis clients want.
        return f"unix://{parts.netloc}{parts.path}?db={database}"
    segments = [segment for segment in parts.path.split("/") if segment]
    if parts.scheme == "sentinel":
        # sentinel://host:port/service/db
        service = segments[0] if segments else "mymaster"
        return parts._replace(path=f"/{service}/{database}").geturl()
    return parts._replace(path=f"/{database}").geturl()


def load_settings(**overrides: object) -> Settings:
    """The settings from the environment.

    Raises ConfigurationError naming the variable, what is wrong and what would be right; a wrong
    value is never shown, it may be a key.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        message = problem["msg"].removeprefix("Value error, ")
        name = str(problem["loc"][0]) if problem["loc"] else message.partition(":")[0]
        name, message = name.upper(), message.removeprefix(f"{name}: ")
        raise ConfigurationError(
            name, message[0].lower() + message[1:], f"Change {name}, or unset it for its default"
        ) from None
