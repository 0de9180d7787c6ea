"""`eventstream result`: what became of an event, asked of the API."""

from __future__ import annotations

from typing import Final

import click

from eventstream.cli import EXIT_NEGATIVE
from eventstream.cli.client import Answer, ApiClient, default_url, key_option, url_option
from eventstream.cli.common import Negative, Seconds, Unreachable, dollars, json_option, print_json
from eventstream.events import Result, State, TaskStatus
from eventstream.settings import load_settings

LONG_POLL_SECONDS: Final = 50.0
"""Below what the API and most proxies allow for one request."""


@click.command()
@click.argument("event_id", metavar="ID")
@click.option(
    "--wait",
    "wait_seconds",
    type=Seconds(0, 86_400),
    default=0,
    metavar="SECONDS",
    help="Wait this long for the answer.",
)
@url_option
@key_option
@json_option
def result(
    event_id: str, wait_seconds: float, url: str | None, api_key: str | None, as_json: bool
) -> None:
    """Show what became of an event.

    Ends with 0 when the event was answered; with 1 when it failed, is not finished yet, was never
    accepted or has expired.

    \b
    Examples:
      eventstream result 6f1c9a52-0d6e-4a53-9c1e-3d5f0a7f2b11 --wait 30
      eventstream result ORDER-17 --json | jq -r .result.response
    """
    with ApiClient(url or default_url(load_settings()), api_key) as client:
        found = wait_for(client, event_id, wait_seconds)
    if isinstance(found, Answer):
        if found.status == 404:
            raise Negative(f"{event_id}: never accepted, or its time to live is over")
        raise Unreachable(found.sentence)
    if as_json:
        print_json(found.model_dump(mode="json", exclude_none=True))
    else:
        click.echo(describe(found))
    if found.status is not State.SUCCESS:
        click.get_current_context().exit(EXIT_NEGATIVE)


def wait_for(client: ApiClient, event_id: str, seconds: float) -> TaskStatus | Answer:
    """The event's status once finished, or as it stands after `seconds`."""
    while True:
        poll_seconds = min(seconds, LONG_POLL_SECONDS)
        found = client.status(event_id, poll_seconds)
        seconds -= poll_seconds
        if isinstance(found, Answer) or found.status.finished or seconds <= 0:
            return found


def describe(status: TaskStatus) -> str:
    """A status for people: the answer itself, and under it where it came from."""
    lines = [f"{status.status}  {status.task_id}"]
    if status.result is not None:
        lines += [status.result.response, origin(status.result)]
    if status.error is not None:
        reason = (status.progress or {}).get("reason", "")
        lines.append(f"{reason}: {status.error}" if reason else status.error)
        lines += [f"  {entry}" for entry in (status.progress or {}).get("history", ())]
    if not status.status.finished and status.progress:
        lines.append(f"in queue {status.progress.get('queue', 'unknown')}, not finished yet")
        if waits_for := what_it_waits_for(status):
            lines.append(waits_for)
    return "\n".join(lines)


def what_it_waits_for(status: TaskStatus) -> str:
    """Why an unfinished event was put off, for people; "" where it was not."""
    progress = status.progress or {}
    if status.status.finished or "reason" not in progress:
        return ""
    waits = "waits" if "due_at" in progress else "is being tried again, after it waited"
    return f"{waits} for {progress['reason']}: {progress.get('detail', '')}"


def origin(result: Result) -> str:
    """One line: which model, which task, how long, from where, at what cost."""
    parts = [result.model, result.task_type, f"{result.processing_time:.3f} s"]
    if result.from_cache:
        parts.append(
            "from the cache"
            if result.similarity is None
            else f"from the cache, similarity {result.similarity:.3f}"
        )
    if tokens := result.metadata.get("tokens_used"):
        parts.append(f"{tokens} tokens")
    if cost := result.metadata.get("cost_microdollars"):
        parts.append(dollars(int(cost)))
    return " · ".join(parts)
