"""How the demonstration looks: a live panel on a terminal, plain lines elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from eventstream.embedded.demo.figures import REFERENCE_MODEL, Figures
from eventstream.events import TaskStatus
from eventstream.llm.cost import PriceList

TEXT_CHARS = 64
ANSWER_CHARS = 40


@dataclass(frozen=True)
class Answer:
    """One answered (or failed) event, as it is shown."""

    text: str
    answer: str
    origin: str
    """`model`, `cache`, or `failed`."""


def answer_of(text: str, status: TaskStatus) -> Answer:
    """A finished event in a few words."""
    result = status.result
    if result is None:
        return Answer(_short(text, TEXT_CHARS), _short(status.error or "", ANSWER_CHARS), "failed")
    origin = "cache" if result.from_cache else "model"
    if result.similarity is not None and result.similarity < 1.0:
        origin += f" {result.similarity:.3f}"
    return Answer(_short(text, TEXT_CHARS), _short(result.response, ANSWER_CHARS), origin)


def live_panel(now: Figures, prices: PriceList, latest: Sequence[Answer]) -> Panel:
    """The figures, and the latest answers below them."""
    cells = [f"[dim]{name}[/dim] [bold]{value}[/bold]" for name, value in in_words(now, prices)]
    *counts, money = cells  # the money is a sentence: it has a line of its own
    numbers = Table.grid(padding=(0, 2))
    for start in range(0, len(counts), 4):
        numbers.add_row(*counts[start : start + 4])
    answers = Table.grid(padding=(0, 2))
    answers.add_column()  # where there is too little room, the text gives way and not the answer
    for style in ("bold green", "cyan"):
        answers.add_column(style=style, no_wrap=True)
    for answer in latest:
        text = Text(answer.text, no_wrap=True, overflow="ellipsis")
        answers.add_row(text, Text(answer.answer), Text(answer.origin))
    bar = Table.grid()  # a bar by itself does not end its line
    bar.add_row(ProgressBar(total=max(1, now.total), completed=now.finished, width=60))
    return Panel(
        Group(bar, numbers, money, Text(), answers),
        title="Demonstration: reviews",
        border_style="cyan",
    )


def plain_line(now: Figures, prices: PriceList) -> str:
    """The same figures in one line, for logs and pipes."""
    return "demo: " + ", ".join(f"{name} {value}" for name, value in in_words(now, prices))


def in_words(now: Figures, prices: PriceList) -> list[tuple[str, str]]:
    """Name and value of every figure, in the order in which they are shown."""
    return [
        ("events", f"{now.finished}/{now.total}"),
        ("sent", str(now.sent)),
        ("answered", str(now.answered)),
        ("failed", str(now.failed)),
        ("backlog", str(now.backlog)),
        ("hit rate", f"{now.hit_rate:.0%}"),
        ("latency p50", _seconds(now.p50_seconds)),
        ("latency p95", _seconds(now.p95_seconds)),
        ("model calls", str(now.used.calls)),
        ("tokens used", f"{now.used.tokens:,}"),
        ("tokens saved", f"{now.saved.tokens:,}"),
        ("cost saved", _saved(now, prices)),
    ]


def summary(now: Figures, prices: PriceList) -> str:
    """What is left to say when everything is answered."""
    verdict = "every event has its answer" if not now.failed else f"{now.failed} events failed"
    return (
        f"Demonstration done: {now.sent} events sent, {now.answered} answered + {now.failed} "
        f"failed = {now.finished}; {verdict}. {now.hits} answers came from the cache "
        f"({now.hit_rate:.0%}), {now.used.calls} from {', '.join(now.models) or 'no model'}. "
        f"Tokens: {now.used.tokens:,} used, {now.saved.tokens:,} saved. "
        f"Cost saved: {_saved(now, prices)}."
    )


def _saved(now: Figures, prices: PriceList) -> str:
    spent, saved = now.used.microdollars, now.saved.microdollars
    if spent or saved:
        return f"${saved / 1e6:.5f} of ${(spent + saved) / 1e6:.5f}"
    would = now.saved.at_reference(prices)
    return f"$0 (${would / 1e6:.5f} with {REFERENCE_MODEL})"


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def _short(text: str, chars: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= chars else f"{line[: chars - 1]}…"
