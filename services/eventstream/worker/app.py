"""The Celery application: documented settings, two tasks, and the hooks around the fork.

`eventstream.drain` is the wake-up: it carries no event. `eventstream.process` is for Celery
clients: it takes an event and returns its result through Celery's own result backend.

Settings are read once, when this module is imported: it is the edge of the worker process.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

from billiard import current_process
from celery import Celery, signals
from celery.utils.nodenames import gethostname

from eventstream import garbage
from eventstream.cache import guard
from eventstream.errors import EventRefused
from eventstream.llm.contract import LocalModelProtocol
from eventstream.logs import configure_logs, get_logger
from eventstream.redis_client import for_celery
from eventstream.settings import Settings, load_settings
from eventstream.wakeup import DRAIN_TASK, broker_options
from eventstream.worker import acks
from eventstream.worker.board import Board
from eventstream.worker.housekeeping import Housekeeping
from eventstream.worker.process import WorkerProcess

log = get_logger(__name__)

PROCESS_TASK = "eventstream.process"
GRACE_SECONDS = 5


def make_app(settings: Settings) -> Celery:
    """The Celery application for these settings."""
    celery = Celery("eventstream")
    backend, options_of_backend = for_celery(
        settings.state_url, timeout_seconds=settings.redis_timeout_seconds
    )
    celery.conf.update(
        broker_options(settings),
        result_expires=settings.result_ttl_seconds,
        result_backend_transport_options={
            "global_keyprefix": settings.eventstream_prefix,
            **options_of_backend,
        },
        task_create_missing_queues=True,
        task_acks_late=True,
        task_track_started=False,
        task_soft_time_limit=settings.task_soft_time_limit_seconds,
        task_time_limit=settings.task_time_limit_seconds,
        worker_concurrency=settings.worker_concurrency,
        worker_prefetch_multiplier=settings.worker_prefetch_multiplier,
        worker_max_tasks_per_child=settings.worker_max_tasks_per_child,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        # A broker that refuses a write (full, read-only for a moment) is no reason to end.
        broker_channel_error_retry=True,
        broker_connection_max_retries=None,  # nor is one that is away, however long
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_proc_alive_timeout=30.0,
    )
    # Not `result_backend`: there Celery prefers CELERY_RESULT_BACKEND, as it is written.
    celery.backend_cls = backend
    return celery


settings = load_settings()
acks.install()
app = make_app(settings)


class _Worker:
    """What the parent makes before the fork, and the process that a child makes after it."""

    def __init__(self) -> None:
        self.name = ""
        self.board = Board(settings.worker_concurrency)
        self.local_model: LocalModelProtocol | None = None
        self.housekeeping: Housekeeping | None = None
        self.process: WorkerProcess | None = None

    def here(self) -> WorkerProcess:
        """This pool process's own drain; made on its first task."""
        if self.process is None:
            self.process = WorkerProcess(
                settings,
                worker_name=self.name,
                slot=_slot(),
                board=self.board,
                local_model=self.local_model,
                environment=os.environ,
            )
        return self.process


state = _Worker()


def _slot() -> int:
    return int(getattr(current_process(), "index", 0))


@app.task(name=DRAIN_TASK, ignore_result=True)  # type: ignore[untyped-decorator]
def drain() -> None:
    """Answer what waits in the inboxes. Surplus calls find nothing and return."""
    state.here().drain()


@app.task(name=PROCESS_TASK, bind=True, ignore_result=False)  # type: ignore[untyped-decorator]
def process(self: Any, event: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """Answer one event: the body of `POST /process`, as one dict or as keyword arguments."""
    body = {**(event or {}), **fields}
    event_id = body.pop("event_id", None)
    if event_id is None:
        event_id = self.request.id
    try:
        return state.here().process(body, event_id)
    except EventRefused as refusal:
        # Celery clients get the reason and the sentence; our class may not be importable there.
        raise ValueError(f"{refusal.reason.value}: {refusal}") from None


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _our_logs(**_: Any) -> None:
    configure_logs(settings.log_level, settings.log_format, "worker")


@signals.celeryd_init.connect  # type: ignore[untyped-decorator]
def _name_the_worker(sender: str, **_: Any) -> None:
    state.name = sender or gethostname()


@signals.worker_ready.connect  # type: ignore[untyped-decorator]
def _ready(sender: Any, **_: Any) -> None:
    # `sender` is Celery's consumer. It is told on its own thread, not through the broker, which may
    # be away just then; what it has been told of survives its reconnections.
    served = sender.app.amqp.queues.consume_from
    state.housekeeping = Housekeeping(
        settings,
        name=state.name,
        board=state.board,
        environment=os.environ,
        registered_tasks=[name for name in app.tasks if name.startswith("eventstream.")],
        served=lambda: frozenset(served),
        serve_queue=lambda queue: sender.call_soon(sender.add_task_queue, queue),
    )
    state.housekeeping.start()
    log.info("worker_ready", name=state.name, queues=list(served))


@signals.worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _stopping(**_: Any) -> None:
    # Celery's warm shutdown waits for running tasks without end, its soft one always for the whole
    # time. The drains see the flag, finish or give back within the time there is, and return; only
    # a process that does not (a blocked loop) is ended cold.
    state.board.stop()
    seconds = settings.worker_shutdown_seconds + GRACE_SECONDS
    cold = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGQUIT))
    cold.daemon = True
    cold.start()


@signals.worker_shutdown.connect  # type: ignore[untyped-decorator]
def _stopped(**_: Any) -> None:
    if state.housekeeping is not None:
        state.housekeeping.stop()


@signals.worker_before_create_process.connect  # type: ignore[untyped-decorator]
def _about_to_fork(**_: Any) -> None:
    # In the parent, so that its children share the pages, and do not write to them.
    guard.preload()
    garbage.settle()


@signals.worker_process_init.connect  # type: ignore[untyped-decorator]
def _forked(**_: Any) -> None:
    from eventstream.worker.exposition import become_slot

    state.process = None
    become_slot(_slot())
    state.board.write(
        _slot(),
        held=0,
        finished=state.board.finished_before(_slot())[0],
        busy_seconds=state.board.finished_before(_slot())[1],
        busy_since=0.0,
    )


@signals.worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def _process_ends(**_: Any) -> None:
    if state.process is not None:
        state.process.close()
