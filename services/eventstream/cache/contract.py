"""What the cache is asked and what it answers: plain values, no behaviour of the store."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from eventstream.cache.keys import text_digest
from eventstream.cache.normalise import exact_key_text

SCHEMA: Final = 1
"""The shape of stored answers. Another number is another world: neither reads the other's."""

FloatArray = npt.NDArray[np.float32]
Policy = Literal["disabled", "exact", "threshold", "guarded", "bounded"]
AnswerKind = Literal["exact", "semantic", "miss"]
Outcome = Literal["exact", "semantic", "miss", "near_miss", "off"]


class Embedder(Protocol):
    """Texts to unit vectors."""

    @property
    def name(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    @property
    def server(self) -> str:
        """Where a model of this name is perhaps another one; "" at the provider's own address."""
        ...

    async def embed(self, texts: Sequence[str]) -> FloatArray:
        """A (texts, dimension) float32 array of unit rows; raises an EventStreamError."""
        ...


@dataclass(frozen=True)
class CacheScope:
    """Everything two questions must share before the answer to one may serve the other.

    `parameters_digest` covers temperature, max_tokens, labels, output schema and instructions.
    """

    stream: str
    task_type: str
    model: str
    prompt_version: str
    parameters_digest: str

    @cached_property
    def digest(self) -> str:
        """A digest of all fields, in hexadecimal."""
        parts = (
            SCHEMA,
            self.stream,
            self.task_type,
            self.model,
            self.prompt_version,
            self.parameters_digest,
        )
        return text_digest(json.dumps(parts))


@dataclass(frozen=True)
class CacheQuery:
    """One text to look up. `threshold`: documented scale; None: the embedding model's own.

    `bound`: the share of wrong hits (0 to 1) that the policy `bounded` keeps below, and only it.
    """

    text: str
    scope: CacheScope
    policy: Policy = "guarded"
    threshold: float | None = None
    bound: float | None = None

    def __post_init__(self) -> None:
        if (self.bound is None) == (self.policy == "bounded"):
            raise ValueError("bound: belongs to the policy `bounded`, which needs it")

    @cached_property
    def text_digest(self) -> str:
        """The digest of the text's exact form."""
        return text_digest(exact_key_text(self.text))

    @cached_property
    def key(self) -> str:
        """The same for two queries exactly when one answer serves both without a question."""
        return f"{self.scope.digest}:{self.text_digest}"


@dataclass(frozen=True, eq=False)
class Embedding:
    """A unit vector and the embedding model that it belongs to."""

    model: str
    vector: FloatArray


@dataclass(frozen=True, eq=False)
class Pair:
    """A text's nearest stored question, near enough to learn from what the model says.

    `given`: its response was the answer. `kinds`: the name of the differences that are not known
    to be harmless ("" for none; None: nobody has compared the texts yet). `epoch`: of the evidence
    that the decision was drawn from.
    """

    text: str
    response: bytes
    similarity: float
    given: bool
    kinds: str | None
    epoch: int

    @property
    def opened(self) -> bool:
        """Given although the guard alone would have refused it."""
        return self.given and bool(self.kinds)


@dataclass(frozen=True, eq=False)
class CacheAnswer:
    """What the cache has for one query.

    `response` is what was stored, for "exact" and "semantic". `similarity` (documented scale) and
    `cosine` belong to the nearest candidate, also when it was refused; then `refused_kinds` names
    the differences that spoke against it ("similarity" when it was too far away). `embedding` is
    to be handed to `store`. `unavailable` says why the cache could not do its work, "" when it did.
    `pair` is the candidate to learn from, to be handed to `learn`.
    """

    kind: AnswerKind
    outcome: Outcome
    key: str
    response: bytes | None = None
    similarity: float | None = None
    cosine: float | None = None
    refused_kinds: tuple[str, ...] = ()
    embedding: Embedding | None = None
    unavailable: str = ""
    pair: Pair | None = None

    @classmethod
    def miss(cls, query: CacheQuery, unavailable: str = "") -> "CacheAnswer":
        """Nothing was found; `unavailable`: because the cache could not look."""
        return cls("miss", "miss", query.key, unavailable=unavailable)


@dataclass(frozen=True, eq=False)
class CacheEntry:
    """An answer to keep for `ttl_seconds` from now, however often it is read.

    Only whole answers belong here: never a failed one, never one cut off at its token limit.
    """

    query: CacheQuery
    response: bytes
    ttl_seconds: int
    embedding: Embedding | None = None


@dataclass(frozen=True)
class CacheStats:
    """The state of the cache. `indexes`: embedding model digest -> FLAT or HNSW."""

    entries: int
    semantic_available: bool
    semantic_reason: str
    indexes: dict[str, str]
