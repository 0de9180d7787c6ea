"""The Kafka lag beside the inbox: no event is counted in both.

The inbox is read in the pass. The lag was measured before: up to a second by the consumers (eight,
when they fall silent), up to fifteen by the broker. Since then records came into the topic, and the
consumers moved some into the inbox, where they are counted a second time.

    lag now = lag as measured + came since - moved since

`moved` is the growth of the counter of accepted events since the lag was measured. What came is not
known to anybody; at the usual rate it was `arrivals x age`. So

    beside the inbox = lag - max(0, moved - arrivals x age)     at least 0, at most the lag

In a steady flow as much comes as is moved, and the lag counts as it was measured. After a burst
that is over, what was moved is no longer counted twice. What a burst brought since the measurement
is missing until the next one, in this and in any other reading. Events that came through HTTP are
accepted too: a burst of them can take off too much while the figure is old. That would be wrong the
dangerous way for scale-in, which therefore goes by the lag as it was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eventstream_operator.decide.memory import Sample
from eventstream_operator.decide.rates import arrivals_per_second
from eventstream_operator.decide.signals import fresh
from eventstream_operator.observe.observation import Observation


@dataclass(frozen=True, slots=True)
class Lag:
    """What waits in Kafka."""

    beside_inbox: int
    """Counted in no inbox yet: what is added to the inbox's length."""
    measured: int
    """Never less than `beside_inbox`. What scale-in goes by."""


def lag_of(observation: Observation, samples: Sequence[Sample], now: float) -> Lag | None:
    """The lag at the moment that the counters were read; None: no fresh figure."""
    kafka = observation.kafka
    if kafka is None or fresh(kafka) is None:
        return None
    lag = kafka.value.lag
    counts = observation.counts
    arrivals = arrivals_per_second(samples)
    if counts is None or fresh(counts) is None or arrivals is None:
        return Lag(lag, lag)
    read_at, measured_at = now - counts.age_seconds, now - kafka.age_seconds
    accepted = counts.value.accepted
    moved = accepted - _accepted_at(samples, measured_at, read_at, accepted)
    twice = moved - arrivals * max(0.0, read_at - measured_at)
    return Lag(max(0, lag - max(0, round(twice))), lag)


def _accepted_at(samples: Sequence[Sample], at: float, read_at: float, accepted: int) -> float:
    """The counter at an earlier moment, between two samples on the straight line.

    Before the first sample nothing is known: its own count then, the latest that it can have been.
    A counter that began anew tells nothing either: as if nothing had been accepted since.
    """
    after_at, after = read_at, accepted
    for sample in reversed(samples):
        if sample.accepted > after:
            return float(after)
        if sample.at <= at:
            seconds = after_at - sample.at
            share = (at - sample.at) / seconds if seconds > 0 else 1.0
            return sample.accepted + (after - sample.accepted) * min(1.0, share)
        after_at, after = min(after_at, sample.at), sample.accepted
    return float(after)
