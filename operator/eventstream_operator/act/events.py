"""Kubernetes events: what `kubectl describe eventstream` tells below the conditions."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any, Literal

from eventstream.logs import get_logger
from eventstream.spec import API_VERSION, KIND
from eventstream_operator.cluster import EVENTS, Cluster, ClusterError
from eventstream_operator.resources.names import OPERATOR
from eventstream_operator.world import Object, name_of, uid_of

log = get_logger(__name__)

_LONGEST_MESSAGE = 1024

EventKind = Literal["Normal", "Warning"]


def build_event(
    stream: Object,
    *,
    namespace: str,
    kind: EventKind,
    reason: str,
    message: str,
    unix_now: float,
) -> dict[str, Any]:
    """An event about a stream."""
    stamp = datetime.fromtimestamp(unix_now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name_of(stream)}.{uuid.uuid4().hex[:16]}", "namespace": namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": name_of(stream),
            "namespace": namespace,
            "uid": uid_of(stream),
        },
        "type": kind,
        "reason": reason,
        "message": message[:_LONGEST_MESSAGE],
        "source": {"component": OPERATOR},
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }


async def post(cluster: Cluster, event: dict[str, Any]) -> None:
    """Write an event. One that can't be written is logged: it tells, nothing depends on it."""
    try:
        await cluster.create(EVENTS, event)
    except ClusterError as error:
        log.warning("event_not_posted", reason=event["reason"], problem=str(error))
