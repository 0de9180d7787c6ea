"""Wake-ups: the Celery messages that tell a worker that an inbox has events. They carry no texts.

A lost wake-up costs seconds, never an event: workers look for themselves. So sending never raises,
never blocks the caller's loop, and is dropped while the broker is away.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable
from typing import Any, Final

from celery import Celery

from eventstream.logs import get_logger
from eventstream.metrics import WAKE_UPS
from eventstream.redis_client import for_celery
from eventstream.settings import Settings

log = get_logger(__name__)

DRAIN_TASK: Final = "eventstream.drain"
EXPIRES_SECONDS: Final = 900
"""The worker compares the sender's clock with its own, so this is longer than clocks differ: one
that runs ahead would drop every wake-up. It bounds what gathers while no worker is there, or all of
them are busy (then a queue has another as often as its key lapses): what a Celery client sends to a
stream's own queue stands behind them."""


def broker_options(settings: Settings) -> dict[str, Any]:
    """Celery settings that every user of the broker shares: time-outs, prefix, visibility."""
    seconds = settings.redis_timeout_seconds
    url, options_of_url = for_celery(settings.broker_url, timeout_seconds=seconds)
    return {
        # Not `broker_url`: there Celery prefers CELERY_BROKER_URL, as it is written.
        "broker_read_url": url,
        "broker_write_url": url,
        "broker_connection_retry_on_startup": True,
        "broker_transport_options": {
            "global_keyprefix": settings.eventstream_prefix,
            "socket_timeout": seconds,
            "socket_connect_timeout": seconds,
            # Longer than any task, or Celery would run it twice.
            "visibility_timeout": settings.task_time_limit_seconds + 100,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            **options_of_url,
        },
        "task_ignore_result": True,
        "task_default_queue": "default",
        "accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
    }


class WakeUps:
    """Sends wake-ups from one thread of its own, at most one a queue at a time.

    `counted` False leaves the metric alone: for a process that forks, whose threads must not hold a
    metric's lock.
    """

    def __init__(self, settings: Settings, *, counted: bool = True) -> None:
        self._settings = settings
        self._counted = counted
        self._wanted: dict[str, None] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False

    def send(self, queues: Iterable[str]) -> None:
        """Ask for a wake-up of each queue; returns at once."""
        with self._changed:
            before = len(self._wanted)
            self._wanted.update(dict.fromkeys(queues))
            if len(self._wanted) == before:
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="wake-ups", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Send what is wanted and end the thread; waits for it no longer than a broker time-out."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(self._settings.redis_timeout_seconds + 1)

    def _run(self) -> None:
        app = Celery("eventstream-wake-ups", set_as_current=False)
        app.conf.update(broker_options(self._settings))
        # Nobody waits for a wake-up's result; left out, Celery would read CELERY_RESULT_BACKEND.
        app.backend_cls = "disabled"
        connection: Any = None
        away = False
        while (queue := self._next()) is not None:
            try:
                # Made here: an address that kombu can't read must not end this thread either.
                connection = connection or app.connection_for_write()
                app.send_task(
                    DRAIN_TASK,
                    queue=queue,
                    connection=connection,
                    retry=False,
                    ignore_result=True,
                    expires=EXPIRES_SECONDS,
                )
            except Exception as error:  # noqa: BLE001  # without this thread nobody is woken again
                self._count(queue, "failed")
                if not away:
                    why = str(error) or type(error).__name__
                    log.warning("wake_up_failed", queue=queue, error=why)
                away = True
                _close(connection)
                connection = None
            else:
                self._count(queue, "sent")
                away = False
        _close(connection)

    def _next(self) -> str | None:
        """The next queue to wake; None once there is none and nothing more will come."""
        with self._changed:
            while not self._wanted and not self._closing:
                self._changed.wait()
            if not self._wanted:
                return None
            queue = next(iter(self._wanted))
            del self._wanted[queue]
            return queue

    def _count(self, queue: str, outcome: str) -> None:
        if self._counted:
            WAKE_UPS.labels(queue, outcome).inc()


def _close(connection: Any) -> None:
    if connection is not None:
        with contextlib.suppress(Exception):
            connection.close()
