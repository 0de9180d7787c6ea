"""The loop: look at the whole world, decide, converge, every two seconds or when something moved.

Level-based: a pass knows nothing of what woke it, so a missed event costs nothing, and a failed
action is simply found undone by the next pass.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Final, Never

from pydantic import ValidationError

from eventstream.errors import ConfigurationError
from eventstream.logs import get_logger
from eventstream.spec import HANDED_IN, StreamSpec
from eventstream_operator.act.actor import Actor, Turn
from eventstream_operator.act.gauges import show
from eventstream_operator.act.lease import Lease
from eventstream_operator.act.registry import StreamRegistry
from eventstream_operator.cluster import (
    AUTOSCALERS,
    DEPLOYMENTS,
    PODS,
    STREAMS,
    Cluster,
    ClusterError,
)
from eventstream_operator.decide import (
    SCALED_ROLES,
    Memory,
    decide,
    from_status,
    without_steps,
)
from eventstream_operator.metrics import PASS_DURATION, forget_all, forget_stream
from eventstream_operator.metrics import STREAMS as STREAMS_GAUGE
from eventstream_operator.observe.deployments import sort_out
from eventstream_operator.observe.observer import Observer
from eventstream_operator.settings import OperatorSettings
from eventstream_operator.world import Object, World, name_of, uid_of, version_of

log = get_logger(__name__)

AT_ONCE: Final = 16
"""Streams that are acted upon at the same time: what a burst may cost the API server."""
GATHER_SECONDS: Final = 0.1
"""What comes in bursts (pods of a roll-out) is one pass."""
LEAST_GAP_SECONDS: Final = 0.5
MOST_DOUBLINGS: Final = 5
"""Of the passes between two lists, where one after another is due: a minute then."""
_UNKNOWN: Final = -1
"""How many interruptions there were before the last list, where another list is due."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A resource's spec, as far as it can be read."""

    generation: int
    spec: StreamSpec | None
    problem: str = ""


class Loop:
    """`run` until cancelled; `wake` brings the next pass forward."""

    def __init__(
        self,
        settings: OperatorSettings,
        *,
        cluster: Cluster,
        world: World,
        observer: Observer,
        actor: Actor,
        lease: Lease,
        registry: StreamRegistry,
        clock: Callable[[], float] = time.monotonic,
        unix_clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._world = world
        self._observer = observer
        self._actor = actor
        self._lease = lease
        self._registry = registry
        self._clock = clock
        self._unix_clock = unix_clock
        self._woken = asyncio.Event()
        self._limit = asyncio.Semaphore(AT_ONCE)
        self._memories: dict[str, tuple[str, Memory]] = {}
        self._read: dict[str, _Read] = {}
        self._known: dict[str, str] = {}
        """Name -> uid of the streams that there were in the last pass."""
        self._failures: dict[str, str] = {}
        self._failed: set[str] = set()
        self._conflicts: dict[str, int] = {}
        """Streams with a conflict in this pass -> for how many in a row; and before it."""
        self._conflicts_before: dict[str, int] = {}
        self._listed_at: float | None = None
        self._interruptions = 0
        self._lists_in_a_row = 0
        """Without a pass between them in which everything was reached."""
        self._passes_to_skip = 0
        self._held_back = ""
        self.finished_at: float | None = None
        """When the last pass ended, on the real monotonic clock: what the liveness probe reads."""

    def wake(self) -> None:
        """Something moved."""
        self._woken.set()

    async def run(self) -> Never:
        """Pass after pass. Raises ConfigurationError for what only a person can put right."""
        while True:
            began = time.monotonic()
            with PASS_DURATION.time():
                await self.pass_or_hold()
            self.finished_at = time.monotonic()
            await self._pause(began)

    async def stop(self) -> None:
        """Let go of the Lease and the claim."""
        if self._owner:
            await self._registry.release(self._owner)
        try:
            await self._lease.release()
        except ClusterError as error:
            log.warning("lease_not_released", problem=str(error))

    async def pass_or_hold(self) -> None:
        """One pass; while the API server is away, nothing. Raises ConfigurationError as `run`."""
        try:
            await self.one_pass()
        except ClusterError as error:
            if error.status in (401, 403, 404) and self._listed_at is None:
                raise self._start_refused(error) from error
            self._passes_to_skip = 0  # It was away: first of all everything is listed.
            self._observer.show_ages()
            if not self._held_back:
                log.warning("holding", problem=str(error))
            self._held_back = str(error)
            return
        if self._held_back:
            log.info("going_on", after=self._held_back)
        self._held_back = ""

    async def one_pass(self) -> None:
        """Look, decide, converge. Raises ClusterError while the API server can't be asked."""
        if not await self._lease.hold():
            # Whoever acts now remembers; what this one remembers would be out of date.
            self._memories.clear()
            self._actor.let_go()
            self._listed_at = None
            forget_all(self._known)
            return
        if self._listing_due():
            await self._list()
        streams = list(self._world.streams)
        specs = self._specs(streams)
        self._forget_all_but({name_of(stream): uid_of(stream) for stream in streams})
        STREAMS_GAUGE.set(len(streams))
        self._actor.begin(len(streams))
        await self._registry.write(specs, {name_of(stream) for stream in streams}, self._owner)
        # First what should be there, so that it is there when it is looked at.
        self._failed.clear()
        self._conflicts_before, self._conflicts = self._conflicts, {}
        deployments = sort_out(self._world)
        async with asyncio.TaskGroup() as making:
            for stream in streams:
                if name_of(stream) in specs:
                    spec = specs[name_of(stream)]
                    turn = self._actor.ensure(stream, spec, deployments)
                    making.create_task(self._turn(stream, turn))
        await self._observer.refresh(specs)
        if not await self._lease.hold():
            return  # Writes that were not answered took so long that another acts by now.
        async with asyncio.TaskGroup() as turns:
            for stream in streams:
                if name_of(stream) not in self._failed:
                    turns.create_task(self._turn(stream, self._converge(stream, specs)))

    @property
    def _owner(self) -> str:
        return f"{self._cluster.namespace}/{self._lease.uid}" if self._lease.uid else ""

    async def _pause(self, began: float) -> None:
        try:
            async with asyncio.timeout(self._settings.interval_seconds):
                await self._woken.wait()
        except TimeoutError:
            return
        await asyncio.sleep(max(GATHER_SECONDS, LEAST_GAP_SECONDS - (time.monotonic() - began)))
        self._woken.clear()

    def _listing_due(self) -> bool:
        resync = self._settings.resync_seconds
        if self._listed_at is None or self._clock() - self._listed_at > resync:
            return True
        if self._interruptions == self._cluster.interruptions:
            self._lists_in_a_row = self._passes_to_skip = 0
            return False
        if self._passes_to_skip:
            self._passes_to_skip -= 1
            return False
        return True

    async def _list(self) -> None:
        """Everything that is watched, as it is now: at the start, and when a watch may have missed
        something."""
        interruptions = self._cluster.interruptions
        ours = self._settings.watch_selector
        for resource, copies, labels in (
            (STREAMS, self._world.streams, None),
            (DEPLOYMENTS, self._world.deployments, ours),
            (PODS, self._world.pods, ours),
            (AUTOSCALERS, self._world.autoscalers, None),
        ):
            listed = await self._cluster.list(resource, labels=labels)
            # Items of a list do not say what they are.
            copies.replace(listed["items"], version_of(listed))
        self._interruptions = interruptions
        # What fails in every pass, and lets everything be listed between, fails at one thing:
        # after the 2nd list in a row one pass is left out, then three, then seven.
        self._passes_to_skip = 2 ** min(self._lists_in_a_row, MOST_DOUBLINGS) - 1
        self._lists_in_a_row += 1
        self._listed_at = self._clock()

    def _specs(self, streams: list[Object]) -> dict[str, StreamSpec]:
        specs = {}
        for stream in streams:
            name, generation = name_of(stream), int(stream["metadata"].get("generation", 0))
            read = self._read.get(uid_of(stream))
            if read is None or read.generation != generation:
                read = _read_spec(stream, generation)
                self._read[uid_of(stream)] = read
            if read.spec is not None:
                specs[name] = read.spec
        self._read = {uid_of(stream): self._read[uid_of(stream)] for stream in streams}
        return specs

    async def _turn(self, stream: Object, work: Coroutine[None, None, None]) -> None:
        async with self._limit:
            if not self._lease.valid:
                work.close()  # The API server was slow: another operator may be at work by now.
                return
            try:
                await work
            except ClusterError as error:
                # One stream's trouble is not the others'; all of them have the API server's.
                if error.status in (0, *range(500, 600)):
                    return
                if error.status == 404:
                    # Deleted, and no watch has told of it yet; or an API server that begins to
                    # serve before it knows everything. What is there, a list tells.
                    self._interruptions = _UNKNOWN
                    return
                if error.status == 409:
                    self._meet_conflict(stream, str(error))
                    return
                if error.refused:
                    return  # The actor has told of it, where people look and once.
                log.warning("stream_not_converged", stream=name_of(stream), problem=str(error))
            except Exception as error:  # noqa: BLE001  # a defect must not cross streams
                await self._fail(stream, error)

    def _meet_conflict(self, stream: Object, problem: str) -> None:
        """Something changed since it was looked at, or is another one by now."""
        name = name_of(stream)
        if name in self._conflicts:
            return
        passes = self._conflicts[name] = self._conflicts_before.get(name, 0) + 1
        if passes == 1:
            self.wake()  # It is decided anew, at once.
        elif passes.bit_count() == 1:
            # Copies are behind, as those of a watch that is late: a list tells what there is. In
            # the 2nd pass, the 4th, the 8th: lists of hundreds of pods have their price.
            self._interruptions = _UNKNOWN
            log.warning("conflict_repeated", stream=name, passes=passes, problem=problem)

    async def _fail(self, stream: Object, error: Exception) -> None:
        """Leave the stream as it is for this pass, and say so where people look."""
        name, problem = name_of(stream), repr(error)
        self._failed.add(name)
        if self._failures.get(name) != problem:
            # Once: the next pass, two seconds later, most likely ends in the same way.
            log.error("stream_failed", stream=name, exc_info=error)
        self._failures[name] = problem
        try:
            # What an exception quotes may be anything, and everybody reads a status.
            await self._actor.fail(stream, type(error).__name__)
        except Exception as untold:  # noqa: BLE001  # it is in the log
            log.warning("failure_not_told", stream=name, problem=repr(untold))

    async def _converge(self, stream: Object, specs: Mapping[str, StreamSpec]) -> None:
        name = name_of(stream)
        spec = specs.get(name)
        if spec is None:
            await self._actor.refuse(stream, self._read[uid_of(stream)].problem)
            return
        observation = replace(self._observer.observe(name), refused=self._actor.refused(name))
        before = self._memory(stream)
        now = self._clock()
        decision = decide(spec, observation, before, now)
        heartbeats = self._observer.heartbeats.get(name, [])
        turn = Turn(stream, spec, observation, decision, heartbeats)
        undone = set(SCALED_ROLES)
        memory = without_steps(decision.memory, before, undone)
        self._memories[name] = (uid_of(stream), memory)
        refused: dict[str, str] = {}
        try:
            async for role in self._actor.scale(turn, self._observer.deployments, refused):
                undone.remove(role)
                memory = without_steps(decision.memory, before, undone)
                # At once: a step that is made stays made, whatever fails after it.
                self._memories[name] = (uid_of(stream), memory)
            if refused:
                # What was seen, and that: nothing may be told as done that is not.
                observation = replace(observation, refused={**observation.refused, **refused})
                decision = decide(spec, observation, before, now)
                turn = replace(turn, observation=observation, decision=decision)
                memory = without_steps(decision.memory, before, undone)
                self._memories[name] = (uid_of(stream), memory)
        finally:
            # Once, and what the status says; also where the API server answers nothing any more.
            show(name, observation, decision)
        if changed := undone - refused.keys():
            self._meet_conflict(stream, f"changed meanwhile: {', '.join(sorted(changed))}")
        await self._actor.tell(turn, memory, done=SCALED_ROLES - undone)
        if self._failures.pop(name, None) is not None:
            log.info("stream_goes_on", stream=name)

    def _memory(self, stream: Object) -> Memory:
        uid, memory = self._memories.get(name_of(stream), ("", None))
        if memory is not None and uid == uid_of(stream):
            return memory
        stored: Mapping[str, object] = (stream.get("status") or {}).get("memory") or {}
        return from_status(stored, now=self._clock(), unix_now=self._unix_clock())

    def _forget_all_but(self, uids: Mapping[str, str]) -> None:
        # Who was deleted and made anew between two passes has the name in common with the old one,
        # and nothing else.
        for gone in [name for name, uid in self._known.items() if uids.get(name) != uid]:
            self._memories.pop(gone, None)
            self._failures.pop(gone, None)
            self._observer.forget(gone)
            self._actor.forget(gone)
            forget_stream(gone)
        self._known = dict(uids)

    def _start_refused(self, error: ClusterError) -> ConfigurationError:
        if error.status == 404 and "namespace" in str(error):
            return ConfigurationError(
                "WATCH_NAMESPACE",
                f"there is no namespace {self._cluster.namespace!r}",
                "Create it, or name another one",
            )
        if error.status == 404:
            return ConfigurationError(
                "EventStream",
                "this cluster does not know the kind EventStream",
                "Install its definition: kubectl apply --server-side -f"
                " charts/ai-eventstream/crds/",
            )
        return ConfigurationError(
            "RBAC",
            f"the operator may not look at namespace {self._cluster.namespace!r} ({error})",
            "Bind the chart's Role to its ServiceAccount in that namespace",
        )


def _read_spec(stream: Object, generation: int) -> _Read:
    try:
        spec = StreamSpec.model_validate(stream.get("spec") or {}, context=HANDED_IN)
        return _Read(generation, spec)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"]) or "spec"
        message = problem["msg"].removeprefix("Value error, ")
        return _Read(generation, None, f"{where}: {message}")
    except Exception as error:  # a defect must not cross streams
        log.error("spec_unreadable", stream=name_of(stream), exc_info=error)
        return _Read(generation, None, f"the operator failed at it ({type(error).__name__})")
