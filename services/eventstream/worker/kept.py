"""An ending that could not be published yet, as it is kept with its event in the inbox.

So a broker that is away costs no second model call, and no slot: the event waits, answer and all,
like any other deferred one. A process that does not know this field asks the model again.
"""

from __future__ import annotations

from pydantic import BaseModel, ValidationError

from eventstream.claims import Answered, Failed, Held, Source
from eventstream.events import Failure, Result


class _Answer(BaseModel):
    result: Result
    source: Source
    tokens: int
    cost_microdollars: int
    tokens_saved: int
    saved_microdollars: int


class _Kept(BaseModel):
    answer: _Answer | None = None
    failure: Failure | None = None


def pack(ending: Answered | Failed) -> bytes:
    """The ending as bytes, for `Held.wait`."""
    if isinstance(ending, Failed):
        kept = _Kept(failure=ending.failure)
    else:
        kept = _Kept(
            answer=_Answer(
                result=ending.result,
                source=ending.source,
                tokens=ending.tokens,
                cost_microdollars=ending.cost_microdollars,
                tokens_saved=ending.tokens_saved,
                saved_microdollars=ending.saved_microdollars,
            )
        )
    return kept.model_dump_json(exclude_none=True).encode()


def unpack(held: Held) -> Answered | Failed | None:
    """The ending kept with an event; None where there is none that this process can read."""
    if held.ending is None:
        return None
    try:
        kept = _Kept.model_validate_json(held.ending)
    except ValidationError:
        return None
    if kept.failure is not None:
        return held.failed(kept.failure.reason, kept.failure.message, kept.failure.history)
    if kept.answer is None:
        return None
    answer = kept.answer
    return Answered(
        held=held,
        result=answer.result,
        source=answer.source,
        tokens=answer.tokens,
        cost_microdollars=answer.cost_microdollars,
        tokens_saved=answer.tokens_saved,
        saved_microdollars=answer.saved_microdollars,
    )
