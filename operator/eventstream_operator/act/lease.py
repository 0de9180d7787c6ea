"""One operator at a time: a Lease that its holder renews, and that a second one waits for.

A holder that died is found out by the clock of the one that waits: a Lease that has not changed for
its duration, as it was watched, whatever the machines' clocks say.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from eventstream.logs import get_logger
from eventstream_operator.cluster import LEASES, Cluster, ClusterError
from eventstream_operator.metrics import LEADING

log = get_logger(__name__)


class Lease:
    """`hold` before acting. Its methods raise ClusterError."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        name: str,
        identity: str,
        seconds: int,
        clock: Callable[[], float],
        unix_clock: Callable[[], float],
    ) -> None:
        self._cluster = cluster
        self._name = name
        self._identity = identity
        self._seconds = seconds
        self._clock = clock
        self._unix_clock = unix_clock
        self._known: dict[str, Any] | None = None
        self._changed_at = 0.0
        self._renewed_at: float | None = None
        self._waits_for = ""

    @property
    def uid(self) -> str:
        """Of the Lease object, once it is known: no other namespace or cluster has it."""
        return str(self._known["metadata"]["uid"]) if self._known else ""

    @property
    def valid(self) -> bool:
        """Whether nobody else can have taken the Lease yet."""
        return self._renewed_at is not None and self._clock() - self._renewed_at < self._seconds

    async def hold(self) -> bool:
        """Whether this operator may act now; takes or renews the Lease where that is due."""
        now = self._clock()
        # One that could not renew it for too long leads no more, whoever does.
        LEADING.set(self.valid)
        if self._renewed_at is not None and now - self._renewed_at < self._seconds / 3:
            return True
        if self._renewed_at is None or self._known is None:
            await self._look(now)
        if not self._mine_to_take(now):
            self._lost(str(self._known["spec"]["holderIdentity"]) if self._known else "")
            return False
        if not await self._took(now):
            # Somebody wrote it since. If that was this operator, by a request that got no answer,
            # nobody else has acted, and what it remembers still counts.
            await self._look(now)
            if not self._is_mine or not await self._took(now):
                self._renewed_at = None
                LEADING.set(0)
                return False
        if self._waits_for:
            log.info("lease_taken", lease=self._name, before=self._waits_for)
            self._waits_for = ""
        LEADING.set(1)
        return True

    async def release(self) -> None:
        """Let go, so that a successor need not wait."""
        if self._renewed_at is None or self._known is None:
            return
        self._renewed_at = None
        spec = self._known["spec"] | {"holderIdentity": ""}
        await self._cluster.replace(LEASES, self._name, self._known | {"spec": spec})

    async def _look(self, now: float) -> None:
        try:
            found = await self._cluster.get(LEASES, self._name)
        except ClusterError as error:
            if error.status != 404:
                raise
            self._known = None
            return
        version = found["metadata"]["resourceVersion"]
        if self._known is None or version != self._known["metadata"]["resourceVersion"]:
            self._changed_at = now
        self._known = found

    @property
    def _is_mine(self) -> bool:
        known = self._known
        return known is not None and known["spec"].get("holderIdentity") == self._identity

    async def _took(self, now: float) -> bool:
        try:
            await self._take(now)
        except ClusterError as error:
            if error.status not in (404, 409):
                raise
            return False
        return True

    def _mine_to_take(self, now: float) -> bool:
        if self._known is None:
            return True
        spec = self._known["spec"]
        if spec.get("holderIdentity") in (self._identity, "", None):
            return True
        return now - self._changed_at > float(spec.get("leaseDurationSeconds") or self._seconds)

    async def _take(self, now: float) -> None:
        stamp = datetime.fromtimestamp(self._unix_clock(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        before = self._known["spec"] if self._known else {}
        spec: dict[str, Any] = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._seconds,
            "acquireTime": before.get("acquireTime") or stamp,
            "renewTime": stamp,
            "leaseTransitions": int(before.get("leaseTransitions") or 0),
        }
        if before and before.get("holderIdentity") != self._identity:
            spec |= {"acquireTime": stamp, "leaseTransitions": spec["leaseTransitions"] + 1}
        if self._known is None:
            body = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self._name},
                "spec": spec,
            }
            self._known = await self._cluster.create(LEASES, body)
        else:
            replaced = self._known | {"spec": spec}
            self._known = await self._cluster.replace(LEASES, self._name, replaced)
        self._renewed_at = now

    def _lost(self, holder: str) -> None:
        self._renewed_at = None
        LEADING.set(0)
        if holder != self._waits_for:
            log.warning(
                "another_operator_is_at_work",
                holder=holder,
                lease=self._name,
                way_out="This one waits and takes over when the other is gone. Where both were"
                " meant, give each a namespace of its own.",
            )
        self._waits_for = holder
