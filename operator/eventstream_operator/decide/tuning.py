"""The constants of the decisions, each with the reason for its size.

They are no settings: what a user tunes stands in the stream's spec. `benchmarks/autoscale` shows
what they bring.
"""

from __future__ import annotations

from typing import Final

RATE_WINDOW_SECONDS: Final = 60.0
"""Arrivals and capacity are means over this: long enough for calls of many seconds."""

LEAST_RATE_SECONDS: Final = 4.0
"""No rate is drawn from less."""

SAMPLE_SECONDS: Final = 1.5
"""Counters are kept this far apart at least, so that a busy loop does not swell the memory."""

SCALE_IN_WINDOW_SECONDS: Final = 60.0
"""Fewer pods must do for all of this before pods leave; also the quiet time after a start."""

CONSUMER_WINDOW_SECONDS: Final = 180.0
"""The same for consumers: each change hands partitions over, so they leave later."""

TOLERANCE: Final = 0.1
"""Scale-in leaves the pods that stay this much of their capacity free."""

STEP_FACTOR: Final = 2
"""At most this many times the pods in one step."""

STEP_SECONDS: Final = 1.5
"""And no two steps closer than this."""

CAPACITY_REMEMBERED_SECONDS: Final = 3600.0
"""A worker's capacity is only seen while work waits; the last one seen counts this long."""

STARTING_SECONDS: Final = 120.0
"""Images are pulled, pods start, and the metrics API measures a new pod for the first time."""

SIGNAL_STALE_SECONDS: Final = 15.0
"""Redis and Kubernetes are read every pass, heartbeats and lag come every few seconds."""

CPU_STALE_SECONDS: Final = 90.0
"""metrics.k8s.io measures every 15 to 60 s."""

HIT_RATE_STALE_SECONDS: Final = 300.0
"""A hit rate is that of the last five minutes: older ones are of another time altogether."""

NEARLY_ALL: Final = 0.95
"""A provider's limit counts as reached from here on; and as holding back calls while fewer than
this share of them go through at the first attempt."""

LEAST_FREEZE_SECONDS: Final = 2.0
"""A shorter wait that a provider asks for is slept by the calls, and says little about workers."""

LEVEL_SECONDS: Final = 10.0
"""Throughput before an addition: with all workers busy for at least this long."""

TRIAL_SECONDS: Final = 30.0
"""Throughput after it: all of them ready, and work waiting, for at least this long."""

TRIAL_EVENTS: Final = 20
"""And no judgement upon fewer finished events than this."""

LEVEL_REMEMBERED_SECONDS: Final = 300.0
"""An older throughput is no measure of an addition made now."""

LEAST_GAIN: Final = 0.25
"""An addition counts as ineffective below this share of the throughput it should have brought."""

INEFFECTIVE_SECONDS: Final = 300.0
"""How long an ineffective addition is not tried again; doubled each time, up to an hour."""

INEFFECTIVE_MOST_SECONDS: Final = 3600.0

REVIEW_LOOK_UPS: Final = 200
"""The hit rate says little before this many look-ups in the window."""
