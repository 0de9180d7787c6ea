"""What the pipeline and the model layer say to each other.

Plain values, errors and protocols; no behaviour, so that every other module here (and a test) can
import them without pulling in a client.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from eventstream.errors import EventStreamError, Reason

if TYPE_CHECKING:
    from eventstream.llm.local.model import LocalRequest

FloatArray = npt.NDArray[np.float32]
Deferral = Literal["rate_limit", "budget", "provider"]

TRUNCATED: Final = "length"
"""The finish reason of an answer that was cut off at max_tokens."""
CONTENT_FILTER: Final = "content_filter"
"""The finish reason of an answer that a filter of the provider stopped."""


@dataclass(frozen=True)
class CallPlan:
    """Who would answer an event, and what makes two answers interchangeable."""

    provider: str
    model: str
    """The provider's own name of the model."""
    display_model: str
    """The name in results: the model's, or `local/...`."""
    prompt_version: str
    """Changes when the prompt, the labels or the schema change: old answers become unreachable."""
    parameters_digest: str
    embedding_name: str
    """The embedding model that look-ups of this stream use; "" without one."""


@dataclass(frozen=True)
class Unanswered:
    """What attempts without an answer count as: their estimates."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_microdollars: int = 0


@dataclass(frozen=True)
class ModelReply:
    """An answer, and what it took."""

    response: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    cost_microdollars: int | None
    """Of all attempts together, rounded up a call; None where no price is known."""
    finish_reason: str
    attempts: int
    """Calls to the provider, a repair included."""
    seconds: float
    cacheable: bool
    """False for an answer that was cut off, or ended in a way that nobody knows."""
    parsed: object | None
    """The JSON value of an answer with an output schema."""
    unanswered: Unanswered = Unanswered()
    """The part of tokens and cost that another call for the same answer would not take."""

    @property
    def truncated(self) -> bool:
        """Whether the answer was cut off at max_tokens."""
        return self.finish_reason == TRUNCATED


class CallFailed(EventStreamError):
    """This event has no answer, and asking again would not change that."""

    def __init__(self, reason: Reason, message: str, history: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.history = history


class CallDeferred(EventStreamError):
    """Not now: ask again after `wait_seconds`. The event stays accepted, nothing is lost."""

    def __init__(self, wait_seconds: float, why: Deferral, message: str) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds
        self.why = why
        self.message = message


class Embedder(Protocol):
    """Texts to unit vectors."""

    @property
    def name(self) -> str:
        """The embedding model, with its provider where the name alone would not tell."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    @property
    def server(self) -> str:
        """Where a model of this name is perhaps another one; "" at the provider's own address."""
        ...

    async def embed(self, texts: Sequence[str]) -> FloatArray:
        """A (texts, dimension) float32 array of unit rows, in the texts' order.

        Raises CallDeferred or CallFailed.
        """


class LocalAnswerProtocol(Protocol):
    """What the local model answers."""

    @property
    def response(self) -> str: ...
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def completion_tokens(self) -> int: ...


class LocalModelProtocol(Protocol):
    """The keyless model, loaded before the fork. Its calls are plain CPU work."""

    @property
    def name(self) -> str: ...
    @property
    def embedding_name(self) -> str: ...
    @property
    def dimension(self) -> int: ...
    def embed(self, texts: Sequence[str]) -> FloatArray: ...
    def count_tokens(self, text: str) -> int: ...
    def answer(self, request: LocalRequest) -> LocalAnswerProtocol: ...
