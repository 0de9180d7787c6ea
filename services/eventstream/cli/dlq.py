"""`eventstream dlq`: the dead letters of a stream, and sending them through it again."""

from __future__ import annotations

import base64
import re
from collections import Counter

import click
from rich.console import Console

from eventstream.cli import LeftUndone
from eventstream.cli.common import (
    Negative,
    State,
    a_table,
    json_option,
    open_state,
    print_json,
    run,
    say,
    stdout_console,
)
from eventstream.consumer.dead_letters import (
    Fate,
    Selection,
    read_letters,
    replay_letters,
    statuses,
)
from eventstream.consumer.service import consumer_tools
from eventstream.errors import ConfigurationError
from eventstream.events import TaskStatus
from eventstream.kafka.dead_letters import DeadLetter
from eventstream.keys import DEFAULT_STREAM
from eventstream.logs import configure_logs
from eventstream.settings import Settings, load_settings
from eventstream.spec import StreamSpec

_POSITION = re.compile(r"\d{1,10}:\d{1,19}", re.ASCII)
"""As long as Kafka's numbers get: of 32 and of 64 bits. Python reads no more than 4,300 digits."""
_SHOWN_CHARS = 60

stream_option = click.option(
    "--stream",
    default=DEFAULT_STREAM,
    show_default=True,
    metavar="NAME",
    help="Whose dead letters.",
)


@click.group()
def dlq() -> None:
    """List, show and replay dead letters: records that could not be accepted or answered.

    \b
    Examples:
      eventstream dlq list --stream reviews
      eventstream dlq show 0:17 --stream reviews
      eventstream dlq replay --stream reviews --reason unknown_task_type
    """


@dlq.command("list")
@stream_option
@click.option("--reason", "reasons", multiple=True, metavar="WORD", help="Only this reason.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="The newest.")
@json_option
def list_letters(stream: str, reasons: tuple[str, ...], limit: int, as_json: bool) -> None:
    """List the newest dead letters of a stream, oldest first.

    STATUS is what became of the event since; `-` where no such event is known. With --json: one
    array of objects.
    """
    run(_list(_quiet_settings(), stream, Selection(reasons=frozenset(reasons)), limit, as_json))


@dlq.command()
@click.argument("position", required=False, metavar="[PARTITION:OFFSET]")
@click.option("--id", "event_id", metavar="ID", help="The newest dead letter of this event.")
@stream_option
@json_option
def show(position: str | None, event_id: str | None, stream: str, as_json: bool) -> None:
    """Show one dead letter whole: why, from where, and its bytes.

    With --json the bytes stand in `text` where they are UTF-8, and in `base64` always.
    """
    if (position is None) == (event_id is None):
        raise click.UsageError("Name a dead letter: either PARTITION:OFFSET or --id.")
    run(_show(_quiet_settings(), stream, _selection((), event_id, position), as_json))


@dlq.command()
@click.argument("positions", nargs=-1, metavar="[PARTITION:OFFSET]...")
@click.option("--reason", "reasons", multiple=True, metavar="WORD", help="Those with this reason.")
@click.option("--id", "event_ids", multiple=True, metavar="ID", help="Those of this event.")
@click.option("--all", "everything", is_flag=True, help="All dead letters of the stream.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@stream_option
@json_option
def replay(
    positions: tuple[str, ...],
    reasons: tuple[str, ...],
    event_ids: tuple[str, ...],
    everything: bool,
    dry_run: bool,
    stream: str,
    as_json: bool,
) -> None:
    """Send dead letters through their stream again: the original bytes and key, to its topic.

    An event that failed is forgotten first, so that its id is accepted anew, and goes on under the
    same id. What is under way or answered is left alone; so is a dead letter whose id belongs to
    another event. The dead letters themselves stay in their topic.

    \b
    Criteria of one kind widen the choice, different kinds narrow it:
      eventstream dlq replay --reason provider_unavailable --reason deadline_exceeded
      eventstream dlq replay 0:17 0:18
      eventstream dlq replay --all --dry-run
    """
    if everything == bool(positions or reasons or event_ids):
        raise click.UsageError("Say which: PARTITION:OFFSET, --reason, --id, or --all alone.")
    selection = Selection(
        frozenset(reasons),
        frozenset(event_ids),
        frozenset(parse_position(each) for each in positions),
    )
    run(_replay(_quiet_settings(), stream, selection, dry_run, as_json))


async def source_of(state: State, stream: str) -> tuple[StreamSpec, str, str]:
    """A stream's spec, source topic and dead-letter topic.

    Raises Negative where there is no such stream, or it has no source.
    """
    known = await state.registry.all()
    spec = known.get(stream)
    if spec is None:
        there = ", ".join(sorted(known)) or "none yet"
        raise Negative(f"there is no stream {stream!r}; there are: {there}")
    if spec.source is None or spec.dead_letter_topic is None:
        raise Negative(f"stream {stream!r} has no source topic: its events come through HTTP only")
    return spec, spec.source.topic, spec.dead_letter_topic


def _quiet_settings() -> Settings:
    settings = load_settings()
    # A person reads here: only what is wrong is said besides the answer.
    configure_logs("ERROR", settings.log_format, "cli")
    return settings


async def _list(
    settings: Settings, stream: str, selection: Selection, limit: int, as_json: bool
) -> None:
    async with open_state(settings) as state:
        _, _, topic = await source_of(state, stream)
        found = await read_letters(settings, topic, selection, newest=limit)
        shown = found.letters
        became = await statuses(state.results, shown)
    if as_json:
        print_json(
            [_document(letter, status) for letter, status in zip(shown, became, strict=True)]
        )
        return
    if not shown:
        say(f"topic {topic!r} holds no such dead letter")
        return
    table = a_table("POSITION", "FAILED AT", "REASON", "STATUS", "EVENT", "ERROR")
    for letter, status in zip(shown, became, strict=True):
        table.add_row(
            letter.position,
            letter.failed_at.isoformat(timespec="seconds") if letter.failed_at else "-",
            letter.reason or "-",
            status.status.value if status else "-",
            _short(letter.event_id),
            _short(letter.error),
        )
    stdout_console().print(table)
    if found.total > len(shown):
        say(f"{found.total - len(shown)} older ones are not shown; --limit shows more")


async def _show(settings: Settings, stream: str, selection: Selection, as_json: bool) -> None:
    async with open_state(settings) as state:
        _, _, topic = await source_of(state, stream)
        found = await read_letters(settings, topic, selection, newest=1)
        if not found.letters:
            raise Negative(f"topic {topic!r} holds no such dead letter")
        [letter] = found.letters
        [status] = await statuses(state.results, [letter])
    document = _document(letter, status)
    if as_json:
        print_json(document)
        return
    _print_letter(stdout_console(), letter, status)


async def _replay(
    settings: Settings, stream: str, selection: Selection, dry_run: bool, as_json: bool
) -> None:
    fates: Counter[Fate] = Counter()
    lines: list[dict[str, str]] = []
    async with open_state(settings) as state, consumer_tools(settings) as tools:
        _, source_topic, topic = await source_of(state, stream)
        replaying = replay_letters(tools, topic, source_topic, selection, dry_run=dry_run)
        async for batch in replaying:
            for letter, fate in batch:
                fates[fate] += 1
                if as_json:
                    lines.append(_line(letter, fate))
                elif fate is not Fate.REPLAYED:
                    show_fate(letter, fate)
    if not fates:
        raise Negative(f"topic {topic!r} holds no such dead letter")
    if as_json:
        counts = {fate.value: count for fate, count in fates.items()}
        print_json({"dry_run": dry_run, "counts": counts, "letters": lines})
        return
    done = "would be replayed" if dry_run else "replayed"
    click.echo(f"{fates[Fate.REPLAYED]} of {fates.total()} dead letters {done} to {source_topic}")


def show_fate(letter: DeadLetter, fate: Fate) -> None:
    """Why a dead letter was not replayed. Raises LeftUndone: those behind it are not replayed."""
    try:
        click.echo(f"{letter.position} {_short(letter.event_id)}: {fate.sentence}")
    except BrokenPipeError as error:
        raise LeftUndone("not all dead letters were looked at; the same command goes on") from error


def _selection(reasons: tuple[str, ...], event_id: str | None, position: str | None) -> Selection:
    return Selection(
        frozenset(reasons),
        frozenset([event_id] if event_id is not None else []),
        frozenset([parse_position(position)] if position is not None else []),
    )


def parse_position(text: str) -> str:
    """A dead letter's position as the command line takes it. Raises ConfigurationError."""
    if not _POSITION.fullmatch(text):
        raise ConfigurationError(
            text, "is not a dead letter's position", "Write PARTITION:OFFSET, as in 0:17"
        )
    partition, offset = text.split(":")
    return f"{int(partition)}:{int(offset)}"


def _document(letter: DeadLetter, status: TaskStatus | None) -> dict[str, object]:
    value = letter.value
    return {
        "position": letter.position,
        "reason": letter.reason,
        "error": letter.error,
        "stream": letter.stream,
        "event_id": letter.event_id,
        "status": status.status.value if status else None,
        "failed_at": letter.failed_at.isoformat() if letter.failed_at else None,
        "source": letter.source.model_dump() if letter.source else None,
        "history": list(letter.history),
        "key": _text(letter.key),
        "headers": {name: _text(header) for name, header in letter.headers},
        "text": _text(value),
        "base64": base64.b64encode(value).decode() if value is not None else None,
        "value_left_out_bytes": letter.value_left_out_bytes,
    }


def _line(letter: DeadLetter, fate: Fate) -> dict[str, str]:
    return {"position": letter.position, "event_id": letter.event_id, "fate": fate.value}


def _print_letter(console: Console, letter: DeadLetter, status: TaskStatus | None) -> None:
    source = letter.source
    place = (
        f"{source.topic}, partition {source.partition}, offset {source.offset}" if source else "-"
    )
    rows = {
        "position": letter.position,
        "reason": letter.reason or "-",
        "error": letter.error or "-",
        "stream": letter.stream or "-",
        "event": letter.event_id or "-",
        "status": status.status.value if status else "-",
        "failed at": letter.failed_at.isoformat() if letter.failed_at else "-",
        "source": place,
        "key": _shown(letter.key),
        **{f"header {name}": _shown(value) for name, value in letter.headers},
        **{f"before ({number})": line for number, line in enumerate(letter.history, 1)},
    }
    for name, text in rows.items():
        console.print(f"{name + ':':<12} {text}", markup=False, soft_wrap=True)
    console.print()
    console.print(_shown(letter.value), markup=False, soft_wrap=True)


def _shown(value: bytes | None) -> str:
    if value is None:
        return "(none)"
    text = _text(value)
    return text if text is not None else f"(not UTF-8, base64) {base64.b64encode(value).decode()}"


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARS else line[: _SHOWN_CHARS - 1] + "…"
