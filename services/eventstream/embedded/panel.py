"""The panel that a user sees when the stack is ready: what listens where, where the data is."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from rich.panel import Panel
from rich.table import Table

from eventstream.embedded.plan import HOST, KafkaChoice, StackPlan
from eventstream.embedded.redis import NO_SEARCH_ADVICE
from eventstream.errors import ConfigurationError
from eventstream.llm.providers import choose_provider
from eventstream.settings import Settings
from eventstream.spec import StreamSpec, default_stream

FRAME = 10
"""Columns of the panel's border and of what is behind each of its three columns."""
LEAST_NOTE = 16
"""Columns that a note needs, so that only its spaces are folded."""
IN_MEMORY = "demo broker: topics, messages, offsets are in memory and end with it"


@dataclass(frozen=True)
class Row:
    """One line of the panel."""

    what: str
    where: str
    note: str = ""


def panel_rows(
    plan: StackPlan,
    settings: Settings,
    streams: Sequence[str],
    data: Path,
    env_file: Path,
    command: str,
    *,
    vector_search: bool,
) -> list[Row]:
    """What the panel says, top to bottom. No password of an address is shown.

    `command` is how a person in this folder calls `eventstream`.
    """
    rows = [Row("API", plan.api_url, "interactive docs: /docs")]
    if plan.flower:
        rows.append(Row("Flower", f"http://{HOST}:{plan.ports.flower}", "Celery's own dashboard"))
    rows.append(
        Row(
            "Redis: cache",
            without_password(settings.cache_url),
            ("with vector search" if vector_search else NO_SEARCH_ADVICE)
            if plan.embedded_cache
            else "from REDIS_URL",
        )
    )
    rows.append(
        Row(
            "Redis: inbox, results",
            without_password(settings.state_url),
            "" if plan.embedded_state else "from the environment",
        )
    )
    rows.append(_kafka_row(plan, settings))
    ports = " ".join(
        f"{service}:{port}"
        for service, port in plan.metrics_ports.items()
        if service != "consumer" or plan.consumer
    )
    rows.append(Row("Metrics", HOST, ports))
    rows.append(Row("Model", *model_in_words(settings)))
    rows.append(Row("Streams", ", ".join(streams)))
    rows.append(Row("Data", str(data), "kept between runs"))
    rows.append(Row("Other terminal", f". {shlex.quote(str(env_file))}", f"then: {command} top"))
    rows.append(Row("Stop", "Ctrl-C"))
    return rows


def make_panel(rows: Sequence[Row], width: int) -> Panel:
    """The rows as a panel for a console of `width` columns."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(style="cyan", overflow="fold", width=_room_for_where(rows, width))
    table.add_column(style="dim", overflow="fold")
    for row in rows:
        table.add_row(row.what, row.where, row.note)
    return Panel(table, title="AI-EventStream is ready", border_style="green", expand=False)


def _room_for_where(rows: Sequence[Row], width: int) -> int | None:
    """Columns for `where` in a narrow console, so that no address is folded.

    Half an address that is copied names another database. None: all fits, or not even that does.
    """
    what, where, note = (
        max(len(text) for text in texts)
        for texts in zip(*((row.what, row.where, row.note) for row in rows), strict=True)
    )
    address = max((len(row.where) for row in rows if "://" in row.where), default=0)
    left = width - FRAME - what
    if where + note <= left or address + LEAST_NOTE > left:
        return None
    return max(address, left - min(note, left // 2))


def without_password(url: str) -> str:
    """A Redis address as it may be shown: user and password left out."""
    parts = urlsplit(url)
    query = urlencode([pair for pair in parse_qsl(parts.query) if "password" not in pair[0]])
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return f"{place}?{query}" if query else place


def model_in_words(settings: Settings, spec: StreamSpec | None = None) -> tuple[str, str]:
    """Which model answers, and what to know about it."""
    try:
        provider = choose_provider(spec or default_stream(), settings)
    except ConfigurationError as error:
        return "none", str(error)
    if provider == "local":
        return (
            "local",
            "small and free; set OPENAI_API_KEY for a large one",
        )
    names: Mapping[str, str] = {
        "openai": settings.openai_model,
        "gemini": settings.gemini_model,
        "huggingface": settings.huggingface_model,
        "compatible": settings.openai_model,
    }
    return f"{provider}: {names[provider]}", ""


def _kafka_row(plan: StackPlan, settings: Settings) -> Row:
    address = settings.kafka_bootstrap_servers or ""
    return {
        KafkaChoice.DEMO: Row("Kafka", address, IN_MEMORY),
        KafkaChoice.APACHE: Row("Kafka", address, "Apache Kafka; its log is kept"),
        KafkaChoice.OUTSIDE: Row("Kafka", address, "from KAFKA_BOOTSTRAP_SERVERS"),
        KafkaChoice.NONE: Row("Kafka", "none", "events come in through HTTP only"),
    }[plan.kafka]
