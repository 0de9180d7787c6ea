"""Waiting for answers, for `eventstream send --wait`: each event's, in the order of the lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from eventstream.cli.arrivals import Arrived, Refusal
from eventstream.cli.client import ApiClient
from eventstream.cli.common import Unreachable, say
from eventstream.cli.result import what_it_waits_for
from eventstream.cli.transports import Receipt
from eventstream.events import State, TaskStatus

PATIENCE_SECONDS: Final = 600.0
"""How long a busy API is waited for before the command gives up."""
LONG_POLL_SECONDS: Final = 20.0

Sleep = Callable[[float], None]


def answers(
    client: ApiClient, receipts: Sequence[Receipt], sleep: Sleep, came: Arrived
) -> Iterator[tuple[Receipt, TaskStatus | None]]:
    """Each event's status once it is finished, in order; None: it is not known to the API.

    What a consumer has refused or not taken is not asked for: the API may know another event by the
    same id. Raises Unreachable.
    """
    told: set[str] = set()
    for receipt in receipts:
        refusal = came.refused.get(receipt.place) if receipt.place else None
        if refusal is not None:
            yield receipt, _refused(receipt, refusal)
        elif receipt.place in came.not_taken:
            yield receipt, None
        else:
            yield receipt, _answer(client, str(receipt.task_id), sleep, told)


def _answer(client: ApiClient, task_id: str, sleep: Sleep, told: set[str]) -> TaskStatus | None:
    """`told`: what events wait for, as far as it has been said."""
    busy_left = PATIENCE_SECONDS
    while True:
        found = client.status(task_id, LONG_POLL_SECONDS)
        if isinstance(found, TaskStatus):
            if found.status.finished:
                return found
            reason = (found.progress or {}).get("reason")
            if reason is not None and reason not in told:
                told.add(reason)
                say(f"{task_id} {what_it_waits_for(found)}")
        elif found.status == 404:
            return None
        elif found.busy and busy_left > 0:
            sleep(found.wait_seconds)
            busy_left -= found.wait_seconds
        else:
            raise Unreachable(found.sentence)


def _refused(receipt: Receipt, refusal: Refusal) -> TaskStatus:
    return TaskStatus(
        task_id=str(receipt.task_id),
        status=State.FAILURE,
        error=refusal.message,
        progress={"reason": refusal.reason},
    )
