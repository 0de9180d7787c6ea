"""What `eventstream result` makes of a status."""

from __future__ import annotations

import pytest

from eventstream.cli.result import what_it_waits_for
from eventstream.events import State, TaskStatus

WHY = {"reason": "provider", "detail": "openai does not answer"}


@pytest.mark.parametrize(
    ("story", "state", "progress", "said"),
    [
        (
            "it waits",
            State.RETRY,
            WHY | {"due_at": 9.0},
            "waits for provider: openai does not answer",
        ),
        (
            "its wait is over",
            State.RETRY,
            WHY,
            "is being tried again, after it waited for provider: openai does not answer",
        ),
        ("it never waited", State.RETRY, {"queue": "q"}, ""),
        ("it is finished", State.FAILURE, WHY, ""),
    ],
)
def test_what_an_event_waits_for(
    story: str, state: State, progress: dict[str, object], said: str
) -> None:
    status = TaskStatus(task_id="a", status=state, progress=progress)

    assert what_it_waits_for(status) == said, story
