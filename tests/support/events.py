"""Events for tests: everything has a sensible value, name what matters."""

from __future__ import annotations

from typing import Any

from eventstream.claims import Answered, Failed, Held
from eventstream.errors import Reason
from eventstream.events import Event, Failure, Result
from eventstream.llm.contract import CallPlan
from eventstream.pipeline import Ask
from eventstream.spec import StreamSpec


def an_event(event_id: str, text: str = "The parcel came late.", **changes: Any) -> Event:
    values: dict[str, Any] = {
        "id": event_id,
        "stream": "default",
        "via": "http",
        "text": text,
        "task_type": "general_analysis",
        "temperature": 0.7,
        "max_tokens": 1000,
    }
    return Event(**(values | changes))


def an_answer(held: Held, response: str = "fine") -> Answered:
    result = Result(
        response=response,
        task_type=held.event.task_type,
        model="test/model",
        processing_time=0.01,
        from_cache=False,
    )
    return Answered(held=held, result=result, source="model", tokens=7, cost_microdollars=3)


def a_failure(held: Held, reason: Reason = Reason.PROVIDER_REFUSED) -> Failed:
    return Failed(
        queue=held.queue,
        entry=held.entry,
        event_id=held.event.id,
        stream=held.event.stream,
        acceptance=held.acceptance,
        failure=Failure(reason=reason, message="the provider said no"),
    )


def an_ask(held: Held) -> Ask:
    plan = CallPlan(
        provider="test",
        model="model",
        display_model="test/model",
        prompt_version="1",
        parameters_digest="",
        embedding_name="",
    )
    return Ask(
        held=held, spec=StreamSpec(), plan=plan, query=None, looked_up=None, seconds_so_far=0.0
    )
