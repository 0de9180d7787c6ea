"""The scale of similarity, and where on it each embedding model begins to be useful.

The documented scale is similarity = 1 - distance / 2 with the cosine distance of the index, which
is (1 + cosine) / 2. A threshold means nothing without its embedding model: 0.85 is far apart for
one and nearly everything for another. So the values are a table, by model and policy.
"""

from dataclasses import dataclass
from typing import Literal

SemanticPolicy = Literal["threshold", "guarded"]


@dataclass(frozen=True, slots=True)
class Similarity:
    """How close two texts lie: `value` on the documented scale (0 to 1), and their `cosine`."""

    value: float
    cosine: float


@dataclass(frozen=True, slots=True)
class Threshold:
    """From which documented similarity on a candidate counts, and whether that was measured."""

    value: float
    calibrated: bool
    explanation: str


@dataclass(frozen=True, slots=True)
class _Calibration:
    guarded: float
    threshold: float


# How the local model's values were measured: docs/cache.md. With the guard, the threshold only
# keeps unrelated candidates away; without it, it is all there is, and has to be strict.
_CALIBRATIONS = {
    "text-embedding-3-small": _Calibration(guarded=0.85, threshold=0.85),
    "all-MiniLM-L6-v2": _Calibration(guarded=0.85, threshold=0.98),
}
_UNKNOWN = _Calibration(guarded=0.9, threshold=0.98)


def from_distance(distance: float) -> Similarity:
    """The similarity of a cosine distance (0 to 2; rounding in the index may leave that range)."""
    clamped = min(max(distance, 0.0), 2.0)
    return Similarity(value=1.0 - clamped / 2.0, cosine=1.0 - clamped)


def threshold_for(
    embedding_model: str, policy: SemanticPolicy, override: float | None = None
) -> Threshold:
    """The threshold in force.

    `override` (a setting, a stream's or a task's) wins; otherwise the table decides by the model's
    name without its provider ("local/all-MiniLM-L6-v2"), and an unknown model gets a strict value.
    """
    if override is not None:
        return Threshold(override, True, f"{override} was set")
    name = embedding_model.rpartition("/")[2]
    calibration = _CALIBRATIONS.get(name)
    if calibration is not None:
        value = getattr(calibration, policy)
        return Threshold(value, True, f"{value} is the value calibrated for {name}")
    value = getattr(_UNKNOWN, policy)
    return Threshold(
        value,
        False,
        f"{value} is a cautious value: nothing was measured for {embedding_model or 'this model'};"
        " set a threshold of your own to change it",
    )
