"""The results as Markdown tables, and as a picture (SVG, drawn here: it is lines and text)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from benchmarks.bounded.run import CLAIM, Tally
from eventstream.cache.advice import Option
from eventstream.cache.confidence import Estimate, clopper_pearson, upper_limit, wilson

COLOURS: Final = {
    "guarded": "#1971c2",
    "bounded 2 %": "#2f9e44",
    "bounded 5 %": "#e8590c",
    "threshold 0.85": "#d6336c",
}
WIDTH, PANEL, LEFT, TOP, GAP = 1000, 180, 60, 60, 50
_CLAIMS_A_POINT: Final = 6


@dataclass(frozen=True)
class Measured:
    """One policy on one stream, by halves and claim by claim."""

    policy: str
    changes: bool
    seed: int
    first: Tally
    second: Tally
    claims: tuple[Tally, ...]

    @property
    def whole(self) -> Tally:
        """Both halves."""
        total = Tally()
        total.add(self.first)
        total.add(self.second)
        return total

    @property
    def bound(self) -> float | None:
        """The share of wrong hits that the policy is to stay below; None without one."""
        words = self.policy.split()
        return float(words[1]) / 100 if words[0] == "bounded" else None


@dataclass(frozen=True)
class Forecast:
    """What the advice said after half a stream, and what came in the other half."""

    policy: str
    option: Option
    before: Tally
    happened: Tally
    line: str

    def as_line(self) -> str:
        """For the terminal."""
        wrong = clopper_pearson(self.happened.wrong, self.happened.semantic)
        foreseen = "-" if self.option.wrong is None else percent(self.option.wrong)
        return (
            f"forecast {self.policy}: hits {percent(self.option.hits)} foreseen,"
            f" {self.happened.hit_ratio:.1%} came; wrong {foreseen} foreseen, {percent(wrong)} came"
        )


def percent(share: Estimate) -> str:
    """A share with its interval."""
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})"


def row(measured: Measured) -> str:
    """For the terminal."""
    whole = measured.whole
    return (
        f"{'changes' if measured.changes else 'steady':8s} seed {measured.seed}"
        f" {measured.policy:16s} hits {whole.hit_ratio:.1%}, wrong {whole.wrong} of"
        f" {whole.semantic} (at most {upper_limit(whole.wrong, whole.semantic):.2%}),"
        f" checks {whole.checks}"
    )


def pooled(measured: Sequence[Measured], policy: str, changes: bool) -> tuple[Tally, Tally]:
    """The halves of all seeds together."""
    first, second = Tally(), Tally()
    for each in measured:
        if (each.policy, each.changes) == (policy, changes):
            first.add(each.first)
            second.add(each.second)
    return first, second


def markdown(measured: Sequence[Measured], forecasts: Sequence[Forecast], *, events: int) -> str:
    """The whole of results.md."""
    seeds = len({each.seed for each in measured})
    lines = [
        "# `bounded` on streams whose truth is known",
        "",
        f"Made by `python -m benchmarks.bounded --events {events} --seeds {seeds}`: so many streams"
        f" of each nature, of {events:,} texts each, in English and Spanish, from templates whose"
        " labels are certain; asked again by Zipf's law, in other surface forms each time."
        " Embeddings, guard, cache, Redis and pipeline are the real ones; the model is a function"
        " that knows the truth. `threshold` ran on the first stream only.",
        "",
        "**Hits**: events answered without a model call of their own, checked ones not among them."
        " **Wrong**: semantic hits with another label than the text's. **At most**: the one-sided"
        " 95 % limit of that share (Clopper-Pearson). **Checks**: hits that were asked of the model"
        " all the same.",
        "",
        "![Hits, and wrong hits so far, over a stream that changes](results.svg)",
    ]
    for changes, title in (
        (False, "A stream that stays as it is"),
        (True, "A stream that changes its nature half-way: now numbers and names decide"),
    ):
        lines += [
            "",
            f"## {title}",
            "",
            "| policy | hits, 1st half | hits, 2nd half | semantic hits | wrong | at most | bound"
            " | checks |",
            "|---|--:|--:|--:|--:|--:|--:|--:|",
        ]
        for policy in dict.fromkeys(each.policy for each in measured):
            first, second = pooled(measured, policy, changes)
            whole = Tally()
            whole.add(first)
            whole.add(second)
            if not whole.events:
                continue
            bound = next(each.bound for each in measured if each.policy == policy)
            limit = upper_limit(whole.wrong, whole.semantic)
            kept = "-" if bound is None else f"{bound:.0%}, {'kept' if limit < bound else 'BROKEN'}"
            lines.append(
                f"| {policy} | {percent(hits_of(first))} | {percent(hits_of(second))}"
                f" | {whole.semantic:,} | {whole.wrong:,} | {limit:.2%} | {kept}"
                f" | {whole.checks:,} |"
            )
    lines += [
        "",
        "## The advice against what then happened",
        "",
        "Half a steady stream under `guarded`, then the advice is read, then the other half under"
        " the policy. A cache gets warmer with time under every policy, as the halves of `guarded`"
        " above show: what is foreseen is the stream as it was.",
        "",
        "| policy | hits foreseen | hits that came | wrong foreseen | wrong that came |",
        "|---|--:|--:|--:|--:|",
    ]
    for each in forecasts:
        wrong = clopper_pearson(each.happened.wrong, each.happened.semantic)
        foreseen = "-" if each.option.wrong is None else percent(each.option.wrong)
        lines.append(
            f"| {each.policy} | {percent(each.option.hits)} | {percent(hits_of(each.happened))}"
            f" | {foreseen} | {percent(wrong)} |"
        )
    if forecasts:
        lines += ["", "What it said in one sentence:", "", f"> {forecasts[0].line}."]
    lines += [
        "",
        "## What this leaves out",
        "",
        "- Templates are kinder than people: within one, texts differ in their slots only.",
        "- The model never errs and never changes its mind. One that does makes pairs disagree, so"
        " less is accepted, not more.",
        "",
    ]
    return "\n".join(lines)


def hits_of(tally: Tally) -> Estimate:
    """The share of hits, with its interval."""
    return wilson(tally.exact + tally.semantic, tally.events)


def svg(measured: Sequence[Measured]) -> str:
    """Two panels of the first changing stream: hits by claim, and wrong hits so far."""
    shown = [each for each in measured if each.changes]
    shown = [each for each in shown if each.seed == shown[0].seed]
    height = TOP + 2 * (PANEL + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    events = sum(tally.events for tally in shown[0].claims)
    for index, each in enumerate(shown):
        x = LEFT + index * 180
        colour = COLOURS[each.policy]
        parts.append(
            f'<rect x="{x}" y="14" width="18" height="4" fill="{colour}"/>'
            f'<text x="{x + 24}" y="20">{escape(each.policy)}</text>'
        )
    hits = {each.policy: _hits(each.claims) for each in shown}
    wrong = {each.policy: _wrong(each.claims) for each in shown}
    most = {"hits": 1.0, "wrong": max(0.06, *(max(values) for values in wrong.values()))}
    for place, (title, series, top_value) in enumerate(
        (
            ("share of events answered from the cache", hits, most["hits"]),
            ("share of wrong answers among all semantic hits so far", wrong, most["wrong"]),
        )
    ):
        top = TOP + place * (PANEL + GAP)
        parts.append(_frame(top, title, top_value, events))
        if series is wrong:
            parts += [_level(top, bound, top_value) for bound in (0.02, 0.05)]
        for policy, values in series.items():
            parts.append(_line(top, values, top_value, COLOURS[policy]))
    return "\n".join([*parts, "</svg>", ""])


def _hits(claims: Sequence[Tally]) -> list[float]:
    points = []
    for at in range(0, len(claims), _CLAIMS_A_POINT):
        total = Tally()
        for claim in claims[at : at + _CLAIMS_A_POINT]:
            total.add(claim)
        points.append(total.hit_ratio)
    return points


def _wrong(claims: Sequence[Tally]) -> list[float]:
    total, points = Tally(), []
    for at, claim in enumerate(claims):
        total.add(claim)
        if at % _CLAIMS_A_POINT == _CLAIMS_A_POINT - 1:
            points.append(total.wrong / total.semantic if total.semantic else 0.0)
    return points


def _frame(top: int, title: str, most: float, events: int) -> str:
    width = WIDTH - LEFT - 20
    middle = LEFT + width / 2
    return (
        f'<rect x="{LEFT}" y="{top}" width="{width}" height="{PANEL}" fill="none" stroke="#ccc"/>'
        f'<line x1="{middle}" x2="{middle}" y1="{top}" y2="{top + PANEL}" stroke="#999"'
        ' stroke-dasharray="4 4"/>'
        f'<text x="{middle + 4}" y="{top + PANEL - 6}" fill="#666">the stream changes</text>'
        f'<text x="{LEFT - 4}" y="{top + 10}" text-anchor="end">{most:.0%}</text>'
        f'<text x="{LEFT - 4}" y="{top + PANEL}" text-anchor="end">0</text>'
        f'<text x="{LEFT + width}" y="{top + PANEL + 14}" text-anchor="end">{events:,} events,'
        f" {CLAIM} at a time</text>"
        f'<text x="{LEFT}" y="{top - 8}" font-weight="bold">{title}</text>'
    )


def _level(top: int, bound: float, most: float) -> str:
    y = top + PANEL - PANEL * bound / most
    return (
        f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y:.0f}" y2="{y:.0f}" stroke="#bbb"/>'
        f'<text x="{LEFT + 4}" y="{y - 3:.0f}" fill="#666">bound {bound:.0%}</text>'
    )


def _line(top: int, values: Sequence[float], most: float, colour: str) -> str:
    width = WIDTH - LEFT - 20
    last = max(1, len(values) - 1)
    points = " ".join(
        f"{LEFT + width * at / last:.0f},{top + PANEL - PANEL * value / most:.0f}"
        for at, value in enumerate(values)
    )
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.4"/>'
