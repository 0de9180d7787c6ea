"""What the CRD says beyond StreamSpec's types: a sentence a field, CEL rules, the status.

`kubectl explain eventstream.spec` shows the sentences; the API server answers with the rules'
messages. Plain values, no code: `eventstream.crd` puts them where they belong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from eventstream.spec import BUILT_IN_TASK_TYPES, TASK_TYPE_ALIASES

FIELDS: Final[Mapping[str, str]] = {
    "spec": "What the stream is. All of it can be left out.",
    "spec.source": "Where events come from: a Kafka topic. Left out: through HTTP only.",
    "spec.source.topic": "The topic to read; it is created when it is missing.",
    "spec.source.partitions": "Partitions of a topic that is created.",
    "spec.source.replicationFactor": "Replicas of a topic that is created.",
    "spec.source.consumerGroup": "Kafka consumer group. Left out: the stream's name.",
    "spec.sink": "Where results go besides Redis. Left out: nowhere.",
    "spec.sink.topic": "The topic that results are written to, keyed by event id.",
    "spec.deadLetter": "Where bad records go. Left out: the source topic's name and `.dlq`.",
    "spec.deadLetter.topic": "The topic that bad records are written to, with the reason.",
    "spec.task": "What the model is asked.",
    "spec.task.type": "A built-in task type, or one of your own (which needs a prompt).",
    "spec.task.labels": "The labels to choose from, each once whatever its case.",
    "spec.task.prompt": "Instructions for the model, in front of the text.",
    "spec.task.outputSchema": "JSON Schema that every answer has to satisfy.",
    "spec.model": "Which model answers. Left out: the provider that the settings have a key for.",
    "spec.model.provider": "Who serves the model; `local` needs no key.",
    "spec.model.name": "The model. Left out: the settings' one for the provider.",
    "spec.model.baseUrl": "Address of a server with OpenAI's interface.",
    "spec.model.apiKeyFrom": "Where the key is: `secret` and `key`, or `env`. The operator never"
    " reads a Secret; the workers' pods refer to it.",
    "spec.model.apiKeyFrom.secret": "Name of a Secret in the same namespace.",
    "spec.model.apiKeyFrom.key": "Key in that Secret.",
    "spec.model.apiKeyFrom.env": "Environment variable of the workers that holds the key.",
    "spec.model.allow": "Further models that a caller may name.",
    "spec.model.temperature": "Sampling temperature, where a caller names none.",
    "spec.model.maxTokens": "Most tokens of an answer, where a caller names none.",
    "spec.cache": "Which earlier answers may be given again.",
    "spec.cache.enabled": "false: every event is asked of the model.",
    "spec.cache.policy": "guarded: near texts whose every difference is harmless. threshold: the"
    " similarity alone. bounded: also differences that the stream's own answers show to be"
    " harmless, within maxWrongHitPercent.",
    "spec.cache.maxWrongHitPercent": "Of the semantic hits, those that may be wrong. For policy"
    " bounded only, which needs it.",
    "spec.cache.checkPercent": "Of the semantic hits, those that are asked of the model all the"
    " same, to learn whether they are right. Left out: 1, or 5 with policy bounded.",
    "spec.cache.threshold": "How near a text must be (1 - cosine distance / 2). Left out: the"
    " embedding model's calibrated value.",
    "spec.cache.ttlSeconds": "How long an answer may be given again, from its writing.",
    "spec.cache.minHitRatePercent": "Below it the condition ReviewThreshold says what to look at.",
    "spec.limits": "What the provider allows, over all workers. Left out: its own headers rule.",
    "spec.limits.requestsPerMinute": "Model calls a minute.",
    "spec.limits.tokensPerMinute": "Tokens a minute, in and out.",
    "spec.limits.budget": "What the stream may spend in one UTC day.",
    "spec.limits.budget.usd": "US dollars.",
    "spec.limits.budget.per": "The period: a UTC day.",
    "spec.limits.budget.onExhausted": "Hold: misses wait for the next day, hits are still"
    " answered. Fail: misses fail.",
    "spec.onDelete": "What goes with the stream, once its last event is finished. Left out: its"
    " pods, and nothing else.",
    "spec.onDelete.topics": "Delete: source, sink and dead-letter topic, as far as no other stream"
    " names them, with every record in them.",
    "spec.onDelete.cachedAnswers": "Delete: the answers kept for this stream.",
    "spec.scaling": "How many pods, and who decides.",
    "spec.scaling.mode": "Auto: the operator scales. Recommend: it says what it would do. Paused:"
    " it leaves the pods as they are.",
    "spec.scaling.workers": "Bounds and triggers of the workers.",
    "spec.scaling.workers.min": "Fewest workers; 0 lets an idle stream rest.",
    "spec.scaling.workers.max": "Most workers.",
    "spec.scaling.workers.queueLength": "Queued and in-flight events beyond which workers are"
    " added.",
    "spec.scaling.workers.drainSeconds": "How soon the backlog should be worked off.",
    "spec.scaling.workers.concurrency": "Processes of one worker.",
    "spec.scaling.workers.resources": "Resources of the worker container. Left out: the chart's.",
    "spec.scaling.api": "Bounds and trigger of the API; only in the stream that the API"
    " Deployment names as its owner.",
    "spec.scaling.api.min": "Fewest API pods.",
    "spec.scaling.api.max": "Most API pods.",
    "spec.scaling.api.cpuPercent": "CPU use over its request beyond which API pods are added.",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One CEL rule and the sentence that the API server answers with."""

    rule: str
    message: str

    def as_dict(self) -> dict[str, str]:
        """As it stands in the CRD."""
        return {"rule": self.rule, "message": self.message}


_MIN_BELOW_MAX: Final = Rule("self.min <= self.max", "min must not be above max")
_NAMES_A_TOPIC: Final = Rule(
    "self != '.' && self != '..'", "Kafka has no topic of this name: name another"
)
_OWN_TYPES_NEED_A_PROMPT: Final = Rule(
    f"self.type in {sorted((*BUILT_IN_TASK_TYPES, *TASK_TYPE_ALIASES))}"
    " || (has(self.prompt) && self.prompt != '')",
    f"a type of your own needs a prompt (the types without: {', '.join(BUILT_IN_TASK_TYPES)})",
)

RULES: Final[Mapping[str, tuple[Rule, ...]]] = {
    "spec": (
        Rule(
            "!has(self.source) || !has(self.sink) || self.source.topic != self.sink.topic",
            "source and sink must be different topics",
        ),
        Rule(
            "!has(self.source) || !has(self.deadLetter)"
            " || self.source.topic != self.deadLetter.topic",
            "source and deadLetter must be different topics",
        ),
        Rule(
            "!has(self.sink) || !has(self.deadLetter) || self.sink.topic != self.deadLetter.topic",
            "sink and deadLetter must be different topics",
        ),
        Rule(
            "!has(self.source) || !has(self.sink) || has(self.deadLetter)"
            " || self.sink.topic != self.source.topic + '.dlq'",
            "sink is the topic that dead letters go to by default: name another, or set deadLetter",
        ),
        Rule(
            "!has(self.source) || has(self.deadLetter) || size(self.source.topic) <= 245",
            "source.topic and '.dlq' are longer than a topic's name may be: set deadLetter",
        ),
    ),
    "spec.source.topic": (_NAMES_A_TOPIC,),
    "spec.sink.topic": (_NAMES_A_TOPIC,),
    "spec.deadLetter.topic": (_NAMES_A_TOPIC,),
    "spec.task": (_OWN_TYPES_NEED_A_PROMPT,),
    "spec.task.labels": (
        Rule(
            "self.all(a, self.exists_one(b, a.lowerAscii() == b.lowerAscii()))",
            "every label must be named once, whatever its case",
        ),
    ),
    "spec.model": (
        Rule(
            "!has(self.provider) || self.provider != 'compatible'"
            " || (has(self.baseUrl) && has(self.name))",
            "provider `compatible` needs baseUrl and name",
        ),
    ),
    "spec.model.apiKeyFrom": (
        Rule(
            "has(self.env) != (has(self.secret) && has(self.key))",
            "name either secret and key, or env",
        ),
    ),
    "spec.cache": (
        Rule(
            "(has(self.policy) && self.policy == 'bounded') == has(self.maxWrongHitPercent)",
            "policy bounded needs maxWrongHitPercent, and no other policy takes it",
        ),
        Rule(
            "!has(self.policy) || self.policy != 'bounded' || !has(self.checkPercent)"
            " || self.checkPercent >= 1.0",
            "checkPercent must be at least 1 with policy bounded",
        ),
    ),
    "spec.scaling.workers": (_MIN_BELOW_MAX,),
    "spec.scaling.api": (_MIN_BELOW_MAX,),
}


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _whole(description: str) -> dict[str, Any]:
    return {"type": "integer", "description": description}


def _number(description: str) -> dict[str, Any]:
    return {"type": "number", "description": description}


def _pods(what: str) -> dict[str, Any]:
    return {
        "type": "object",
        "description": f"The {what}.",
        "properties": {
            "ready": _whole("Pods that are ready."),
            "desired": _whole("Pods that the Deployment asks for."),
            "wanted": _whole("Pods that the operator finds right; absent: not known."),
            "summary": _text("ready/desired."),
            "outcome": _text("What became of the last decision about them, or why nothing did."),
        },
    }


_CONDITION: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "status"],
    "properties": {
        "type": _text("What the condition is about."),
        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
        "reason": _text("One word."),
        "message": _text("What is, and what to do about it."),
        "lastTransitionTime": {"type": "string", "format": "date-time"},
        "observedGeneration": _whole("The spec's generation that it was said of."),
    },
}

# The operator keeps its windows and cooldowns here too, hence the unknown fields.
STATUS: Final[dict[str, Any]] = {
    "type": "object",
    "description": "What the operator sees and decided. Written by the operator only.",
    "x-kubernetes-preserve-unknown-fields": True,
    "properties": {
        "observedGeneration": _whole("The spec's generation that the rest speaks of."),
        "phase": _text("One word for a list of streams."),
        "reason": _text("Why the workers are as many as they are."),
        "decision": _text("The last change in one line of plain numbers."),
        "backlog": _whole("Queued, in flight and Kafka lag."),
        "lag": _whole("Records in the source topic that are in no inbox yet."),
        "oldestEventSeconds": _number("Age of the oldest unfinished event."),
        "arrivalsPerSecond": _number("Events into the inbox."),
        "capacityPerSecond": _number("What one worker with work in hand finishes."),
        "hitRatePercent": _number("Answers from the cache, of the look-ups in the window."),
        "hitRate": _text("The same, for the list of streams."),
        "workers": _pods("workers"),
        "consumers": _pods("consumers"),
        "api": _pods("API, where the stream scales it"),
        "history": {
            "type": "array",
            "description": "The last decisions that changed something, the newest last.",
            "items": {
                "type": "object",
                "properties": {
                    "at": {"type": "string", "format": "date-time"},
                    "decision": _text("One line of plain numbers."),
                },
            },
        },
        "conditions": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
            "items": _CONDITION,
        },
    },
}
