"""`eventstream replay`: read a source topic again from a time on, into the inbox."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from eventstream.cli.common import Negative, json_option, print_json, run
from eventstream.consumer.again import ReadAgain, read_again
from eventstream.consumer.service import consumer_tools
from eventstream.errors import ConfigurationError
from eventstream.logs import configure_logs
from eventstream.registry import Registry
from eventstream.settings import Settings, load_settings
from eventstream.spec import StreamSpec

_AGO: Final = re.compile(r"(\d{1,12})\s*([smhd])", re.ASCII)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@click.command()
@click.option("--topic", required=True, metavar="TOPIC", help="The source topic to read.")
@click.option(
    "--since",
    required=True,
    metavar="TIME",
    help="From this record time on: 2026-11-23T12:00:00Z, or 90s, 15m, 2h, 1d ago.",
)
@click.option("--stream", metavar="NAME", help="Needed only where several streams read the topic.")
@json_option
def replay(topic: str, since: str, stream: str | None, as_json: bool) -> None:
    """Read a source topic again from a time on, and accept what is not known yet.

    For a results Redis that lost its data: `eventstream top` and the consumer's log line
    `results_lost` say from when on. Events whose ids are known are duplicates and are not
    answered twice; events finished longer ago than RESULT_TTL_SECONDS are answered again. The
    consumer group's offsets are not touched, and the consumer may run meanwhile.

    \b
    Example:
      eventstream replay --topic reviews.raw --since 2h
    """
    settings = load_settings()
    moment = parse_time(since, datetime.now(UTC))
    # The progress bar is on stderr: only what is wrong is said beside it.
    configure_logs("ERROR", settings.log_format, "cli")
    done = run(_replay(settings, topic, moment, stream, as_json))
    if as_json:
        print_json({"topic": topic, "since": moment.isoformat(), **asdict(done)})
        return
    click.echo(
        f"{done.read} records read since {moment.isoformat(timespec='seconds')}:"
        f" {done.accepted} accepted, {done.duplicates} known already,"
        f" {done.conflicts} with an id used for other content, {done.refused} bad ones left out"
    )
    if done.gaps_closed:
        click.echo(f"What was lost of {done.gaps_closed} partitions has been read again")


def parse_time(text: str, now: datetime) -> datetime:
    """A time as the command line takes it; one without a zone is UTC.

    A time to come is one too: records have their producers' times, and it is theirs that counts.
    Raises ConfigurationError for anything else.
    """
    way_out = "Write 2026-11-23T12:00:00Z, or how long ago: 90s, 15m, 2h, 1d"
    ago = _AGO.fullmatch(text.strip())
    try:
        if ago:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(text.strip())
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise ConfigurationError("--since", f"{text!r} is not a time", way_out) from error


async def _replay(
    settings: Settings, topic: str, since: datetime, stream: str | None, as_json: bool
) -> ReadAgain:
    async with consumer_tools(settings) as tools:
        known = await Registry(tools.redis, tools.keys).all()
        name, spec = _reader_of(topic, stream, known)
        with _progress(hidden=as_json) as show:
            return await read_again(tools, name, spec, since, show.update)


def _reader_of(
    topic: str, stream: str | None, known: dict[str, StreamSpec]
) -> tuple[str, StreamSpec]:
    readers = {
        name: spec
        for name, spec in known.items()
        if spec.source is not None and spec.source.topic == topic and stream in (None, name)
    }
    if len(readers) == 1:
        return next(iter(readers.items()))
    if readers:
        raise ConfigurationError(
            "--stream", f"several streams read {topic!r}", f"Name one of {', '.join(readers)}"
        )
    topics = sorted({spec.source.topic for spec in known.values() if spec.source is not None})
    who = f"stream {stream!r} does not read" if stream else "no stream reads"
    raise Negative(f"{who} topic {topic!r}; topics that are read: {', '.join(topics) or 'none'}")


class _Show:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("reading", total=None)

    def update(self, done: ReadAgain) -> None:
        self._progress.update(
            self._task, total=done.total, completed=done.read, accepted=done.accepted
        )


@contextmanager
def _progress(*, hidden: bool) -> Iterator[_Show]:
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(file=sys.stderr),
        disable=hidden or not sys.stderr.isatty(),
        transient=True,
    )
    with progress:
        yield _Show(progress)
