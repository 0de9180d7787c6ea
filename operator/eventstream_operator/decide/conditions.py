"""The seven conditions: what is, and what to do about it."""

from __future__ import annotations

import math
from typing import Final

from eventstream.spec import StreamSpec
from eventstream_operator.decide.ceilings import budget_holds, provider_pressure
from eventstream_operator.decide.decision import (
    STARTING,
    Condition,
    ConditionType,
    Outcome,
    Phase,
    Verdict,
)
from eventstream_operator.decide.memory import Memory
from eventstream_operator.decide.signals import fresh, problems
from eventstream_operator.decide.starting import is_new, pods_may_be_missing
from eventstream_operator.decide.tuning import LEAST_FREEZE_SECONDS, REVIEW_LOOK_UPS
from eventstream_operator.observe.observation import CacheWindow, Observation, Replicas

NO_POD_READY: Final = "NoPodReady"


def conditions_of(
    spec: StreamSpec,
    observation: Observation,
    memory: Memory,
    *,
    workers: Verdict,
    api: Verdict,
    why: str,
    now: float,
) -> tuple[Condition, ...]:
    """All seven, in the order in which a person would want to read them."""
    return (
        _ready(spec, observation, memory, now),
        _scaling_active(spec, workers, why),
        _rate_limited(observation, workers, why),
        _budget_exhausted(spec, observation),
        _review_threshold(spec, observation),
        _conflict(spec, observation),
        _degraded(spec, observation, memory, api, now),
    )


def phase_of(
    spec: StreamSpec, observation: Observation, conditions: tuple[Condition, ...]
) -> Phase:
    """The one word for a list of streams: the worst thing first."""
    true = {condition.type for condition in conditions if condition.status == "True"}
    if spec.scaling.mode == "Paused":
        return "Paused"
    if "Conflict" in true:
        return "Conflict"
    if "Degraded" in true or any(c.reason == NO_POD_READY for c in conditions):
        return "Degraded"
    if "BudgetExhausted" in true:
        return "Held"
    if "RateLimited" in true:
        return "Limited"
    if any(c.type == "Ready" and c.reason == STARTING for c in conditions):
        return "Starting"
    replicas = fresh(observation.workers)
    return "Idle" if replicas is not None and replicas.desired == 0 else "Running"


def _condition(type_: ConditionType, is_so: bool, reason: str, message: str) -> Condition:
    return Condition(type_, "True" if is_so else "False", reason, message)


def _ready(spec: StreamSpec, observation: Observation, memory: Memory, now: float) -> Condition:
    wanted: list[tuple[str, Replicas | None]] = [("worker", fresh(observation.workers))]
    if spec.source is not None:
        wanted.append(("consumer", fresh(observation.consumers)))
    for name, replicas in wanted:
        if replicas is None and is_new(memory):
            return _condition("Ready", False, STARTING, f"The {name}s' Deployment is being made.")
        if replicas is None:
            return Condition(
                "Ready",
                "Unknown",
                "DeploymentUnknown",
                f"The {name}s' Deployment could not be read. If this stays: does it exist, and may"
                " the operator's ServiceAccount read Deployments?",
            )
    for name, replicas in wanted:
        if replicas is not None and replicas.desired > 0 and replicas.ready == 0:
            if pods_may_be_missing(memory, now):
                return _condition(
                    "Ready",
                    False,
                    STARTING,
                    f"No {name} of {replicas.desired} is ready yet: pods are being made.",
                )
            return _condition(
                "Ready",
                False,
                NO_POD_READY,
                f"No {name} of {replicas.desired} is ready: "
                + (replicas.trouble or "look at its pods' events and logs")
                + ".",
            )
    counts = ", ".join(
        f"{replicas.ready} of {replicas.desired} {name}s"
        for name, replicas in wanted
        if replicas is not None
    )
    workers = wanted[0][1]
    if workers is not None and workers.desired == 0:
        return _condition(
            "Ready", True, "ScaledToZero", f"{counts} ready: {_who_wakes(spec, observation)}."
        )
    troubles = "".join(
        f" A {name}: {replicas.trouble}."
        for name, replicas in wanted
        if replicas is not None and replicas.trouble and not pods_may_be_missing(memory, now)
    )
    return _condition("Ready", True, "PodsReady", f"{counts} ready.{troubles}")


def _who_wakes(spec: StreamSpec, observation: Observation) -> str:
    if spec.scaling.mode != "Auto":
        return f"scaling.mode is {spec.scaling.mode}, so no event brings one back"
    other = observation.conflicts.workers_scaled_by
    return f"{other} decides when one comes back" if other else "the first event brings one back"


def _scaling_active(spec: StreamSpec, workers: Verdict, why: str) -> Condition:
    outcome = workers.outcome
    messages = {
        Outcome.PAUSED: "scaling.mode is Paused: set it to Auto to scale again.",
        Outcome.RECOMMENDED: "scaling.mode is Recommend: status.decision says what Auto would do.",
        Outcome.CONFLICT: "Another autoscaler has the workers: see the condition Conflict.",
        Outcome.REFUSED: "The API server refuses to set the workers' replicas: see Degraded.",
        Outcome.SIGNAL_MISSING: "A signal is missing, so nothing scales in: see Degraded.",
        Outcome.SIGNAL_STALE: "A signal is too old, so nothing scales in: see Degraded.",
    }
    if outcome in messages:
        return _condition("ScalingActive", False, outcome.value, messages[outcome])
    if spec.scaling.mode == "Recommend":
        return _condition("ScalingActive", False, "Recommended", messages[Outcome.RECOMMENDED])
    detail = f"{outcome.value}: {why}." if why else f"{outcome.value}."
    return _condition("ScalingActive", True, outcome.value, f"The operator sets replicas. {detail}")


def _rate_limited(observation: Observation, workers: Verdict, why: str) -> Condition:
    use = fresh(observation.provider)
    ways_out = (
        "ask the provider for a higher limit, take another model, or let the cache answer more"
    )
    frozen = use.frozen if use is not None else None
    if frozen and frozen.cause == "rate_limited" and frozen.seconds >= LEAST_FREEZE_SECONDS:
        whose = "Calls go" if frozen.everything else "Only its own events wait; they go"
        return _condition(
            "RateLimited",
            True,
            "RetryAfter",
            f"{frozen.model} answered 429 and is left alone for {frozen.seconds:.0f} s (its"
            f" Retry-After, or our own back-off). {whose} on by themselves after that."
            f" If it comes back: {ways_out}.",
        )
    pressure = provider_pressure(use)
    if pressure is None and workers.outcome is Outcome.RATE_LIMITED:
        pressure = why
    if pressure is None:
        return _condition(
            "RateLimited", False, "BelowLimits", "The provider's limits hold nothing back."
        )
    return _condition(
        "RateLimited",
        True,
        "ProviderLimit",
        f"More workers bring nothing: {pressure}. To get more done: {ways_out}.",
    )


def _budget_exhausted(spec: StreamSpec, observation: Observation) -> Condition:
    limit = spec.limits.budget
    if limit is None:
        return _condition("BudgetExhausted", False, "NoBudget", "The stream has no budget.")
    budget = fresh(observation.budget)
    if budget is None:
        return Condition(
            "BudgetExhausted", "Unknown", "SpendUnknown", "Today's spend could not be read."
        )
    spent = f"{_dollars(budget.spent_microdollars)} of {_dollars(budget.limit_microdollars)}"
    if not budget.exhausted:
        return _condition("BudgetExhausted", False, "WithinBudget", f"{spent} spent today (UTC).")
    if budget_holds(spec, observation):
        rest = "Events that the cache cannot answer wait for the next UTC day"
    else:
        rest = "Events that the cache cannot answer fail until the next UTC day"
    return _condition(
        "BudgetExhausted",
        True,
        "BudgetSpent",
        f"{spent} spent today (UTC). {rest}, unless limits.budget.usd is raised.",
    )


def _review_threshold(spec: StreamSpec, observation: Observation) -> Condition:
    cache = fresh(observation.cache, stale_seconds=float("inf"))
    if not spec.cache.enabled:
        return _condition("ReviewThreshold", False, "CacheOff", "The cache is switched off.")
    if cache is None:
        return Condition(
            "ReviewThreshold", "Unknown", "LookUpsUnknown", "Look-ups could not be counted."
        )
    minimum = spec.cache.min_hit_rate_percent
    if cache.look_ups < REVIEW_LOOK_UPS:
        message = (
            f"{cache.look_ups} look-ups in {_minutes(cache)}: judged from {REVIEW_LOOK_UPS} on."
        )
        return _condition("ReviewThreshold", False, "TooFewLookUps", message)
    rate = 100 * cache.hits / cache.look_ups
    shown = f"{rate:.0f}"
    if rate < minimum <= round(rate):
        # Rounded, it would be told as the trigger itself.
        shown = f"{math.floor(10 * rate) / 10}"
    hits = f"{shown} % of {cache.look_ups} look-ups in {_minutes(cache)} were hits"
    advice = _advice(observation)
    if rate >= minimum:
        message = f"{hits} (trigger: below {minimum} %).{advice}"
        return _condition("ReviewThreshold", False, "HitRateFine", message)
    message = f"{hits}, below {minimum} %. {_near_misses(cache)}{advice}"
    return _condition("ReviewThreshold", True, "HitRateLow", message)


def _advice(observation: Observation) -> str:
    """What workers make of the stream's own evidence; however old, with its age."""
    advice = observation.advice
    if advice is None:
        return ""
    return f" Advice, {_age(advice.age_seconds)}: {advice.value}."


def _near_misses(cache: CacheWindow) -> str:
    """What the histogram of refused candidates says about the threshold."""
    # Even if every near miss had been a hit, the rate would not be above this.
    most = 100 * (cache.hits + cache.near_misses) / cache.look_ups
    if not cache.near_misses:
        return (
            "No candidate was refused, so another threshold or policy would change nothing: this"
            f" stream repeats itself in {most:.0f} % at most. Lower cache.minHitRatePercent, or"
            " keep answers longer (cache.ttlSeconds)."
        )
    buckets = sorted(cache.near_misses_by_similarity.items(), key=lambda item: -item[1])[:3]
    spread = ", ".join(f"{count} from {similarity:.2f}" for similarity, count in sorted(buckets))
    where = f" (by similarity: {spread})" if spread else ""
    return (
        f"{cache.near_misses} candidates were refused{where}; with all of them the rate would be"
        f" {most:.0f} %. See `eventstream cache advise` before changing cache.threshold or"
        " cache.policy: a refused candidate is often a wrong answer."
    )


def _conflict(spec: StreamSpec, observation: Observation) -> Condition:
    conflicts = observation.conflicts
    others = [
        (name, other)
        for name, other in (
            ("workers", conflicts.workers_scaled_by),
            ("consumers", conflicts.consumers_scaled_by if spec.source else None),
            ("API", conflicts.api_scaled_by if spec.scaling.api else None),
        )
        if other is not None
    ]
    paused = spec.scaling.mode == "Paused"
    # Paused leaves the replicas to them: that is the way out, and no conflict any more.
    found = [
        f"{other} also scales the {name}: delete it, or set scaling.mode to Paused"
        for name, other in others
        if not paused
    ]
    if spec.scaling.api is not None and conflicts.api_owner != observation.stream:
        owner = conflicts.api_owner
        whose = f"belongs to the stream {owner!r}" if owner else "names no stream as its owner"
        found.append(
            f"scaling.api is set, but the API {whose}: remove scaling.api here, or set the"
            " annotation ai-eventstream.io/scaled-by of the API's Deployment"
        )
    if conflicts.group_shared_with and spec.source is not None:
        sharers = ", ".join(repr(other) for other in conflicts.group_shared_with)
        found.append(
            f"{spec.source.topic} is also read by {sharers} in the same consumer group"
            f" {spec.consumer_group(observation.stream)!r}, so each record goes to only one of"
            " them: give each stream a source.consumerGroup of its own, or delete one"
        )
    if not found and others:
        left = ", ".join(f"the {name} to {other}" for name, other in others)
        message = f"scaling.mode is Paused, which leaves {left}."
        return _condition("Conflict", False, "LeftToOther", message)
    if not found:
        return _condition("Conflict", False, "SoleOwner", "Nothing else scales this stream.")
    reason = "OtherAutoscaler" if "also scales" in found[0] else "ApiOwnedElsewhere"
    if "consumer group" in found[0]:
        reason = "ConsumerGroupShared"
    return _condition("Conflict", True, reason, f"{'; '.join(found)}.")


def _degraded(
    spec: StreamSpec, observation: Observation, memory: Memory, api: Verdict, now: float
) -> Condition:
    if observation.refused:
        what = "; ".join(f"{what}: {why}" for what, why in observation.refused.items())
        return _condition(
            "Degraded",
            True,
            "WriteRefused",
            f"The API server refuses to write what this stream should have ({what}). That stays as"
            " it is until it is let: look for an admission policy, a webhook that does not answer,"
            " a quota, or a right that the operator's ServiceAccount lacks.",
        )
    found = problems(spec, observation)
    listed = ", ".join(problem.text for problem in found)
    awaited = is_new(memory) and all(problem.missing for problem in found)
    if found and not awaited:
        return _condition(
            "Degraded",
            True,
            "SignalsMissing",
            f"Signals that cannot be relied on: {listed}. What depends on them holds."
            " Are Redis, Kafka, the metrics API and the stream's pods up?",
        )
    if api.outcome is Outcome.NO_CPU_REQUEST:
        return _condition(
            "Degraded",
            True,
            "NoCpuRequest",
            "The API's container has no CPU request, so its use cannot be judged: set"
            " api.resources.requests.cpu.",
        )
    refused = _refused(observation)
    if refused is not None:
        return refused
    ineffective = memory.ineffective
    if ineffective is not None and now < ineffective.until:
        return _condition(
            "Degraded",
            True,
            "ScaleUpIneffective",
            f"{ineffective.cause}. {ineffective.workers} workers are the ceiling for another"
            f" {ineffective.until - now:.0f} s.",
        )
    if found:
        return _condition(
            "Degraded",
            False,
            STARTING,
            f"The stream was made just now. Signals that are still to come: {listed}.",
        )
    return _condition("Degraded", False, "AllSignals", "Every signal is there and fresh.")


def _refused(observation: Observation) -> Condition | None:
    """A key that is refused and a spent account pass by no waiting."""
    use = fresh(observation.provider)
    frozen = use.frozen if use is not None else None
    if frozen is None or frozen.cause == "rate_limited":
        return None
    whose = "Events that need the model" if frozen.everything else "Events that ask for it"
    rest = f"{whose} wait, and fail after 15 minutes; hits are answered."
    if frozen.cause == "key_refused":
        return _condition(
            "Degraded",
            True,
            "KeyRefused",
            f"{frozen.model} refuses the key. {rest} Put a valid key where the stream takes it from"
            " (model.apiKeyFrom, else the installation's own), then restart the workers with"
            " `kubectl rollout restart`.",
        )
    return _condition(
        "Degraded",
        True,
        "AccountSpent",
        f"The account at {frozen.model} is spent. {rest} Top it up or raise its limit at the"
        " provider: workers try again every minute by themselves.",
    )


def _age(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s old"
    minutes = seconds / 60
    return f"{minutes:.0f} min old" if minutes < 60 else f"{minutes / 60:.0f} h old"


def _minutes(cache: CacheWindow) -> str:
    return f"{cache.seconds / 60:.0f} min" if cache.seconds >= 60 else f"{cache.seconds:.0f} s"


def _dollars(microdollars: int) -> str:
    """Cents, or as many digits as a budget below a dollar needs."""
    dollars = microdollars / 1_000_000
    return f"${dollars:.2f}" if dollars >= 1 or not microdollars else f"${dollars:.6f}".rstrip("0")
