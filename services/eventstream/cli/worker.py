"""`eventstream worker`: a Celery worker with the documented settings."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from eventstream.cli import Service
from eventstream.errors import ConfigurationError
from eventstream.settings import Settings, load_settings
from eventstream.spec import StreamSpec

if TYPE_CHECKING:
    from eventstream.llm.contract import LocalModelProtocol


@click.command(cls=Service)
@click.option(
    "--concurrency", type=click.IntRange(1, 256), help="Pool processes [WORKER_CONCURRENCY]."
)
@click.option("--streams", help="Serve only these streams, comma-separated [WORKER_STREAMS].")
def worker(concurrency: int | None, streams: str | None) -> None:
    """Run a Celery worker: it answers events from the cache or a model.

    SIGTERM stops it softly: it finishes what ends within WORKER_SHUTDOWN_SECONDS, gives back the
    rest at once, and exits.
    """
    # The Celery application reads the environment when it is imported: flags go there.
    if concurrency is not None:
        os.environ["WORKER_CONCURRENCY"] = str(concurrency)
    if streams is not None:
        os.environ["WORKER_STREAMS"] = streams
    settings = load_settings()
    # One thread a process: the pool is the parallelism, and numpy's own threads do not fork well.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from eventstream.worker import exposition

    folder = exposition.prepare()
    try:
        _run(settings)
    finally:
        exposition.clean_up(folder)


def _run(settings: Settings) -> None:
    from eventstream.logs import configure_logs
    from eventstream.worker import exposition
    from eventstream.worker.app import app, state
    from eventstream.worker.local import load_if_needed
    from eventstream.worker.process import process_name

    configure_logs(settings.log_level, settings.log_format, "worker")
    specs, queues = asyncio.run(_registered(settings))
    state.local_model = load_if_needed(settings, specs.values())
    asyncio.run(_check_streams(settings, specs, state.local_model))
    stop_metrics = (
        exposition.serve(settings.metrics_host, settings.metrics_port)
        if settings.metrics_port
        else None
    )
    try:
        app.worker_main(
            [
                "--quiet",
                "worker",
                *("--hostname", process_name()),
                *("--queues", ",".join(queues)),
                "--without-gossip",
                "--without-mingle",
                *("--loglevel", settings.log_level),
            ]
        )
    finally:
        if stop_metrics is not None:
            stop_metrics()


async def _registered(settings: Settings) -> tuple[Mapping[str, StreamSpec], tuple[str, ...]]:
    """The streams that this worker serves, and their queues."""
    from eventstream.keys import Keys
    from eventstream.redis_client import connect
    from eventstream.registry import Registry
    from eventstream.store_checks import warn_about_stores

    await warn_about_stores(settings)
    redis = connect(settings.state_url, timeout_seconds=settings.redis_timeout_seconds)
    try:
        registry = Registry(redis, Keys(settings.eventstream_prefix))
        await registry.ensure_default(settings)
        specs = await registry.all()
        queues = await registry.queues(settings.worker_streams)
    finally:
        await redis.aclose()
    only = settings.worker_streams
    return {name: spec for name, spec in specs.items() if not only or name in only}, queues


async def _check_streams(
    settings: Settings, specs: Mapping[str, StreamSpec], local: LocalModelProtocol | None
) -> None:
    """Say which streams can't be served as the settings are; raise when none can.

    Events of such a stream are not lost: they wait until the settings are mended.
    """
    from eventstream.keys import Keys
    from eventstream.llm.models import Models
    from eventstream.logs import get_logger
    from eventstream.redis_client import connect

    redis = connect(settings.state_url, timeout_seconds=settings.redis_timeout_seconds)
    models = Models(
        settings,
        redis,
        Keys(settings.eventstream_prefix),
        local=local,
        environment=os.environ,
    )
    problems: list[ConfigurationError] = []
    for name, spec in specs.items():
        try:
            models.check(spec)
        except ConfigurationError as error:
            problems.append(error)
            get_logger(__name__).warning("stream_cannot_be_served", stream=name, problem=str(error))
    await models.aclose()
    await redis.aclose()
    if problems and len(problems) == len(specs):
        raise problems[0]
