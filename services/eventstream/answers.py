"""Results out of what the cache kept and out of what the model said: the same fields for both."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, ValidationError

from eventstream.cache.contract import CacheAnswer
from eventstream.claims import Answered, Held, Source
from eventstream.events import Event, Result
from eventstream.llm.contract import ModelReply
from eventstream.llm.wire import MOST_TOKENS

MOST_MICRODOLLARS: Final = 10**12
"""No call costs more, whatever a price or a broken entry says: the sum of a batch (256) stays exact
in Lua, whose whole numbers end at 2^53."""


class StoredAnswer(BaseModel):
    """What the cache keeps of an answer: enough to give it again and to say what that saved."""

    response: str
    model: str
    prompt_tokens: Annotated[int, Field(ge=0, le=MOST_TOKENS)] = 0
    completion_tokens: Annotated[int, Field(ge=0, le=2 * MOST_TOKENS)] = 0
    cost_microdollars: Annotated[int, Field(ge=0, le=MOST_MICRODOLLARS)] | None = None
    finish_reason: str = "stop"


def read_stored(response: bytes) -> StoredAnswer | None:
    """What the cache kept; None where it can't be read."""
    try:
        return StoredAnswer.model_validate_json(response)
    except ValidationError:
        return None


def hit(held: Held, answer: CacheAnswer, source: Source, seconds: float) -> Answered | None:
    """The cached answer as this event's; None where it can't be read (then it is a miss)."""
    stored = read_stored(answer.response or b"")
    if stored is None:
        return None
    saved = stored.cost_microdollars or 0
    tokens_saved = stored.prompt_tokens + stored.completion_tokens
    result = Result(
        response=stored.response,
        task_type=held.event.task_type,
        model=stored.model,
        processing_time=round(seconds, 6),
        from_cache=True,
        metadata={
            "tokens_used": 0,
            "prompt_tokens": 0,
            "completion_tokens": 0,
            "cost_microdollars": 0,
            "finish_reason": stored.finish_reason,
            "tokens_saved": tokens_saved,
            "saved_microdollars": saved,
            "cache": source,
            **({"cosine": round(answer.cosine, 6)} if answer.cosine is not None else {}),
            **_differences(answer),
        },
        similarity=1.0 if answer.similarity is None else round(answer.similarity, 6),
        **_kafka_fields(held.event),
    )
    return Answered(
        held=held,
        result=result,
        source=source,
        tokens_saved=tokens_saved,
        saved_microdollars=saved,
    )


def _differences(answer: CacheAnswer) -> dict[str, list[str]]:
    """What stood between the texts of a hit that the guard alone would have refused."""
    if answer.pair is None or not answer.pair.opened or answer.pair.kinds is None:
        return {}
    return {"differences": answer.pair.kinds.split("+")}


def answered(
    held: Held,
    reply: ModelReply,
    *,
    seconds: float,
    prompt_version: str,
    looked_up: CacheAnswer | None,
    checked: bool,
) -> Answered:
    """The model's reply as this event's; `checked`: the cache had an answer too."""
    event = held.event
    tokens = reply.prompt_tokens + reply.completion_tokens
    metadata: dict[str, Any] = {
        "tokens_used": tokens,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "cost_microdollars": reply.cost_microdollars,
        "finish_reason": reply.finish_reason,
        "attempts": reply.attempts,
        "prompt_version": prompt_version,
    }
    if reply.parsed is not None:
        metadata["parsed"] = reply.parsed
    if reply.truncated:
        metadata["truncated"] = True
    if checked:
        metadata["checked"] = True
    elif looked_up is not None and looked_up.similarity is not None:
        # A near miss: what stood in the way is worth knowing.
        metadata["nearest_similarity"] = round(looked_up.similarity, 6)
        metadata["refused"] = list(looked_up.refused_kinds)
    result = Result(
        response=reply.response,
        task_type=event.task_type,
        model=reply.model,
        processing_time=round(seconds, 6),
        from_cache=False,
        metadata=metadata,
        **_kafka_fields(event),
    )
    return Answered(
        held=held,
        result=result,
        source="model",
        tokens=tokens,
        cost_microdollars=min(reply.cost_microdollars or 0, MOST_MICRODOLLARS),
    )


def _kafka_fields(event: Event) -> dict[str, Any]:
    if event.via != "kafka":
        return {}
    return {"event_id": event.id, "event_metadata": event.metadata}
