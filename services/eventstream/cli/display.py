"""What `eventstream send` shows: ids and answers on stdout, the rest on stderr.

On a terminal a progress bar says how far it is; a pipe gets plain lines, and `--json` one object a
line for everything, refusals included.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import BinaryIO, Self

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from eventstream.cli.common import print_json
from eventstream.cli.texts import size_bytes
from eventstream.cli.transports import Receipt
from eventstream.events import TaskStatus


class Display:
    """Shows receipts and answers as they come; use it as a context manager."""

    def __init__(self, file: BinaryIO, *, as_json: bool, wait: bool) -> None:
        self._file = file
        self._as_json = as_json
        self._wait = wait
        self._progress: Progress | None = None
        self._total_bytes = size_bytes(file)

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._progress = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                # On one terminal both go above the bar; a redirected stdout stays redirected.
                redirect_stdout=sys.stdout.isatty(),
                transient=True,
            )
            self._sending = self._progress.add_task("sending", total=self._total_bytes)
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the progress bar away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def show(self, receipt: Receipt, accepted: int) -> None:
        """What became of a line; `accepted` so far."""
        if self._progress is not None:
            position = self._file.tell() if self._total_bytes else None
            self._progress.update(
                self._sending, description=f"{accepted:,} accepted", completed=position
            )
        if receipt.task_id is None:
            self._show_refusal(receipt)
        elif not self._wait:
            self.show_id(receipt)

    def show_id(self, receipt: Receipt) -> None:
        """The id of an accepted line."""
        if self._as_json:
            print_json(
                _of_line(receipt)
                | {"task_id": receipt.task_id, "status": "pending", "duplicate": receipt.duplicate}
            )
        else:
            click.echo(receipt.task_id)

    def show_answer(self, receipt: Receipt, status: TaskStatus | None, finished: int) -> None:
        """The end of an accepted line's event; `finished` so far. None: it never got in."""
        if self._progress is not None:
            self._progress.update(self._sending, description=f"{finished:,} finished")
        if self._as_json:
            document = (
                {"task_id": receipt.task_id, "status": "unknown"}
                if status is None
                else status.model_dump(mode="json", exclude_none=True)
            )
            print_json(_of_line(receipt) | document)
        elif status is None:
            click.echo(f"{receipt.task_id}  is not known to the API", err=True)
        elif status.result is not None:
            click.echo(f"{receipt.task_id}  {status.result.response}")
        else:
            reason = (status.progress or {}).get("reason", "failed")
            click.echo(f"{receipt.task_id}  {reason}: {status.error}", err=True)

    def _show_refusal(self, receipt: Receipt) -> None:
        if self._as_json:
            print_json(
                _of_line(receipt)
                | {"status": "refused", "reason": receipt.reason, "message": receipt.message}
            )
        else:
            click.echo(f"line {receipt.line}: {receipt.message} ({receipt.reason})", err=True)


def _of_line(receipt: Receipt) -> dict[str, object]:
    own = {"event_id": receipt.event_id} if receipt.event_id is not None else {}
    return {"line": receipt.line, **own}
