"""Whether a model's answer is one: declined, cut off, or not in the form that the stream asked for.

It calls nobody: it says what is wrong, and `models` asks for a repair or gives up.
"""

from __future__ import annotations

from eventstream.errors import ConfigurationError, Reason
from eventstream.llm.call_spec import Tally
from eventstream.llm.contract import CONTENT_FILTER, TRUNCATED, CallFailed, CallPlan
from eventstream.llm.prompts import TaskForm
from eventstream.llm.structured import Checked, OutputProblem, check
from eventstream.llm.wire import ChatAnswer


def judge(answer: ChatAnswer, form: TaskForm, plan: CallPlan, tally: Tally) -> Checked:
    """The answer in its form; raises OutputProblem for what a model can repair, else CallFailed."""
    history = tuple(tally.history)
    who = plan.display_model
    if answer.refusal or answer.finish_reason == CONTENT_FILTER:
        words = answer.refusal or "its content filter stopped the answer"
        raise CallFailed(Reason.PROVIDER_REFUSED, f"{who} declined: {words}", history)
    if answer.finish_reason == TRUNCATED and (form.structured or not answer.content.strip()):
        raise CallFailed(
            Reason.OUTPUT_TRUNCATED,
            f"{who} reached max_tokens before its answer was whole: raise max_tokens",
            history,
        )
    try:
        return check(answer.content, form)
    except ConfigurationError as error:
        # Asked again, the event would only be paid for again.
        raise CallFailed(
            Reason.OUTPUT_INVALID, f"the answer of {who} can't be checked: {error}", history
        ) from error


def judge_last(answer: ChatAnswer, form: TaskForm, plan: CallPlan, tally: Tally) -> Checked:
    """The answer in its form, which nobody repairs any more; raises CallFailed."""
    try:
        return judge(answer, form, plan, tally)
    except OutputProblem as problem:
        tally.history.append(f"attempt {tally.attempts}: {problem}")
        raise unusable(plan, problem, tally) from problem


def unusable(plan: CallPlan, problem: OutputProblem, tally: Tally) -> CallFailed:
    """How an event ends whose answer has this problem still."""
    return CallFailed(
        Reason.OUTPUT_INVALID,
        f"{plan.display_model} gave no usable answer: {problem}",
        tuple(tally.history),
    )
