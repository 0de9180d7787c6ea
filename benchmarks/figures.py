"""What a benchmark hands over: figures from interleaved pairs, and the words around them.

Machines drift by a factor of two within minutes, so no figure is a time by itself where a ratio can
be had: ours and the peer's run in turns, the ratio is taken within each pair, and its median and
range are what is shown. Nothing here measures.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some measurements, and their range."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of at least one value."""
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Reach:
    """What a figure is meant to be."""

    kind: Literal["at least", "at most"]
    value: float

    def holds(self, value: float) -> bool:
        """Whether `value` is as it is meant to be."""
        return value >= self.value if self.kind == "at least" else value <= self.value


def at_least(value: float) -> Reach:
    """The figure should be this or more."""
    return Reach("at least", value)


def at_most(value: float) -> Reach:
    """The figure should be this or less."""
    return Reach("at most", value)


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table of figures.

    `ours` and `theirs` say what stood on each side of the ratio, with their unit; `beside` is what
    was measured along with it.
    """

    name: str
    value: Spread
    pairs: int
    unit: str = "x"
    reach: Reach | None = None
    ours: str = ""
    theirs: str = ""
    beside: str = ""

    @property
    def in_reach(self) -> bool | None:
        """Whether the median is as it is meant to be; None: reported only."""
        return None if self.reach is None else self.reach.holds(self.value.median)


@dataclass(frozen=True, slots=True)
class Table:
    """Figures that are not ratios, or too many for a line each."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """One benchmark's outcome."""

    name: str
    title: str
    figures: tuple[Figure, ...]
    conditions: str
    where_the_time_goes: str
    tables: tuple[Table, ...] = ()
    profile: str = ""
    quick: bool = False
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; each figure also says whether it is in reach."""
        document = asdict(self)
        for stored, figure in zip(document["figures"], self.figures, strict=True):
            stored["in_reach"] = figure.in_reach
        return document


def section_from(document: dict[str, Any]) -> Section:
    """The other way round of `Section.to_dict`."""
    figures = []
    for stored in document["figures"]:
        values = {name: value for name, value in stored.items() if name != "in_reach"}
        values["value"] = Spread(**values["value"])
        values["reach"] = Reach(**values["reach"]) if values["reach"] else None
        figures.append(Figure(**values))
    tables = [
        Table(table["title"], tuple(table["head"]), tuple(tuple(row) for row in table["rows"]))
        for table in document["tables"]
    ]
    return Section(**{**document, "figures": tuple(figures), "tables": tuple(tables)})


@dataclass(slots=True)
class Pairs:
    """Measurements of two sides in turns, and the ratio of each turn."""

    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    def add(self, ours: float, theirs: float) -> None:
        """One pair."""
        self.ours.append(ours)
        self.theirs.append(theirs)

    @property
    def ratio(self) -> Spread:
        """Ours ÷ theirs, pair by pair."""
        return Spread.of([a / b for a, b in zip(self.ours, self.theirs, strict=True)])

    @property
    def difference(self) -> Spread:
        """Ours less theirs, pair by pair."""
        return Spread.of([a - b for a, b in zip(self.ours, self.theirs, strict=True)])

    def __len__(self) -> int:
        return len(self.ours)


async def in_turns(
    pairs: int,
    ours: Callable[[], Awaitable[float]],
    theirs: Callable[[], Awaitable[float]],
) -> Pairs:
    """Measure both sides in turns; who begins changes from pair to pair."""
    measured = Pairs()
    for number in range(pairs):
        if number % 2:
            their_value = await theirs()
            our_value = await ours()
        else:
            our_value = await ours()
            their_value = await theirs()
        measured.add(our_value, their_value)
    return measured


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def number(value: float) -> str:
    """A figure for people: three digits that say something."""
    if value == 0 or not abs(value) < 1e15:
        return f"{value:g}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"


def side(values: Sequence[float], unit: str, what: str = "") -> str:
    """One side of a ratio in words: its median and unit."""
    words = f"{number(median(values))} {unit}".strip()
    return f"{words} ({what})" if what else words
