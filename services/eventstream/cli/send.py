"""`eventstream send`: texts from a file or a pipe into a stream, through HTTP or Kafka.

A bad line is reported with its number and does not hold up the others. Whatever ends the command
early, it says what was accepted and how to go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO, Final

import click

from eventstream.cli import EXIT_NEGATIVE, LeftUndone
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
from eventstream.errors import ConfigurationError, EventRefused, EventStreamError
from eventstream.events import State, TaskStatus
from eventstream.kafka.config import producer_config
from eventstream.keys import DEFAULT_STREAM
from eventstream.settings import Settings, load_settings

BATCH_LINES: Final = 500
PATIENCE_SECONDS: Final = 600.0
"""How long a busy API is waited for before the command gives up and says how to go on."""
LONG_POLL_SECONDS: Final = 20.0
CONSUMER_SECONDS: Final = 60.0
"""How long a record may take from Kafka into the inbox before --wait stops asking for it."""
UNKNOWN_PAUSE_SECONDS: Final = 0.5

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
    if file.isatty():
        say("reading texts from the terminal, one a line; Ctrl-D ends")
    with ExitStack() as stack:
        client = stack.enter_context(ApiClient(url or default_url(settings), api_key))
        transport: Transport = (
            KafkaTransport(settings, run(_topic_of(settings, stream)), task_type=task_type)
            if through_kafka
            else HttpTransport(client, stream=stream, task_type=task_type, use_cache=not no_cache)
        )
        display = stack.enter_context(Display(file, as_json=as_json, wait=wait))
        receipts = deliver(
            read_lines(file, from_line), chosen, id_field, transport, tally, time.sleep
        )
        sent = _show_receipts(receipts, display, tally, file, keep=wait)
        if wait:
            patience_seconds = CONSUMER_SECONDS if through_kafka else 0
            _show_answers(answers(client, sent, patience_seconds, time.sleep), display, tally, sent)
    if tally.refused or tally.accepted != 1:
        say(str(tally))
    if tally.refused or tally.failed:
        click.get_current_context().exit(EXIT_NEGATIVE)


def _show_receipts(
    receipts: Iterator[Receipt], display: Display, tally: Tally, file: BinaryIO, *, keep: bool
) -> list[Receipt]:
    """Show what becomes of every line; the accepted ones are returned, if they are to be kept."""
    kept = []
    try:
        for receipt in receipts:
            display.show(receipt, tally.accepted)
            if keep and receipt.task_id is not None:
                kept.append(receipt)
    except KeyboardInterrupt:
        display.close()
        say(f"interrupted: {_how_to_go_on(file, tally)}")
        raise
    except BrokenPipeError as error:
        say(f"nobody reads the output any more: {_how_to_go_on(file, tally)}")
        raise LeftUndone from error
    except (OneSentence, EventStreamError):
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
    except (KeyboardInterrupt, OneSentence, EventStreamError):
        display.close()
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
            for receipt in _patiently(transport, texts, sleep):
                tally.count(receipt)
                tally.next_line = receipt.line + 1
                yield receipt
            tally.next_line = arrived[start : start + BATCH_LINES][-1].number + 1


def _patiently(transport: Transport, texts: Sequence[Text], sleep: Sleep) -> Iterator[Receipt]:
    """Receipts for all texts; waits while the other side is busy, as long as it asks to."""
    done, waited_seconds = 0, 0.0
    while done < len(texts):
        try:
            for receipt in transport.send(texts[done:]):
                done, waited_seconds = done + 1, 0.0
                yield receipt
        except Busy as busy:
            if waited_seconds >= PATIENCE_SECONDS:
                raise Unreachable(f"{busy} (waited {waited_seconds:.0f} s for it)") from busy
            if not waited_seconds:
                say(f"{str(busy).rstrip('.')}: waiting")
            sleep(busy.retry_after_seconds)
            waited_seconds += busy.retry_after_seconds


def answers(
    client: ApiClient, receipts: Sequence[Receipt], unknown_seconds: float, sleep: Sleep
) -> Iterator[tuple[Receipt, TaskStatus | None]]:
    """Each event's status once it is finished, in order; None: the API does not know it.

    An event may stay unknown for `unknown_seconds`, on its way through Kafka. Raises Unreachable.
    """
    for receipt in receipts:
        unknown_left, busy_left = unknown_seconds, PATIENCE_SECONDS
        while True:
            found = client.status(str(receipt.task_id), LONG_POLL_SECONDS)
            if isinstance(found, TaskStatus):
                if found.status.finished:
                    yield receipt, found
                    break
            elif found.status == 404:
                if unknown_left <= 0:
                    yield receipt, None
                    break
                sleep(UNKNOWN_PAUSE_SECONDS)
                unknown_left -= UNKNOWN_PAUSE_SECONDS
            elif found.busy and busy_left > 0:
                sleep(found.wait_seconds)
                busy_left -= found.wait_seconds
            else:
                raise Unreachable(found.sentence)


def _check_combination(form: Format, id_field: str, *, through_kafka: bool, no_cache: bool) -> None:
    if through_kafka and no_cache:
        raise click.UsageError("--no-cache goes through HTTP only: leave out --kafka")
    if form is Format.LINES and id_field != "event_id":
        raise click.UsageError("--id-field names a field of JSON lines: add --format jsonl")


async def _topic_of(settings: Settings, stream: str) -> str:
    """The topic that a stream reads. Raises ConfigurationError, StoreUnavailable."""
    producer_config(settings)  # Whether Kafka is set at all comes before what is in Redis.
    async with open_state(settings) as state:
        streams = await state.registry.all()
    spec = streams.get(stream)
    if spec is None and stream == DEFAULT_STREAM:
        return settings.kafka_topic_raw_data
    if spec is None:
        known = ", ".join(sorted({*streams, DEFAULT_STREAM}))
        raise ConfigurationError("--stream", f"there is no stream {stream!r}", f"Known: {known}")
    if spec.source is None:
        raise ConfigurationError(
            "--kafka", f"stream {stream!r} takes texts through HTTP only", "Leave out --kafka"
        )
    return spec.source.topic


def _how_to_go_on(file: BinaryIO, tally: Tally) -> str:
    """What is certain, and how to send the rest."""
    name = getattr(file, "name", "<stdin>")
    what = "the same input" if name == "<stdin>" else name
    return f"{tally}; to go on, send {what} with --from-line {tally.next_line}"
