"""A status that the API server refuses, told on the stream itself.

Such a refusal (a right that is missing, a definition older than the operator) passes by no waiting,
and `kubectl describe` is where a person looks first. The status can't say that it is not written;
an event can. The API server forgets events after an hour, so it is told again before that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from eventstream.logs import get_logger
from eventstream_operator.act.events import EventKind
from eventstream_operator.cluster import ClusterError
from eventstream_operator.metrics import STATUS_REFUSED
from eventstream_operator.world import Object, name_of

log = get_logger(__name__)

Post = Callable[[Object, EventKind, str, str], Awaitable[None]]
"""Posts an event about a stream: its kind, reason and message."""

AGAIN_SECONDS: Final = 1800.0
LEAST_GAP_SECONDS: Final = 60.0
"""Between two events about one stream, also where refusals come and go."""

_WAYS_OUT: Final = {
    403: "Bind the chart's Role to the operator's ServiceAccount",
    422: "Install the definition of EventStream that belongs to this operator: kubectl apply"
    " --server-side -f charts/ai-eventstream/crds/",
}


@dataclass(slots=True)
class _Standing:
    status: int
    told: bool


class StatusRefusals:
    """`hear` of each refusal, and that it is `over`; tells of few of them."""

    def __init__(self, post: Post, *, clock: Callable[[], float]) -> None:
        self._post = post
        self._clock = clock
        self._standing: dict[str, _Standing] = {}
        self._told_at: dict[str, float] = {}

    async def hear(self, stream: Object, error: ClusterError, unsaid: str) -> None:
        """A status was refused. `unsaid`: the most important of what it would say."""
        name = name_of(stream)
        standing = self._standing.get(name)
        if standing is None or standing.status != error.status:
            standing = self._standing[name] = _Standing(error.status, told=False)
        STATUS_REFUSED.labels(name).set(1)
        gap = AGAIN_SECONDS if standing.told else LEAST_GAP_SECONDS
        if self._clock() - self._told_at.get(name, float("-inf")) < gap:
            return
        standing.told = True
        self._told_at[name] = self._clock()
        log.warning("status_refused", stream=name, problem=str(error))
        way_out = _WAYS_OUT.get(error.status, "Mend what it names")
        status = f"status {error.status}: " if error.status else ""
        # What it would say comes last: an event's message is cut off where it is too long.
        await self._post(
            stream,
            "Warning",
            "StatusRefused",
            f"The conditions and figures of this stream are old: the API server refuses its status"
            f" ({status}{str(error)[:400]}). Pods are scaled all the same."
            f" {way_out}. It would say: {unsaid}",
        )

    async def over(self, stream: Object) -> None:
        """A status was written."""
        standing = self._standing.pop(name_of(stream), None)
        if standing is None:
            return
        STATUS_REFUSED.labels(name_of(stream)).set(0)
        if not standing.told:
            return
        log.info("status_accepted", stream=name_of(stream))
        message = "The status is written again: conditions and figures are those of now."
        await self._post(stream, "Normal", "StatusAccepted", message)

    def forget(self, stream: str) -> None:
        """The stream is gone."""
        self._standing.pop(stream, None)
        self._told_at.pop(stream, None)

    def let_go(self) -> None:
        """Another operator writes the statuses now, and tells what is refused of them."""
        self._standing.clear()
