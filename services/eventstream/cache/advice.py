"""What another policy or threshold would bring a stream: hits, wrong hits, money, model calls.

Pure. The histogram says how often a candidate of which similarity and which differences was there,
the evidence how often its answer was the right one; an option is what it would have given of that.
It foresees the same stream, not another one, and says how sure it is: nothing is advised that too
few pairs speak for.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from eventstream.cache.confidence import Estimate, clopper_pearson, wilson
from eventstream.cache.evidence import Evidence
from eventstream.cache.histogram import HistogramWindow, bucket_of
from eventstream.cache.policy import EVIDENCE_MARGIN
from eventstream.cache.similarity import Threshold
from eventstream.cache.trust import (
    HARMLESS_ONLY,
    Counts,
    KindEvidence,
    lowest_accepted,
    pairs_missing,
)
from eventstream.spec import default_check_percent

LEAST_LOOK_UPS: Final = 200
LEAST_PAIRS: Final = 60
"""So many pairs, all of them right, say with 95 % confidence: fewer than 5 % wrong."""
BOUNDS_PERCENT: Final = (1.0, 2.0, 5.0)
THRESHOLDS: Final = (0.98, 0.95, 0.9)
_ADVISED_BOUND_PERCENT: Final = 2.0
_WORTH_SAYING: Final = 0.01
_UNKNOWN: Final = "?"

Cells = Mapping[tuple[int, str], float]
"""(similarity bucket, combination of kinds) -> look-ups whose nearest candidate was such."""


@dataclass(frozen=True, slots=True)
class InForce:
    """The policy that a stream has now. `guarded_threshold`: where the guard would begin.

    `check_percent`: as the stream sets it; None where it leaves that to the policy.
    """

    policy: str
    threshold: Threshold
    guarded_threshold: float
    check_percent: float | None
    max_wrong_hit_percent: float | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """A policy with its numbers, and what it would bring.

    `hits`: share of look-ups answered without a model call. `wrong`: share of its semantic hits
    whose answer is another text's; None where it has none. `extra_hits` and
    `saved_microdollars_per_1000` are against the policy in force, the latter None where no price is
    known. `model_calls`: 0.8 means a fifth fewer, and that many fewer workers where they wait for
    the model. `pairs`: labelled ones that `wrong` is drawn from. `missing_pairs`: how many more it
    takes before it says anything.
    """

    name: str
    policy: str
    threshold: float
    max_wrong_hit_percent: float | None
    hits: Estimate
    wrong: Estimate | None
    extra_hits: Estimate
    saved_microdollars_per_1000: Estimate | None
    model_calls: float
    pairs: int
    missing_pairs: int


@dataclass(frozen=True)
class Advice:
    """What is known of one task of a stream. `repeats`: the most hits that any policy could have.

    `opens_after`: how many more agreeing pairs would let `bounded` (at 2 %) accept a kind of
    difference that it does not accept yet; None where nothing points that way.
    """

    task_type: str
    embedding_model: str
    threshold: Threshold
    look_ups: int
    pairs: int
    in_force: Option
    options: tuple[Option, ...]
    repeats: float
    opens_after: int | None
    line: str = field(default="")


def advice(
    task_type: str,
    windows: Sequence[HistogramWindow],
    evidence: Sequence[Evidence],
    now: InForce,
    cost_microdollars: float | None,
) -> Advice:
    """The options of one task, from its hours of look-ups and its scopes' evidence.

    `cost_microdollars`: what a model call costs on average; None where no price is known.
    """
    traffic = _Traffic.of(windows, evidence)
    largest = max(evidence, key=_pairs, default=Evidence())

    def plan_of(policy: str, threshold: float, percent: float | None = None) -> "_Plan":
        return _plan(policy, threshold, percent, now.check_percent)

    force = plan_of(now.policy, now.threshold.value, now.max_wrong_hit_percent)
    plans = [
        plan_of("guarded", now.guarded_threshold),
        plan_of("guarded", now.guarded_threshold - EVIDENCE_MARGIN),
        *(plan_of("bounded", now.guarded_threshold, percent) for percent in BOUNDS_PERCENT),
        *(plan_of("threshold", value) for value in THRESHOLDS),
    ]

    def option(plan: "_Plan") -> Option:
        return traffic.option(plan, force, largest, cost_microdollars)

    bound = _ADVISED_BOUND_PERCENT / 100
    waiting = [
        missing
        for name, kinds in largest.kinds.items()
        if name != HARMLESS_ONLY and kinds.above(now.guarded_threshold).pairs >= LEAST_PAIRS
        if (missing := pairs_missing(kinds, bound, now.guarded_threshold))
    ]
    found = Advice(
        task_type=task_type,
        embedding_model=largest.embedding_model,
        threshold=now.threshold,
        look_ups=traffic.look_ups,
        pairs=sum(_pairs(each) for each in evidence),
        in_force=option(force),
        options=tuple(option(plan) for plan in plans),
        repeats=traffic.share(traffic.exact + traffic.above(now.guarded_threshold)),
        opens_after=min(waiting, default=None),
    )
    return Advice(**{**vars(found), "line": _line(found)})


@dataclass(frozen=True)
class _Plan:
    name: str
    policy: str
    threshold: float
    max_wrong_hit_percent: float | None
    checked: float
    checked_opened: float

    def serves(self, evidence: Evidence) -> Callable[[int, str], bool]:
        """Which cells are given under this plan."""
        lowest = bucket_of(self.threshold)
        if self.policy == "threshold":
            return lambda bucket, kinds: bucket >= lowest
        opened: dict[str, float] = {}
        if self.max_wrong_hit_percent is not None:
            bound = self.max_wrong_hit_percent / 100
            opened = {
                name: lowest_accepted(kinds, bound, self.threshold)
                for name, kinds in evidence.kinds.items()
                if name != HARMLESS_ONLY or kinds.epoch
            }
        harmless = opened.get(HARMLESS_ONLY, self.threshold)

        def given(bucket: int, kinds: str) -> bool:
            least = harmless if kinds == HARMLESS_ONLY else opened.get(kinds, math.inf)
            return least < math.inf and bucket >= max(lowest, bucket_of(least))

        return given


def _plan(
    policy: str, threshold: float, percent: float | None, check_percent: float | None
) -> _Plan:
    name = {
        "bounded": f"bounded {percent:g} %" if percent is not None else policy,
        "threshold": f"threshold {threshold:.2f}",
    }.get(policy, f"{policy} {threshold:.2f}")
    if check_percent is None:
        check_percent = default_check_percent(policy)
    # `bounded` is not to be had without checks.
    checked = max(check_percent, 1.0 if policy == "bounded" else 0.0) / 100
    return _Plan(name, policy, threshold, percent, checked, min(1.0, 4 * checked))


@dataclass(frozen=True)
class _Traffic:
    look_ups: int
    exact: int
    cells: Cells
    pairs: Mapping[str, KindEvidence]

    @classmethod
    def of(cls, windows: Sequence[HistogramWindow], evidence: Sequence[Evidence]) -> "_Traffic":
        outcomes: Counter[str] = Counter()
        near: Counter[int] = Counter()
        cells: Counter[tuple[int, str]] = Counter()
        for window in windows:
            outcomes.update(window.outcomes)
            for (_, bucket), count in window.similarities.items():
                near[bucket] += count
            cells.update(window.pairs)
        pairs = _merged(evidence)
        found: dict[tuple[int, str], float] = {cell: float(n) for cell, n in cells.items()}
        for bucket, count in near.items():
            # What nobody compared is like what was learned about at this similarity.
            rest = count - sum(n for (at, _), n in cells.items() if at == bucket)
            here = {name: kinds.counts.get(bucket, Counts()).pairs for name, kinds in pairs.items()}
            total = sum(here.values())
            for name, learned in here.items() if total else [(_UNKNOWN, 1)]:
                share = learned / (total or 1)
                cell = (bucket, name)
                found[cell] = found.get(cell, 0.0) + max(0, rest) * share
        look_ups = sum(outcomes[each] for each in ("exact", "semantic", "near_miss", "miss"))
        return cls(look_ups, outcomes["exact"], found, pairs)

    def share(self, look_ups: float) -> float:
        return look_ups / self.look_ups if self.look_ups else 0.0

    def above(self, threshold: float) -> float:
        lowest = bucket_of(threshold)
        return sum(count for (bucket, _), count in self.cells.items() if bucket >= lowest)

    def served(self, plan: _Plan, evidence: Evidence) -> tuple[float, float]:
        """Look-ups given with harmless differences only, and with others."""
        given = plan.serves(evidence)
        harmless = others = 0.0
        for (bucket, kinds), count in self.cells.items():
            if given(bucket, kinds):
                if kinds == HARMLESS_ONLY:
                    harmless += count
                else:
                    others += count
        return harmless, others

    def hits(self, plan: _Plan, evidence: Evidence) -> float:
        """Look-ups answered without a model call."""
        harmless, others = self.served(plan, evidence)
        checked = plan.checked_opened if plan.policy == "bounded" else plan.checked
        return self.exact + harmless * (1 - plan.checked) + others * (1 - checked)

    def option(self, plan: _Plan, force: _Plan, evidence: Evidence, cost: float | None) -> Option:
        hits, current = self.hits(plan, evidence), self.hits(force, evidence)
        extra = wilson(abs(hits - current), self.look_ups)
        if hits < current:
            extra = Estimate(-extra.value, -extra.high, -extra.low)
        wrong, pairs, missing = self._wrong(plan, force, evidence)
        misses = self.look_ups - current
        return Option(
            name=plan.name,
            policy=plan.policy,
            threshold=plan.threshold,
            max_wrong_hit_percent=plan.max_wrong_hit_percent,
            hits=wilson(hits, self.look_ups),
            wrong=wrong,
            extra_hits=extra,
            saved_microdollars_per_1000=None
            if cost is None
            else Estimate(*(1000 * cost * each for each in (extra.value, extra.low, extra.high))),
            model_calls=(self.look_ups - hits) / misses if misses > 0 else 1.0,
            pairs=pairs,
            missing_pairs=missing,
        )

    def _wrong(
        self, plan: _Plan, force: _Plan, evidence: Evidence
    ) -> tuple[Estimate | None, int, int]:
        """The share of wrong answers among what is given; pairs that say so, and missing ones.

        What is given falls into parts whose pairs are drawn in different shares: what the policy in
        force gives is checked now and then, what it refuses always. Each part has its
        Clopper-Pearson interval, and the interval of their weighted sum is put together by MOVER
        (Zou and Donner 2008).
        """
        given, already = plan.serves(evidence), force.serves(evidence)
        weights: defaultdict[tuple[bool, bool], float] = defaultdict(float)
        counts: defaultdict[tuple[bool, bool], Counts] = defaultdict(Counts)
        for (bucket, kinds), count in self.cells.items():
            if given(bucket, kinds):
                weights[kinds == HARMLESS_ONLY, already(bucket, kinds)] += count
        for kinds, learned in self.pairs.items():
            for bucket, pairs in learned.counts.items():
                if given(bucket, kinds):
                    counts[kinds == HARMLESS_ONLY, already(bucket, kinds)] += pairs
        total = sum(weights.values())
        if not total:
            return None, 0, 0
        value = below = above = 0.0
        missing = 0
        for part, weight in weights.items():
            estimate = clopper_pearson(counts[part].disagreed, counts[part].pairs)
            value += weight / total * estimate.value
            below += (weight / total * (estimate.value - estimate.low)) ** 2
            above += (weight / total * (estimate.high - estimate.value)) ** 2
            missing += max(0, LEAST_PAIRS - counts[part].pairs)
        low, high = max(0.0, value - math.sqrt(below)), min(1.0, value + math.sqrt(above))
        return Estimate(value, low, high), sum(counts[part].pairs for part in weights), missing


def _pairs(evidence: Evidence) -> int:
    return sum(kinds.above(0).pairs for kinds in evidence.kinds.values())


def _merged(evidence: Iterable[Evidence]) -> dict[str, KindEvidence]:
    merged: dict[str, KindEvidence] = {}
    for each in evidence:
        for name, kinds in each.kinds.items():
            known = merged.get(name, KindEvidence(kinds.rank, kinds.epoch, {}))
            counts = dict(known.counts)
            for bucket, more in kinds.counts.items():
                counts[bucket] = counts.get(bucket, Counts()) + more
            merged[name] = KindEvidence(known.rank, known.epoch, counts)
    return merged


def _line(found: Advice) -> str:
    """The advice in one sentence, for a condition or a panel."""
    if found.look_ups < LEAST_LOOK_UPS:
        return (
            f"{found.task_type}: too few look-ups to advise on: {found.look_ups} of"
            f" {LEAST_LOOK_UPS}"
        )
    now = found.in_force
    said = f"{found.task_type}: {now.name} answers {_percent(now.hits.value)} from the cache"
    best = _best(found)
    if best is None or best.wrong is None:
        said += f", and at most {_percent(found.repeats)} of its texts have an earlier one so near"
        if found.opens_after is not None:
            said += (
                f"; {found.opens_after:,} more agreeing pairs would let bounded"
                f" {_ADVISED_BOUND_PERCENT:g} % accept more"
            )
        return said
    said += (
        f"; {best.name} would answer {_percent(best.hits.value)} ({100 * best.hits.low:.0f} to"
        f" {_percent(best.hits.high)}) with {_percent(1 - best.model_calls)} fewer model calls"
    )
    if best.saved_microdollars_per_1000 is not None:
        dollars = best.saved_microdollars_per_1000.value / 1_000_000
        said += f", saving ${dollars:.4f} per 1,000 events"
    if best.missing_pairs:
        return f"{said}; {best.missing_pairs} more checked hits would tell how many are wrong"
    return (
        f"{said}, and at most {_percent(best.wrong.high, 1)} of its semantic hits wrong (95 %, by"
        f" {best.pairs:,} labelled pairs)"
    )


def _best(found: Advice) -> Option | None:
    """The option that is clearly worth a change: within the stream's bound, most hits first.

    `bounded` keeps its bound by itself; a lower threshold has to have shown that it would.
    """
    now = found.in_force
    percent = now.max_wrong_hit_percent or _ADVISED_BOUND_PERCENT

    def may(option: Option) -> bool:
        if option.wrong is None or option.extra_hits.low < _WORTH_SAYING:
            return False
        if option.policy == "bounded":
            return option.max_wrong_hit_percent == percent
        proven = not option.missing_pairs and 100 * option.wrong.high <= percent
        return option.policy == now.policy and option.threshold < now.threshold and proven

    return max(filter(may, found.options), key=lambda option: option.hits.value, default=None)


def _percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"
