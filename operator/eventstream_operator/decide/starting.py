"""A stream that is being made, or woken from zero, is not broken: pods and signals need a while.

For STARTING_SECONDS what was never there yet is waited for and told as `Starting`. A signal that
was there and is too old, and pods that were ready and are not any more, get no such grace.
"""

from __future__ import annotations

from dataclasses import replace

from eventstream.spec import StreamSpec
from eventstream_operator.decide.memory import Memory
from eventstream_operator.decide.signals import fresh, problems
from eventstream_operator.decide.tuning import STARTING_SECONDS
from eventstream_operator.observe.observation import Observation


def remember_start(
    spec: StreamSpec, observation: Observation, memory: Memory, now: float
) -> Memory:
    """The memory with what this pass tells about the start of the stream and of its workers."""
    workers = fresh(observation.workers)
    consumers = fresh(observation.consumers)
    if workers is not None and workers.desired == 0:
        memory = replace(memory, asleep_at=now)
    elif workers is not None and workers.ready > 0:
        memory = replace(memory, asleep_at=None)
    since = memory.starting_since
    wanted = [workers, consumers] if spec.source is not None else [workers]
    whole = all(role is not None and (role.ready > 0 or role.desired == 0) for role in wanted)
    if since is not None and (
        now - since >= STARTING_SECONDS or (whole and not problems(spec, observation))
    ):
        memory = replace(memory, starting_since=None)
    return memory


def is_new(memory: Memory) -> bool:
    """Whether the stream was made a moment ago and is not whole yet."""
    return memory.starting_since is not None


def pods_may_be_missing(memory: Memory, now: float) -> bool:
    """Whether pods that are not ready are no wonder: the stream is new, or was asleep just now."""
    asleep = memory.asleep_at
    return is_new(memory) or (asleep is not None and now - asleep < STARTING_SECONDS)
