"""What a call is made for and under which limits, and what an event's calls have taken: values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from eventstream.llm.contract import Unanswered
from eventstream.llm.cost import Tokens
from eventstream.llm.limits import Limit
from eventstream.llm.providers import Endpoint
from eventstream.spec import Budget

MAX_LIMIT_WAIT_SECONDS: Final = 2.0
"""A shorter wait for a shared limit is slept, a longer one gives the worker's slot back."""


@dataclass(frozen=True)
class CallSpec:
    """What is called, for whom, and under which limits."""

    stream: str
    endpoint: Endpoint
    model: str
    operation: Literal["chat", "embeddings"]
    limit: Limit
    holder: str
    """Who calls: the event's id."""
    deadline: float
    """On the clock that Calls was given."""
    budget: Budget | None = None
    place: str | None = None
    """Under which name a place in line is kept; None: the holder's. Equal questions share one."""
    patient: bool = True
    """Whether the holder comes back after a deferral: then its place in line is kept, and its
    waiting for the provider remembered, to end after PATIENCE_SECONDS."""
    longest_wait_seconds: float = MAX_LIMIT_WAIT_SECONDS
    """For a shared limit, and for the budget's calls under way: so long is slept, within the
    deadline."""

    @property
    def bucket(self) -> str:
        return self.endpoint.bucket(self.model)

    @property
    def in_line(self) -> str:
        """The name in line."""
        return self.place or self.holder

    @property
    def who(self) -> str:
        """Provider and model, for people."""
        return self.endpoint.who(self.model)


@dataclass
class Tally:
    """What an event's calls have taken so far."""

    attempts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_microdollars: int | None = 0
    unanswered: Unanswered = field(default_factory=Unanswered)
    history: list[str] = field(default_factory=list)

    def guess(self, tokens: Tokens, cost: int | None) -> None:
        """Add what an attempt without an answer counts as."""
        self.add(tokens, cost)
        before = self.unanswered
        self.unanswered = Unanswered(
            before.prompt_tokens + tokens.prompt,
            before.completion_tokens + tokens.completion,
            before.cost_microdollars + (cost or 0),
        )

    def add(self, tokens: Tokens, cost: int | None) -> None:
        self.prompt_tokens += tokens.prompt
        self.completion_tokens += tokens.completion
        if cost is None or self.cost_microdollars is None:
            self.cost_microdollars = None
        else:
            self.cost_microdollars += cost
