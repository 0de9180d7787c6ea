"""The load: when events come, and how long the model takes for each."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from benchmarks.autoscale.cluster import Event

Rate = Callable[[int], float]
Call = Callable[[random.Random], float]


def _usual_call(dice: random.Random) -> float:
    """Around 2 s."""
    return dice.lognormvariate(math.log(2.0) - 0.3**2 / 2, 0.3)


def _long_tailed_call(dice: random.Random) -> float:
    """Mostly 1.2 s; one in fifty takes 20 to 60 s."""
    return dice.uniform(20, 60) if dice.random() < 0.02 else dice.lognormvariate(0.1, 0.4)


@dataclass(frozen=True, slots=True)
class Trace:
    """One situation."""

    name: str
    what: str
    seconds: int
    rate: Rate
    call: Call = _usual_call
    start_seconds: float = 15.0
    provider_calls_per_second: float = 0.0
    refusals_count: bool = True
    """A call that the provider refuses counts against its limit too."""

    def events(self, seed: int) -> list[Event]:
        """The events of one run, by time of arrival: Poisson arrivals around the rate."""
        dice = random.Random(seed)
        events: list[Event] = []
        at = 0.0
        for second in range(self.seconds):
            rate = self.rate(second)
            at = max(at, float(second))
            while rate > 0:
                at += dice.expovariate(rate)
                if at >= second + 1:
                    break
                events.append(Event(at, self.call(dice)))
        return events


def _between(at: int, since: int, until: int, inside: float, outside: float) -> float:
    return inside if since <= at < until else outside


TRACES: Final = (
    Trace(
        "step",
        "10 events/s, 60/s from second 300 to 1,200, then 10/s",
        2100,
        lambda at: _between(at, 300, 1200, 60, 10),
    ),
    Trace(
        "spike",
        "5 events/s, and 6,000 at once within 10 s at second 300",
        1500,
        lambda at: _between(at, 300, 310, 600, 5),
    ),
    Trace(
        "daily wave",
        "5 to 75 events/s and back in an hour: a day, compressed",
        3600,
        lambda at: 40 - 35 * math.cos(2 * math.pi * at / 3600),
    ),
    Trace(
        "provider throttling",
        "10 events/s, 60/s from second 300 to 900; the provider answers 40 calls/s, the rest gets"
        " 429 with a Retry-After of 5 s or more, and counts as well",
        2100,
        lambda at: _between(at, 300, 900, 60, 10),
        provider_calls_per_second=40,
    ),
    Trace(
        "throttling, refused calls free",
        "the trace before, with a provider that does not count what it refuses",
        2100,
        lambda at: _between(at, 300, 900, 60, 10),
        provider_calls_per_second=40,
        refusals_count=False,
    ),
    Trace(
        "long-tailed calls",
        "10 events/s, 40/s from second 300 to 1,200; one call in fifty takes 20 to 60 s",
        1800,
        lambda at: _between(at, 300, 1200, 40, 10),
        call=_long_tailed_call,
    ),
    Trace(
        "slow start of pods",
        "the step, with pods that need 90 s to become ready",
        2100,
        lambda at: _between(at, 300, 1200, 60, 10),
        start_seconds=90.0,
    ),
)
