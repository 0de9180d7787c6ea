"""`eventstream consumer`: Kafka records into the inbox, in the foreground."""

from __future__ import annotations

import asyncio

import click

from eventstream.cli import Service
from eventstream.consumer.service import run_consumer
from eventstream.logs import configure_logs
from eventstream.settings import load_settings


@click.command(cls=Service)
@click.option(
    "--stream",
    "streams",
    multiple=True,
    metavar="NAME",
    help="Serve this stream only; may be given several times. Default: WORKER_STREAMS, or all.",
)
def consumer(streams: tuple[str, ...]) -> None:
    """Run the Kafka consumer until it is told to stop (Ctrl-C or SIGTERM).

    It reads the source topic of every registered stream, puts good records into the inbox and bad
    ones, with the reason, into the dead-letter topic. It waits for a broker or a Redis that is
    away, and several of them share the work.

    \b
    Settings: KAFKA_BOOTSTRAP_SERVERS (required), KAFKA_SECURITY_PROTOCOL, KAFKA_SASL_*,
    KAFKA_SSL_*, KAFKA_MAX_POLL_RECORDS, KAFKA_MAX_BACKLOG, METRICS_PORT; see docs/kafka.md.
    """
    settings = load_settings(**({"worker_streams": streams} if streams else {}))
    configure_logs(settings.log_level, settings.log_format, "consumer")
    asyncio.run(run_consumer(settings))
