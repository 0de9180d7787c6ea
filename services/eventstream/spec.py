"""StreamSpec: what a stream is.

The one model behind the EventStream resource's `spec`, the registry in Redis and local runs
(`eventstream up -f FILE`). It describes; it does not do. `stream_files` reads it from YAML.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from eventstream.keys import (
    DEFAULT_CONSUMER_GROUP,
    DEFAULT_PROCESSED_TOPIC,
    DEFAULT_STREAM,
    DEFAULT_TOPIC,
    dead_letter_topic,
)
from eventstream.output_schemas import unusable_part

HANDED_IN: Final = {"handed_in": True}
"""Context of a validation: a spec that somebody writes now is looked at more closely than one that
is stored, so that no upgrade takes a stream away."""

API_VERSION: Final = "ai-eventstream.io/v1alpha1"
KIND: Final = "EventStream"

BUILT_IN_TASK_TYPES: Final = (
    "sentiment_analysis",
    "summarization",
    "classification",
    "question_answering",
    "general_analysis",
)
TASK_TYPE_ALIASES: Final = {"sentiment": "sentiment_analysis"}

Provider = Literal["openai", "gemini", "huggingface", "compatible", "local"]


def _topic_that_kafka_takes(value: str, info: ValidationInfo) -> str:
    if info.context == HANDED_IN and value in (".", ".."):
        raise ValueError(f"Kafka has no topic {value!r}: name another")
    return value


MAX_TOPIC_CHARS: Final = 249
Topic = Annotated[
    str,
    Field(min_length=1, max_length=MAX_TOPIC_CHARS, pattern=r"^[A-Za-z0-9._-]+$"),
    AfterValidator(_topic_that_kafka_takes),
]
Short = Annotated[str, Field(min_length=1, max_length=128)]


def _tuple_of_a_list(value: object) -> object:
    # A list of YAML or JSON is none to a strict validation.
    return tuple(value) if isinstance(value, list) else value


Names = Annotated[tuple[Short, ...], Field(max_length=50), BeforeValidator(_tuple_of_a_list)]


class SpecModel(BaseModel):
    """Camel case outside (as Kubernetes writes), snake case inside, unknown fields refused."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )


class Source(SpecModel):
    """Where events come from: a Kafka topic. A stream without one takes events through HTTP."""

    topic: Topic
    partitions: Annotated[int, Field(ge=1, le=1000)] = 3
    replication_factor: Annotated[int, Field(ge=1, le=10)] = 1
    consumer_group: Short | None = None
    """Left out: the stream's name."""


class TopicRef(SpecModel):
    """A topic that results or dead letters are written to."""

    topic: Topic


class Task(SpecModel):
    """What the model is asked."""

    type: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")] = (
        "general_analysis"
    )
    labels: Names = ()
    prompt: Annotated[str, Field(max_length=20_000)] = ""
    output_schema: dict[str, Any] | None = None

    @field_validator("type")
    @classmethod
    def _documented_alias(cls, value: str) -> str:
        return TASK_TYPE_ALIASES.get(value, value)

    @field_validator("labels")
    @classmethod
    def _labels_differ(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len({label.casefold() for label in value}) != len(value):
            raise ValueError("every label must be named once")
        return value

    @field_validator("output_schema")
    @classmethod
    def _is_a_schema(
        cls, value: dict[str, Any] | None, info: ValidationInfo
    ) -> dict[str, Any] | None:
        if value is not None:
            try:
                # Without formats: what they say of a regular expression names neither it nor why.
                Draft202012Validator.check_schema(value, format_checker=FormatChecker(()))
            except SchemaError as error:
                raise ValueError(f"is not a JSON Schema: {error.message}") from error
            except RecursionError as error:
                raise ValueError("is nested too deeply: move its parts into `$defs`") from error
            unusable = unusable_part(value) if info.context == HANDED_IN else None
            if unusable is not None:
                raise ValueError(unusable)
        return value

    @model_validator(mode="after")
    def _own_type_has_a_prompt(self) -> Task:
        if self.type not in BUILT_IN_TASK_TYPES and not self.prompt:
            known = ", ".join(BUILT_IN_TASK_TYPES)
            raise ValueError(f"type {self.type!r} needs a prompt (the types without: {known})")
        return self


class KeySource(SpecModel):
    """Where the provider's key is: a Kubernetes Secret, or an environment variable."""

    secret: Short | None = None
    key: Short | None = None
    env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None

    @model_validator(mode="after")
    def _one_place(self) -> KeySource:
        if (self.env is None) == (self.secret is None or self.key is None):
            raise ValueError("name either `secret` and `key`, or `env`")
        return self


class Model(SpecModel):
    """Which model answers. All left out: the provider that the settings have a key for."""

    provider: Provider | None = None
    name: Short | None = None
    base_url: Annotated[str, Field(pattern=r"^https?://", max_length=2048)] | None = None
    api_key_from: KeySource | None = None
    allow: Names = ()
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] = 0.7
    max_tokens: Annotated[int, Field(ge=1, le=100_000)] = 1000

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.context == HANDED_IN:
            try:
                parts = urlsplit(value)
                found = parts.hostname and parts.port != 0
            except ValueError:
                found = None
            if not found:
                raise ValueError(f"{value!r} is not an address: write it as in http://host:8000/v1")
        return value

    @model_validator(mode="after")
    def _compatible_has_an_address(self) -> Model:
        if self.provider == "compatible" and (self.base_url is None or self.name is None):
            raise ValueError("provider `compatible` needs `baseUrl` and `name`")
        return self

    def allowed_names(self) -> tuple[str, ...]:
        """The models that a caller may name, the stream's own first."""
        own = (self.name,) if self.name else ()
        return tuple(dict.fromkeys((*own, *self.allow)))

    def allows(self, name: str) -> bool:
        """Whether a caller may ask for this model: a caller does not pick the price."""
        return name in self.allowed_names()


class Cache(SpecModel):
    """Which earlier answers may be given again."""

    enabled: bool = True
    policy: Literal["threshold", "guarded", "bounded"] = "guarded"
    max_wrong_hit_percent: Annotated[float, Field(ge=0.1, le=20, allow_inf_nan=False)] | None = None
    """Of the semantic hits, those that may be wrong; for policy `bounded`, which needs it."""
    check_percent: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = None
    """Of the semantic hits, those that are asked of the model all the same. Left out: 1, or 5 with
    policy `bounded`."""
    threshold: Annotated[float, Field(ge=0.5, le=1, allow_inf_nan=False)] | None = None
    """Documented scale (1 - distance / 2). Left out: the embedding model's calibrated value."""
    ttl_seconds: Annotated[int, Field(ge=1, le=31_536_000)] = 3600
    min_hit_rate_percent: Annotated[int, Field(ge=0, le=100)] = 50

    @model_validator(mode="after")
    def _bounded_has_a_bound(self) -> Cache:
        if self.policy == "bounded" and self.max_wrong_hit_percent is None:
            raise ValueError("policy `bounded` needs `maxWrongHitPercent`: the bound it keeps")
        if self.policy != "bounded" and self.max_wrong_hit_percent is not None:
            raise ValueError(
                f"maxWrongHitPercent means nothing to policy `{self.policy}`: set policy to"
                " `bounded`, or leave it out"
            )
        if self.policy == "bounded" and self.checked_percent < 1:
            raise ValueError(
                "checkPercent must be at least 1 with policy `bounded`: without checks it would"
                " not see that what it gives has become wrong"
            )
        return self

    @property
    def checked_percent(self) -> float:
        """`check_percent`, or what holds where it is left out."""
        if self.check_percent is not None:
            return self.check_percent
        return default_check_percent(self.policy)


def default_check_percent(policy: str) -> float:
    """The `checkPercent` of a stream that names none."""
    return 5.0 if policy == "bounded" else 1.0


class Budget(SpecModel):
    """What a stream may spend in one UTC day."""

    usd: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]
    per: Literal["day"] = "day"
    on_exhausted: Literal["Hold", "Fail"] = "Hold"

    @property
    def microdollars(self) -> int:
        """The budget in micro-dollars, the unit that cost is counted in."""
        return round(self.usd * 1_000_000)


class Limits(SpecModel):
    """What the provider allows, shared by all workers. Left out: its own headers and 429s rule."""

    requests_per_minute: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    tokens_per_minute: Annotated[int, Field(ge=1, le=10_000_000_000)] | None = None
    budget: Budget | None = None


class WorkerScaling(SpecModel):
    """Bounds and triggers of the worker Deployment."""

    min: Annotated[int, Field(ge=0, le=1000)] = 1
    max: Annotated[int, Field(ge=1, le=1000)] = 10
    queue_length: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    drain_seconds: Annotated[int, Field(ge=1, le=86_400)] = 60
    concurrency: Annotated[int, Field(ge=1, le=256)] = 4
    resources: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _min_below_max(self) -> WorkerScaling:
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) must not be above max ({self.max})")
        return self


class ApiScaling(SpecModel):
    """Bounds and trigger of the API Deployment; only in the stream that the API names as owner."""

    min: Annotated[int, Field(ge=1, le=1000)] = 1
    max: Annotated[int, Field(ge=1, le=1000)] = 10
    cpu_percent: Annotated[int, Field(ge=1, le=1000)] = 80

    @model_validator(mode="after")
    def _min_below_max(self) -> ApiScaling:
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) must not be above max ({self.max})")
        return self


class Scaling(SpecModel):
    """How many pods, and who decides. Local runs keep it, and leave it alone."""

    mode: Literal["Auto", "Recommend", "Paused"] = "Auto"
    workers: WorkerScaling = WorkerScaling()
    api: ApiScaling | None = None


class OnDelete(SpecModel):
    """What goes with the stream, once its last event is finished."""

    topics: Literal["Retain", "Delete"] = "Retain"
    """Source, sink and dead letters, as far as no other stream names them."""
    cached_answers: Literal["Retain", "Delete"] = "Retain"


class StreamSpec(SpecModel):
    """Everything that a stream is."""

    source: Source | None = None
    sink: TopicRef | None = None
    dead_letter: TopicRef | None = None
    task: Task = Task()
    model: Model = Model()
    cache: Cache = Cache()
    limits: Limits = Limits()
    scaling: Scaling = Scaling()
    on_delete: OnDelete = OnDelete()

    @model_validator(mode="after")
    def _topics_differ(self) -> StreamSpec:
        if len(set(self.topics)) != len(self.topics):
            raise ValueError("source, sink and deadLetter must be different topics")
        return self

    @model_validator(mode="after")
    def _dead_letters_have_a_topic(self, info: ValidationInfo) -> StreamSpec:
        topic = self.dead_letter_topic
        if info.context == HANDED_IN and topic is not None and len(topic) > MAX_TOPIC_CHARS:
            raise ValueError(
                f"source.topic and '.dlq' are {len(topic)} characters, more than Kafka's"
                f" {MAX_TOPIC_CHARS}: set deadLetter.topic"
            )
        return self

    @property
    def topics(self) -> tuple[str, ...]:
        """Every topic that this stream reads or writes."""
        named = (
            self.source and self.source.topic,
            self.sink and self.sink.topic,
            self.dead_letter_topic,
        )
        return tuple(topic for topic in named if topic)

    @property
    def dead_letter_topic(self) -> str | None:
        """Where this stream's bad records go; None without a source."""
        if self.dead_letter is not None:
            return self.dead_letter.topic
        return dead_letter_topic(self.source.topic) if self.source else None

    def consumer_group(self, stream: str) -> str | None:
        """The Kafka consumer group of this stream; None without a source."""
        return (self.source.consumer_group or stream) if self.source else None


def default_stream(
    *,
    topic: str = DEFAULT_TOPIC,
    processed_topic: str | None = DEFAULT_PROCESSED_TOPIC,
    consumer_group: str = DEFAULT_CONSUMER_GROUP,
    cache_ttl_seconds: int = 3600,
) -> StreamSpec:
    """The stream `default`: the documented topics, group and parameters."""
    return StreamSpec(
        source=Source(topic=topic, consumer_group=consumer_group),
        sink=TopicRef(topic=processed_topic) if processed_topic else None,
        cache=Cache(ttl_seconds=cache_ttl_seconds),
    )


__all__ = [
    "API_VERSION",
    "BUILT_IN_TASK_TYPES",
    "DEFAULT_STREAM",
    "HANDED_IN",
    "KIND",
    "TASK_TYPE_ALIASES",
    "ApiScaling",
    "Budget",
    "Cache",
    "KeySource",
    "Limits",
    "Model",
    "OnDelete",
    "Provider",
    "Scaling",
    "Source",
    "StreamSpec",
    "Task",
    "TopicRef",
    "WorkerScaling",
    "default_stream",
]
