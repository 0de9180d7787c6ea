"""`eventstream cache`: what the semantic cache holds, how it does, how it could do; emptying it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass

import click
from rich.table import Table

from eventstream.cache.advice import Advice
from eventstream.cache.advisor import Advised, Advisor
from eventstream.cache.confidence import Estimate
from eventstream.cache.contract import CacheStats
from eventstream.cache.histogram import BUCKETS_PER_UNIT, HistogramWindow
from eventstream.cache.store import SemanticCache
from eventstream.cli.common import (
    Negative,
    State,
    a_table,
    json_option,
    open_state,
    print_json,
    run,
    stdout_console,
)
from eventstream.redis_client import connect_cache
from eventstream.settings import Settings, load_settings
from eventstream.spec import TASK_TYPE_ALIASES

HITS = ("exact", "semantic")
LOOK_UPS = (*HITS, "near_miss", "miss")

stream_option = click.option("--stream", help="Only this stream.")


@dataclass(frozen=True, slots=True)
class LookUps:
    """What the look-ups of one stream and task type met, over the days that are kept."""

    stream: str
    task_type: str
    outcomes: Mapping[str, int]

    @property
    def total(self) -> int:
        """All look-ups."""
        return sum(self.outcomes.get(outcome, 0) for outcome in LOOK_UPS)

    @property
    def hit_rate(self) -> float:
        """Share of look-ups that were answered from the cache, 0 to 1."""
        hits = sum(self.outcomes.get(outcome, 0) for outcome in HITS)
        return hits / self.total if self.total else 0.0


@click.group()
def cache() -> None:
    """Look into the semantic cache, or clear it.

    \b
    Examples:
      eventstream cache stats
      eventstream cache stats --stream reviews
      eventstream cache advise --stream reviews
      eventstream cache clear --stream reviews --task-type sentiment
    """


@cache.command()
@stream_option
@json_option
def stats(stream: str | None, as_json: bool) -> None:
    """What is kept, and what look-ups met in the last eight days.

    EXACT and SEMANTIC are hits. NEAR were similar enough, but the guard found a difference that
    matters. With --stream also: how similar the texts were, and which differences were refused.
    What a process that is at work counted last comes with its next look-up, or when it is done.
    """
    found, windows = run(_stats(load_settings(), stream))
    totals = look_ups(windows)
    if as_json:
        print_json(
            {
                **asdict(found),
                "look_ups": [
                    {**asdict(row), "total": row.total, "hit_rate": row.hit_rate} for row in totals
                ],
                "similarities": {
                    name: _similarities_document(of_stream) for name, of_stream in windows.items()
                },
            }
        )
        return
    console = stdout_console()
    console.print(f"{found.entries:,} answers kept; semantic search: {_semantic(found)}")
    console.print(_look_ups_table(totals))
    if stream is not None:
        console.print(_similarities_table(windows[stream]))
        console.print(_kinds_table(windows[stream]))


@cache.command()
@stream_option
@json_option
def advise(stream: str | None, as_json: bool) -> None:
    """What another policy or threshold would bring, from what the cache has learned.

    WRONG is the share of semantic hits with another text's answer. Intervals hold with 95 %
    confidence for a stream that stays as it was. Where a figure needs more labelled pairs, it says
    how many. How it is learned: docs/cache.md.
    """
    found = run(_advise(load_settings(), stream))
    if as_json:
        print_json({name: [asdict(each) for each in advice] for name, advice in found.items()})
        return
    console = stdout_console()
    for name, of_stream in found.items():
        for each in of_stream:
            seen = f"{each.look_ups:,} look-ups, {each.pairs:,} labelled pairs"
            console.print(f"{name}, {each.task_type}: {seen}")
            console.print(f"threshold: {each.threshold.explanation}")
            console.print(_advice_table(each))
            console.print(f"{each.line}.\n", soft_wrap=True)
        if not of_stream:
            console.print(f"{name}: nothing learned yet; near texts have to come in first")


@cache.command()
@click.option("--task-type", help="Only answers of this task type.")
@stream_option
@json_option
def clear(task_type: str | None, stream: str | None, as_json: bool) -> None:
    """Remove cached answers: all, or those of a task type, of a stream, or of both.

    The next such texts are asked of the model again. Answers to events are not touched.
    """
    asked = TASK_TYPE_ALIASES.get(task_type, task_type) if task_type else None
    cleared = run(_clear(load_settings(), asked, stream))
    if as_json:
        print_json({"cleared": cleared, "task_type": asked, "stream": stream})
    else:
        click.echo(f"{cleared:,} cached answers removed")


@asynccontextmanager
async def _open_cache(settings: Settings) -> AsyncIterator[SemanticCache]:
    redis = connect_cache(settings.cache_url, timeout_seconds=settings.redis_timeout_seconds)
    try:
        yield SemanticCache(
            redis,
            prefix=settings.eventstream_prefix,
            timeout_seconds=settings.redis_timeout_seconds,
        )
    finally:
        await redis.aclose()


async def _stats(
    settings: Settings, stream: str | None
) -> tuple[CacheStats, dict[str, list[HistogramWindow]]]:
    async with open_state(settings) as state:
        names = sorted(await state.registry.all()) if stream is None else [stream]
        await _refuse_unknown(state, stream)
    async with _open_cache(settings) as opened:
        return await opened.stats(), {name: await opened.histogram(name) for name in names}


async def _advise(settings: Settings, stream: str | None) -> dict[str, list[Advice]]:
    async with open_state(settings) as state:
        streams = await state.registry.all()
        if stream is not None and stream not in streams:
            raise Negative(f"there is no stream {stream!r}; see `eventstream streams`")
        names = sorted(streams) if stream is None else [stream]
        counters = await state.results.counters(names)
    redis = connect_cache(settings.cache_url, timeout_seconds=settings.redis_timeout_seconds)
    try:
        advisor = Advisor(
            redis,
            prefix=settings.eventstream_prefix,
            default_threshold=settings.semantic_similarity_threshold,
        )
        return {
            name: await advisor.read(name, Advised.of(streams[name], counters[name]))
            for name in names
        }
    finally:
        await redis.aclose()


async def _clear(settings: Settings, task_type: str | None, stream: str | None) -> int:
    async with open_state(settings) as state:
        await _refuse_unknown(state, stream)
    async with _open_cache(settings) as opened:
        return await opened.clear(task_type=task_type, stream=stream)


async def _refuse_unknown(state: State, stream: str | None) -> None:
    """Raise Negative for a stream that never was; of a deleted one there may be answers left."""
    if stream is not None and await state.registry.last(stream) is None:
        raise Negative(f"there is no stream {stream!r}; see `eventstream streams`")


def look_ups(windows: Mapping[str, Sequence[HistogramWindow]]) -> list[LookUps]:
    """Each stream's hours, added up by task type."""
    totals: dict[tuple[str, str], Counter[str]] = {}
    for stream, of_stream in windows.items():
        for window in of_stream:
            totals.setdefault((stream, window.task_type), Counter()).update(window.outcomes)
    return [
        LookUps(stream, task_type, dict(outcomes))
        for (stream, task_type), outcomes in sorted(totals.items())
    ]


def by_similarity(windows: Sequence[HistogramWindow]) -> dict[int, Counter[str]]:
    """Bucket (97: 0.97 up to 0.98) -> outcome -> look-ups, the most similar first."""
    buckets: dict[int, Counter[str]] = {}
    for window in windows:
        for (outcome, bucket), count in window.similarities.items():
            buckets.setdefault(bucket, Counter())[outcome] += count
    return dict(sorted(buckets.items(), reverse=True))


def refused_kinds(windows: Sequence[HistogramWindow]) -> Counter[str]:
    """Kind of difference -> candidates that it spoke against."""
    kinds: Counter[str] = Counter()
    for window in windows:
        for (_, kind), count in window.kinds.items():
            kinds[kind] += count
    return kinds


def _semantic(found: CacheStats) -> str:
    if not found.semantic_available:
        return f"off: {found.semantic_reason}"
    kinds = ", ".join(sorted(set(found.indexes.values())))
    return f"on ({kinds})" if kinds else "on (no index yet)"


def _similarities_document(windows: Sequence[HistogramWindow]) -> dict[str, dict[str, int]]:
    return {
        f"{bucket / BUCKETS_PER_UNIT:.2f}": dict(outcomes)
        for bucket, outcomes in by_similarity(windows).items()
    }


def _look_ups_table(totals: Sequence[LookUps]) -> Table:
    numbers = ("LOOK-UPS", "EXACT", "SEMANTIC", "NEAR", "MISSES", "HIT RATE")
    table = a_table("STREAM", "TASK", *numbers, numbers=numbers)
    for row in totals:
        table.add_row(
            row.stream,
            row.task_type,
            f"{row.total:,}",
            *(f"{row.outcomes.get(outcome, 0):,}" for outcome in LOOK_UPS),
            f"{row.hit_rate:.0%}",
        )
    if not totals:
        table.add_row("no look-up yet", *("",) * 7)
    return table


def _similarities_table(windows: Sequence[HistogramWindow]) -> Table:
    numbers = ("HITS", "NEAR", "MISSES")
    table = a_table("SIMILARITY", *numbers, numbers=numbers)
    for bucket, outcomes in by_similarity(windows).items():
        low = bucket / BUCKETS_PER_UNIT
        table.add_row(
            f"{low:.2f} to {min(1.0, low + 1 / BUCKETS_PER_UNIT):.2f}",
            f"{outcomes['semantic']:,}",
            f"{outcomes['near_miss']:,}",
            f"{outcomes['miss']:,}",
        )
    return table


def _kinds_table(windows: Sequence[HistogramWindow]) -> Table:
    table = a_table("REFUSED FOR", "CANDIDATES", numbers=("CANDIDATES",))
    for kind, count in refused_kinds(windows).most_common():
        table.add_row(kind.replace("_", " "), f"{count:,}")
    return table


def _advice_table(found: Advice) -> Table:
    numbers = ("HITS", "WRONG", "SAVED / 1,000", "MODEL CALLS", "PAIRS MISSING")
    table = a_table("POLICY", *numbers, numbers=numbers)
    for option, mark in (
        (found.in_force, " (now)"),
        *((each, "") for each in found.options if each.name != found.in_force.name),
    ):
        saved = option.saved_microdollars_per_1000
        table.add_row(
            f"{option.name}{mark}",
            _percent(option.hits),
            "-" if option.wrong is None else _percent(option.wrong),
            "no price" if saved is None else f"${saved.value / 1_000_000:,.4f}",
            f"{option.model_calls - 1:+.0%}",
            f"{option.missing_pairs:,}" if option.missing_pairs else "-",
        )
    return table


def _percent(share: Estimate) -> str:
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})"
