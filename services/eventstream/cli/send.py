"""`eventstream send`: texts from a file or a pipe into a stream, through HTTP or Kafka.

A bad line is reported with its number and does not hold up the others. Whatever ends the command
early, it says what was accepted and how to go on.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO, Final, Never

import click

from eventstream.cli import EXIT_NEGATIVE, LeftUndone
from eventstream.cli.arrivals import (
    CONSUMER_SECONDS,
    Arrived,
    Offsets,
    dead_letter_ends,
    wait_until_taken,
)
from eventstream.cli.client import ApiClient, default_url, key_option, url_option
from eventstream.cli.common import (
    OneSentence,
    Unreachable,
    json_option,
    open_state,
    run,
    say,
)
from eventstream.cli.display import Display
from eventstream.cli.texts import Format, Line, Text, format_for, parse_line, read_lines
from eventstream.cli.transports import Busy, HttpTransport, KafkaTransport, Receipt, Transport
from eventstream.cli.waiting import PATIENCE_SECONDS, answers
from eventstream.errors import ConfigurationError, EventRefused, EventStreamError
from eventstream.events import State, TaskStatus
from eventstream.kafka.config import producer_config
from eventstream.keys import DEFAULT_STREAM
from eventstream.registry import spec_of_default
from eventstream.settings import Settings, load_settings
from eventstream.spec import StreamSpec

BATCH_LINES: Final = 500

Sleep = Callable[[float], None]


@dataclass
class Tally:
    """How far the command has come."""

    accepted: int = 0
    duplicates: int = 0
    refused: int = 0
    answered: int = 0
    failed: int = 0
    next_line: int = 1
    """The first line that nothing certain is known of."""

    @property
    def finished(self) -> int:
        """Answers and failures seen."""
        return self.answered + self.failed

    def count(self, receipt: Receipt) -> None:
        """Add what became of one line."""
        if receipt.task_id is None:
            self.refused += 1
        else:
            self.accepted += 1
            self.duplicates += receipt.duplicate

    def __str__(self) -> str:
        parts = [f"{self.accepted:,} accepted"]
        if self.duplicates:
            parts[0] += f" ({self.duplicates:,} of them known already)"
        parts += [f"{self.refused:,} refused"] if self.refused else []
        parts += [f"{self.answered:,} answered"] if self.answered else []
        parts += [f"{self.failed:,} failed"] if self.failed else []
        return ", ".join(parts)


@click.command()
@click.argument("file", type=click.File("rb"), default="-", metavar="[FILE|-]")
@click.option(
    "--stream", default=DEFAULT_STREAM, show_default=True, help="Stream that the texts belong to."
)
@click.option("--task-type", help="What to do with texts that name no task_type themselves.")
@url_option
@click.option(
    "--kafka",
    "through_kafka",
    is_flag=True,
    help="Write to the stream's Kafka topic instead; needs KAFKA_BOOTSTRAP_SERVERS and REDIS_URL.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice([form.value for form in Format]),
    help="lines: a text a line; jsonl: a JSON object with `text` a line.  "
    "[default: jsonl for *.jsonl and *.ndjson, else lines]",
)
@click.option(
    "--id-field",
    default="event_id",
    show_default=True,
    help="With jsonl: the field that holds a text's id. The same id and text is taken once.",
)
@click.option("--from-line", type=click.IntRange(1), default=1, help="Begin at this line.")
@click.option("--wait", is_flag=True, help="Wait for the answers and print them.")
@click.option("--no-cache", is_flag=True, help="Neither read nor write the cache (HTTP only).")
@key_option
@json_option
def send(
    file: BinaryIO,
    stream: str,
    task_type: str | None,
    url: str | None,
    through_kafka: bool,
    form: str | None,
    id_field: str,
    from_line: int,
    wait: bool,
    no_cache: bool,
    api_key: str | None,
    as_json: bool,
) -> None:
    """Send texts from a file or stdin, and print their ids.

    JSON lines may bring event_id, task_type and metadata (metadata through Kafka only). Bad lines
    are named on stderr; the others are sent. While the API is busy, the command waits as long as
    it is asked to.

    Ends with 0 when everything was accepted (with --wait: answered), with 1 when a line was refused
    or an event failed.

    \b
    Examples:
      echo "I love it" | eventstream send --wait
      eventstream send reviews.txt --stream reviews > ids.txt
      eventstream send tickets.jsonl --id-field ticket --kafka
      tail -f app.log | eventstream send --task-type classification --json
    """
    settings = load_settings()
    chosen = Format(form) if form else format_for(getattr(file, "name", ""))
    _check_combination(chosen, id_field, through_kafka=through_kafka, no_cache=no_cache)
    tally = Tally(next_line=from_line)
    spec = run(_spec_with_a_topic(settings, stream)) if through_kafka else StreamSpec()
    if file.isatty():
        say("reading texts from the terminal, one a line; Ctrl-D ends")
    with ExitStack() as stack:
        stack.enter_context(_sigterm_as_ctrl_c())
        client = stack.enter_context(ApiClient(url or default_url(settings), api_key))
        transport: Transport = (
            KafkaTransport(settings, _source_topic(spec), spec, task_type=task_type)
            if through_kafka
            else HttpTransport(client, stream=stream, task_type=task_type, use_cache=not no_cache)
        )
        since = run(_dead_letter_ends(settings, spec)) if through_kafka and wait else {}
        display = stack.enter_context(Display(file, as_json=as_json, wait=wait))
        receipts = deliver(
            read_lines(file, from_line), chosen, id_field, transport, tally, time.sleep
        )
        sent = show_receipts(receipts, display, tally, file, keep=wait)
        if wait:
            found = _answers(client, settings, stream, spec, since, sent)
            _show_answers(found, display, tally, sent)
    if tally.refused or tally.accepted != 1:
        say(str(tally))
    if tally.refused or tally.failed:
        click.get_current_context().exit(EXIT_NEGATIVE)


def show_receipts(
    receipts: Iterator[Receipt], display: Display, tally: Tally, file: BinaryIO, *, keep: bool
) -> list[Receipt]:
    """Show what becomes of every line; the accepted ones are returned, if they are to be kept."""
    kept = []
    line = 0
    try:
        for receipt in receipts:
            line = receipt.line
            display.show(receipt, tally.accepted)
            if keep and receipt.task_id is not None:
                kept.append(receipt)
    except KeyboardInterrupt:
        display.close()
        # What is counted is certain, and asking for it sends nothing. Ctrl-C may have ended whoever
        # reads it, too.
        with suppress(BrokenPipeError):
            while line + 1 < tally.next_line and (counted := next(receipts, None)) is not None:
                line = counted.line
                display.show(counted, tally.accepted)
        say(f"interrupted: {_how_to_go_on(file, tally)}")
        raise
    except BrokenPipeError as error:
        raise LeftUndone(_how_to_go_on(file, tally)) from error
    except (OneSentence, EventStreamError, OSError):
        display.close()
        if tally.accepted:
            say(_how_to_go_on(file, tally))
        raise
    return kept


def _show_answers(
    found: Iterator[tuple[Receipt, TaskStatus | None]],
    display: Display,
    tally: Tally,
    sent: Sequence[Receipt],
) -> None:
    """Show the answers as they come; ends early with the ids of those that are missing."""
    try:
        for receipt, status in found:
            answered = status is not None and status.status is State.SUCCESS
            tally.answered += answered
            tally.failed += not answered
            display.show_answer(receipt, status, tally.finished)
    except BrokenPipeError as error:
        raise LeftUndone(str(tally)) from error
    except (KeyboardInterrupt, OneSentence, EventStreamError):
        display.close()
        with suppress(BrokenPipeError):
            for receipt in sent[tally.finished :]:
                display.show_id(receipt)
        say(f"{tally}; the ids above have no answer yet: `eventstream result ID`")
        raise


def deliver(
    lines: Iterator[list[Line]],
    form: Format,
    id_field: str,
    transport: Transport,
    tally: Tally,
    sleep: Sleep,
) -> Iterator[Receipt]:
    """Send lines as they come; a receipt a line, the bad ones of a batch first.

    Raises Unreachable and ConfigurationError; `tally` says how far it came.
    """
    for arrived in lines:
        for start in range(0, len(arrived), BATCH_LINES):
            texts: list[Text] = []
            for line in arrived[start : start + BATCH_LINES]:
                try:
                    texts.append(parse_line(line, form, id_field))
                except EventRefused as refusal:
                    receipt = Receipt(line.number, reason=refusal.reason, message=str(refusal))
                    tally.count(receipt)
                    yield receipt
            for certain in _patiently(transport, texts, sleep):
                # Before any is shown: what is accepted is, however far the showing gets.
                for receipt in certain:
                    tally.count(receipt)
                tally.next_line = certain[-1].line + 1
                yield from certain
            tally.next_line = arrived[start : start + BATCH_LINES][-1].number + 1


def _patiently(
    transport: Transport, texts: Sequence[Text], sleep: Sleep
) -> Iterator[list[Receipt]]:
    """Receipts for all texts, as the transport brings them.

    Waits while the other side is busy, as long as it asks to.
    """
    done, waited_seconds = 0, 0.0
    while done < len(texts):
        try:
            for certain in transport.send(texts[done:]):
                done, waited_seconds = done + len(certain), 0.0
                yield certain
        except Busy as busy:
            if waited_seconds >= PATIENCE_SECONDS:
                raise Unreachable(f"{busy} (waited {waited_seconds:.0f} s for it)") from busy
            if not waited_seconds:
                say(f"{str(busy).rstrip('.')}: waiting")
            sleep(busy.retry_after_seconds)
            waited_seconds += busy.retry_after_seconds


def _answers(
    client: ApiClient,
    settings: Settings,
    stream: str,
    spec: StreamSpec,
    since: Offsets,
    sent: Sequence[Receipt],
) -> Iterator[tuple[Receipt, TaskStatus | None]]:
    """`answers`, as soon as it is known what became of the records among what was sent."""
    came = Arrived()
    if places := [receipt.place for receipt in sent if receipt.place is not None]:
        came = run(wait_until_taken(settings, stream, spec, places, since))
    if came.not_taken:
        say(
            f"{len(came.not_taken):,} of the records were not taken, and no consumer has gone on"
            f" for {CONSUMER_SECONDS:.0f} s: is `eventstream consumer` running?"
        )
    yield from answers(client, sent, time.sleep, came)


def _check_combination(form: Format, id_field: str, *, through_kafka: bool, no_cache: bool) -> None:
    if through_kafka and no_cache:
        raise click.UsageError("--no-cache goes through HTTP only: leave out --kafka")
    if form is Format.LINES and id_field != "event_id":
        raise click.UsageError("--id-field names a field of JSON lines: add --format jsonl")


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Whoever ends the command is told how to go on, not only a person at the keyboard."""

    def interrupt(*_: object) -> Never:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield  # Signals are the main thread's.
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


async def _dead_letter_ends(settings: Settings, spec: StreamSpec) -> Offsets:
    return await dead_letter_ends(settings, spec.dead_letter_topic or "")


def _source_topic(spec: StreamSpec) -> str:
    assert spec.source is not None, "`_spec_with_a_topic` has seen to it"
    return spec.source.topic


async def _spec_with_a_topic(settings: Settings, stream: str) -> StreamSpec:
    """A stream that reads a topic. Raises ConfigurationError, StoreUnavailable."""
    producer_config(settings)  # Whether Kafka is set at all comes before what is in Redis.
    async with open_state(settings) as state:
        registry = state.registry
        streams = await registry.all()
        if await registry.last(DEFAULT_STREAM) is None:
            # Nobody has written it yet; whichever service starts first does, in this way.
            streams[DEFAULT_STREAM] = spec_of_default(settings)
    spec = streams.get(stream)
    if spec is None:
        known = ", ".join(sorted(streams)) or "none"
        raise ConfigurationError("--stream", f"there is no stream {stream!r}", f"Known: {known}")
    if spec.source is None:
        raise ConfigurationError(
            "--kafka", f"stream {stream!r} takes texts through HTTP only", "Leave out --kafka"
        )
    return spec


def _how_to_go_on(file: BinaryIO, tally: Tally) -> str:
    """What is certain, and how to send the rest."""
    name = getattr(file, "name", "<stdin>")
    what = "the same input" if name == "<stdin>" else name
    return f"{tally}; to go on, send {what} with --from-line {tally.next_line}"
