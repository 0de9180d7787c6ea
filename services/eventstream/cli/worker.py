"""`eventstream worker`: a Celery worker with the documented settings."""

from __future__ import annotations

import asyncio
import os

import click

from eventstream.errors import StoreUnavailable
from eventstream.settings import Settings, load_settings


@click.command()
@click.option("--concurrency", type=click.IntRange(1, 256), help="Pool processes [WORKER_CONCURRENCY].")
@click.option("--streams", help="Serve only these streams, comma-separated [WORKER_STREAMS].")
def worker(concurrency: int | None, streams: str | None) -> None:
    """Run a Celery worker: it answers events from the cache or a model.

    SIGTERM stops it softly: it finishes what ends within WORKER_SHUTDOWN_SECONDS, gives back the
    rest at once, and exits.
    """
    if concurrency is not None:
        os.environ["WORKER_CONCURRENCY"] = str(concurrency)
    if streams is not None:
        os.environ["WORKER_STREAMS"] = streams
    settings = load_settings()
    # Celery reads it when it is imported: SIGTERM then shuts down softly, as SIGQUIT does.
    os.environ["REMAP_SIGTERM"] = "SIGQUIT"
    from eventstream.worker import exposition

    folder = exposition.prepare()
    queues = asyncio.run(_prepare_registry(settings))
    from eventstream.worker.app import app
    from eventstream.worker.app import worker as state
    from eventstream.worker.local import load_if_needed

    state.local_model = load_if_needed(settings, queues.specs)
    stop_metrics = (
        exposition.serve(settings.metrics_host, settings.metrics_port)
        if settings.metrics_port
        else None
    )
    from eventstream.worker.process import process_name

    try:
        app.worker_main(
            [
                "worker",
                "--hostname",
                process_name(),
                "--queues",
                ",".join(queues.names),
                "--without-gossip",
                "--without-mingle",
                "--loglevel",
                settings.log_level,
            ]
        )
    finally:
        if stop_metrics is not None:
            stop_metrics()
        exposition.clean_up(folder)
