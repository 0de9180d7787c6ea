"""One stream's turn: its Deployments, then replicas, then what is said about them."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from eventstream.heartbeat import WorkerHeartbeat
from eventstream.logs import get_logger
from eventstream.spec import StreamSpec
from eventstream_operator.act.deployments import StreamDeployments
from eventstream_operator.act.events import EventKind, build_event, post
from eventstream_operator.act.refusals import StatusRefusals
from eventstream_operator.act.scale import deletion_costs, mark_idle, scale
from eventstream_operator.act.status import (
    Status,
    build_conditions,
    build_status,
    substance,
    tells_something_new,
    transitions,
)
from eventstream_operator.cluster import STREAMS, Cluster, ClusterError
from eventstream_operator.decide import (
    Condition,
    Decision,
    Memory,
    Outcome,
    ScaledRole,
    Verdict,
    to_status,
)
from eventstream_operator.metrics import CONDITION, SCALED
from eventstream_operator.observe.deployments import Deployments, replicas_of
from eventstream_operator.observe.observation import Observation
from eventstream_operator.world import Object, World, name_of, uid_of

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one stream's turn is about."""

    stream: Object
    spec: StreamSpec
    observation: Observation
    decision: Decision
    heartbeats: Sequence[WorkerHeartbeat]


class Actor:
    """Carries out decisions. Raises ClusterError; the next pass tries again."""

    def __init__(
        self,
        cluster: Cluster,
        world: World,
        *,
        status_seconds: float,
        interval_seconds: float,
        clock: Callable[[], float],
        unix_clock: Callable[[], float],
    ) -> None:
        self._cluster = cluster
        self._world = world
        self._deployments = StreamDeployments(cluster, world.deployments)
        self._status_seconds = status_seconds
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._unix_clock = unix_clock
        self._refusals = StatusRefusals(self._post, clock=clock)
        self._refused: dict[str, str] = {}
        self._logged: dict[tuple[str, str], str] = {}
        self._written_at: dict[str, float] = {}
        self._unwritten: dict[str, list[Status]] = {}
        """Histories that no status could be written with: the steps in them were made."""
        self._figures_left = 0
        self._began_at: float | None = None

    def begin(self, streams: int) -> None:
        """A pass over so many streams begins.

        Figures that only moved are written for as many of them a pass as keeps each one's interval:
        hundreds that are due at once would make one pass long, and the next step late. Passes may
        be further apart than their interval, so it goes by the time since the last one.
        """
        now = self._clock()
        since = self._interval_seconds
        if self._began_at is not None:
            since = max(since, min(now - self._began_at, self._status_seconds))
        self._began_at = now
        self._figures_left = math.ceil(streams * since / self._status_seconds)

    async def ensure(self, stream: Object, spec: StreamSpec, deployments: Deployments) -> None:
        """Make what the stream should have, before it is observed."""
        try:
            await self._deployments.ensure(stream, spec, deployments)
        except ClusterError as error:
            if error.refused:
                self._refused[name_of(stream)] = str(error)
                self._log_refusal(name_of(stream), "Deployments", error)
            raise
        self._refused.pop(name_of(stream), None)
        self._logged.pop((name_of(stream), "Deployments"), None)

    def refused(self, stream: str) -> Mapping[str, str]:
        """What the API server refused of the stream's Deployments, as an observation has it."""
        why = self._refused.get(stream)
        return {} if why is None else {"Deployments": why}

    async def scale(
        self, turn: Turn, deployments: Deployments, refused: dict[str, str]
    ) -> AsyncIterator[ScaledRole]:
        """Set replicas. Yields, one by one, whose are as decided.

        Left out is what somebody changed since it was looked at, and what the API server refuses:
        that is put into `refused`, with the reason. A request that may have been
        carried out counts as if it was, before its ClusterError: a step that was not made is
        decided again when its time has passed, one that is made twice is two.
        """
        name = name_of(turn.stream)
        decision = turn.decision
        targets: tuple[tuple[ScaledRole, Verdict, Object | None], ...] = (
            ("workers", decision.workers, deployments.of(name, "worker")),
            ("consumers", decision.consumers, deployments.of(name, "consumer")),
            ("api", decision.api, deployments.api),
        )
        for role, verdict, deployment in targets:
            made = True
            if verdict.target is not None and deployment is not None:
                try:
                    made = await self._scale(turn, role, verdict, deployment)
                except ClusterError as error:
                    if not error.refused:
                        if error.perhaps_done:
                            yield role
                        raise
                    made, refused[role] = False, str(error)
                    self._log_refusal(name, role, error)
            if made:
                self._logged.pop((name, role), None)
                yield role

    def forget(self, stream: str) -> None:
        """The stream is gone."""
        self._deployments.forget(stream)
        self._refusals.forget(stream)
        for kept in (self._refused, self._written_at, self._unwritten):
            kept.pop(stream, None)
        self._logged = {key: why for key, why in self._logged.items() if key[0] != stream}

    def let_go(self) -> None:
        """Another operator acts now: the statuses to come are its own, histories and all."""
        self._unwritten.clear()
        self._written_at.clear()
        self._refusals.let_go()

    async def refuse(self, stream: Object, problem: str) -> None:
        """Say that a resource's spec can't be read; whatever it had is left as it is."""
        message = f"The spec is refused: {problem}. Correct it; until then all stays as it is."
        await self._degrade(stream, "InvalidSpec", message)

    async def fail(self, stream: Object, problem: str) -> None:
        """Say that the operator itself failed at the stream."""
        message = (
            f"The operator failed at this stream ({problem}), tries again in every pass, and until"
            " then all stays as it is. Its log has the whole of it: look for stream_failed."
        )
        await self._degrade(stream, "OperatorFailed", message)

    def _log_refusal(self, stream: str, what: str, error: ClusterError) -> None:
        # A failure is told with ports and times that are others in every pass.
        why = f"status {error.status}" if error.lasting else str(error)
        if self._logged.get((stream, what)) != why:
            log.warning("write_refused", stream=stream, what=what, problem=str(error))
        self._logged[stream, what] = why

    async def _degrade(self, stream: Object, reason: str, message: str) -> None:
        """Say, once, why nothing is decided about the stream."""
        CONDITION.labels(name_of(stream), "Degraded").set(1)
        generation = stream["metadata"].get("generation", 0)
        before = stream.get("status") or {}
        told = {one["type"]: one.get("message") for one in before.get("conditions") or ()}
        if (
            before.get("observedGeneration") == generation
            and before.get("reason") == reason
            and told.get("Degraded") == message
        ):
            return
        status: Status = {
            "observedGeneration": generation,
            "phase": "Degraded",
            "reason": reason,
            "conditions": _with_degraded(
                before.get("conditions") or (), reason, message, generation, self._unix_clock()
            ),
        }
        await self._write(stream, status, message)
        await self._post(stream, "Warning", reason, message)

    async def _scale(self, turn: Turn, role: str, verdict: Verdict, deployment: Object) -> bool:
        assert verdict.target is not None
        current = replicas_of(deployment).desired
        if verdict.target == current:
            return True
        leaving = current - verdict.target
        if role == "workers" and leaving > 0:
            changes = deletion_costs(deployment, self._world.pods, turn.heartbeats, leaving)
            try:
                await mark_idle(self._cluster, changes)
            except ClusterError as error:
                error.perhaps_done = False  # Whatever became of that, no step was asked for.
                raise
        if not await scale(self._cluster, deployment, verdict.target):
            return False
        name = name_of(turn.stream)
        direction = "in" if leaving > 0 else "out"
        SCALED.labels(name, role, direction).inc()
        log.info(
            "scaled",
            stream=name,
            role=role,
            before=current,
            now=verdict.target,
            decision=turn.decision.sentence,
        )
        await self._post(
            turn.stream,
            "Normal",
            verdict.outcome.value,
            f"{role}: {current} -> {verdict.target}. {_reason(turn, role, verdict)}",
        )
        return True

    async def tell(self, turn: Turn, memory: Memory, done: Collection[ScaledRole]) -> None:
        """Write the status, where it says something new. `done`: whose replicas are as decided."""
        name = name_of(turn.stream)
        before = turn.stream.get("status") or {}
        now, unix_now = self._clock(), self._unix_clock()
        changed = any(turn.decision.verdict(role).target is not None for role in done)
        status = build_status(
            turn.decision,
            turn.observation,
            before={**before, "history": self._unwritten.get(name, before.get("history"))},
            generation=turn.stream["metadata"].get("generation", 0),
            memory=to_status(memory, now=now, unix_now=unix_now),
            changed=changed,
            unix_now=unix_now,
        )
        if substance(status) == substance(before):
            due = now - self._written_at.get(name, float("-inf")) >= self._status_seconds
            if not due or self._figures_left == 0:
                return
            self._figures_left -= 1
        self._unwritten[name] = status["history"]
        await self._write(turn.stream, status, _gist(status, turn.decision.conditions))
        del self._unwritten[name]
        self._written_at[name] = now
        for condition in transitions(turn.decision.conditions, before.get("conditions") or ()):
            kind: EventKind = "Normal" if condition.good else "Warning"
            await self._post(
                turn.stream, kind, condition.reason, f"{condition.type}: {condition.message}"
            )
        recommended = turn.decision.workers.outcome is Outcome.RECOMMENDED
        if recommended and tells_something_new(turn.decision, before, changed=False):
            await self._post(turn.stream, "Normal", "Recommended", turn.decision.sentence)

    async def _write(self, stream: Object, status: Status, gist: str) -> None:
        newest = self._world.streams.get(name_of(stream))
        if newest is None or uid_of(newest) != uid_of(stream):
            raise ClusterError(409, f"the stream {name_of(stream)} was deleted meanwhile")
        try:
            try:
                written = await self._merge(newest, status)
            except ClusterError as error:
                if error.status != 409:
                    raise
                # The copy is behind, and would be in the next pass too where its watch is late. It
                # was decided about this very stream all the same.
                written = await self._merge(await self._looked_up(stream), status)
        except ClusterError as error:
            if error.refused:
                await self._refusals.hear(stream, error, gist)
            raise
        self._world.streams.put(written)
        await self._refusals.over(stream)

    async def _looked_up(self, stream: Object) -> Object:
        found = await self._cluster.get(STREAMS, name_of(stream))
        if uid_of(found) != uid_of(stream):
            raise ClusterError(404, f"the stream {name_of(stream)} was made anew meanwhile")
        self._world.streams.put(found)
        return found

    async def _merge(self, newest: Object, status: Status) -> Object:
        # With its version: a stream that was made anew under this name must not get the status of
        # the old one, whose windows and last steps would then count as its own.
        version = {"resourceVersion": newest["metadata"]["resourceVersion"]}
        if "memory" in status:
            # A merge patch would keep what an older memory had and the new one has not.
            older = (newest.get("status") or {}).get("memory") or {}
            status = {**status, "memory": dict.fromkeys(older) | status["memory"]}
        return await self._cluster.merge(
            STREAMS,
            name_of(newest),
            {"metadata": version, "status": status},
            subresource="status",
        )

    async def _post(self, stream: Object, kind: EventKind, reason: str, message: str) -> None:
        event = build_event(
            stream,
            namespace=self._cluster.namespace,
            kind=kind,
            reason=reason,
            message=message,
            unix_now=self._unix_clock(),
        )
        await post(self._cluster, event)


def _reason(turn: Turn, role: str, verdict: Verdict) -> str:
    """Why replicas change, with the numbers of the role."""
    if role == "workers":
        return turn.decision.sentence
    bounds, api, cpu = turn.spec.scaling.api, turn.observation.api, turn.observation.api_cpu
    if role == "api" and bounds and api and not bounds.min <= api.value.desired <= bounds.max:
        return f"{verdict.outcome.value}: min {bounds.min}, max {bounds.max}."
    if role == "api" and cpu is not None and cpu.value.percent is not None:
        return f"{verdict.outcome.value}: CPU is at {cpu.value.percent:.0f} % of its request."
    return verdict.outcome.value


def _gist(status: Status, conditions: Sequence[Condition]) -> str:
    """What a person should know who can't read the status."""
    bad = [f"{one.type} {one.status}: {one.message}" for one in conditions if not one.good]
    return " ".join([f"{status['phase']}, {status['decision']}.", *bad])


def _with_degraded(
    before: Sequence[Status], reason: str, message: str, generation: int, unix_now: float
) -> list[Status]:
    # Nothing is decided about the stream: who waits for Ready must not be told that it is.
    degraded = Condition("Degraded", "True", reason, message)
    ready = Condition("Ready", "False", reason, message)
    others = [one for one in before if one["type"] not in ("Degraded", "Ready")]
    return [*others, *build_conditions((degraded, ready), before, generation, unix_now)]
