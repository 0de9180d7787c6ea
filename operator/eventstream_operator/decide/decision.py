"""What a pass decides: values that `act` carries out and that status and conditions are made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from eventstream_operator.decide.memory import Memory, ScaledRole


class Outcome(StrEnum):
    """What became of one Deployment's replicas in this pass, and if nothing, why.

    The words stand in status, conditions, Kubernetes events and logs.
    """

    SCALED_OUT = "ScaledOut"
    SCALED_IN = "ScaledIn"
    STEADY = "Steady"
    """As many as wanted."""
    AT_MAX = "AtMax"
    AT_MIN = "AtMin"
    WITHIN_TOLERANCE = "WithinTolerance"
    """Fewer would do, but by less than the tolerance band."""
    STABILISING = "Stabilising"
    """Fewer would do, but not for the whole stabilisation window yet."""
    JUST_STARTED = "JustStarted"
    """Fewer would do, but the operator has not watched for a whole window yet."""
    PODS_STARTING = "PodsStarting"
    """More would be wanted, but the last step was made just now; or no pod is ready to measure."""
    TRIGGER_ANSWERED = "TriggerAnswered"
    """The queue is longer than the trigger; what was added for it gets drainSeconds to act."""
    NOTHING_WAITS = "NothingWaits"
    """The queue is longer than the trigger, but every event is in a worker's hands."""
    RATE_LIMITED = "RateLimited"
    PROVIDER_REFUSES = "ProviderRefuses"
    """The key is refused, or the account is spent: a person has to do something."""
    BUDGET_EXHAUSTED = "BudgetExhausted"
    INEFFECTIVE = "Ineffective"
    """Earlier additions brought no throughput: no more, and they are taken back."""
    SIGNAL_MISSING = "SignalMissing"
    SIGNAL_STALE = "SignalStale"
    NO_CPU_REQUEST = "NoCpuRequest"
    CONFLICT = "Conflict"
    REFUSED = "Refused"
    """A change is due, and the API server refuses it."""
    PAUSED = "Paused"
    RECOMMENDED = "Recommended"
    """A change is due; mode Recommend only says so."""
    NOT_SCALED = "NotScaled"
    """Nothing to decide: the stream has no such Deployment, or does not own it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One Deployment."""

    target: int | None
    """Replicas to set; None: leave them as they are."""
    outcome: Outcome
    recommended: int | None
    """What is right, whether or not the mode allows to set it; None: not known."""


ConditionType = Literal[
    "Ready",
    "ScalingActive",
    "RateLimited",
    "BudgetExhausted",
    "ReviewThreshold",
    "Conflict",
    "Degraded",
]


STARTING: Final = "Starting"
"""The reason of a condition about what is being made."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One Kubernetes condition, without its transition time (which `act` keeps)."""

    type: ConditionType
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str
    """What is, and what to do about it."""

    @property
    def good(self) -> bool:
        """Nobody needs to look: all is well, it is what the user asked for, or it is on its way."""
        # Ready and ScalingActive are good when True, the others when they are not.
        wanted = (self.status == "True") == (self.type in ("Ready", "ScalingActive"))
        return wanted or self.reason in (
            STARTING,
            Outcome.PAUSED.value,
            Outcome.RECOMMENDED.value,
        )


@dataclass(frozen=True, slots=True)
class Figures:
    """The numbers behind the decision; None: not known."""

    backlog: int | None
    """queued + in flight + Kafka lag, as far as that is known. Deferred events are no work for a
    worker now."""
    lag: int | None
    arrivals_per_second: float | None
    """Into the inbox; what Kafka holds back is in `lag`."""
    capacity_per_second: float | None
    """Of one worker that has work in hand."""
    hit_rate_percent: float | None
    """Of the look-ups in the window."""


Phase = Literal["Starting", "Running", "Idle", "Limited", "Held", "Degraded", "Conflict", "Paused"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What one pass decides for one stream."""

    workers: Verdict
    consumers: Verdict
    api: Verdict
    sentence: str
    """`status.decision`: one line of plain numbers."""
    phase: Phase
    """`status.phase`: the one word for a list of streams."""
    conditions: tuple[Condition, ...]
    """All seven, always in the same order."""
    figures: Figures
    memory: Memory
    """For the next pass."""

    def verdict(self, role: ScaledRole) -> Verdict:
        """The one about these replicas."""
        return {"workers": self.workers, "consumers": self.consumers, "api": self.api}[role]
