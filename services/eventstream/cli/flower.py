"""`eventstream flower`: Celery's own dashboard, on the broker that the settings name.

Flower shows workers and wake-ups, not events: those are in `eventstream top` and in the API. This
command decides where Flower listens and refuses an open door; it then becomes Flower itself, so
that signals reach it directly.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping

import click

from eventstream.api.access import is_loopback
from eventstream.cli import Service
from eventstream.errors import ConfigurationError
from eventstream.settings import Settings, load_settings

CELERY_APP = "eventstream.worker.app:app"
LOGINS = ("FLOWER_BASIC_AUTH", "FLOWER_AUTH")


@click.command(cls=Service)
@click.option("--host", help="Address to listen on.  [env: FLOWER_HOST; default: 127.0.0.1]")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port to listen on.  [env: FLOWER_PORT; default: 5555]",
)
def flower(host: str | None, port: int | None) -> None:
    """Run Flower, Celery's own dashboard.

    Flower's other options come from its own environment variables (FLOWER_URL_PREFIX, ...). Anyone
    who reaches Flower can stop workers: away from 127.0.0.1 it starts with a log-in only.

    \b
    Examples:
      eventstream flower
      FLOWER_BASIC_AUTH=ana:a-long-password eventstream flower --host 0.0.0.0
    """
    given = {"flower_host": host, "flower_port": port}
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    argv = command_line(settings, os.environ)
    check_address(settings)
    sys.stdout.flush()
    os.execv(sys.executable, argv)  # noqa: S606


def command_line(settings: Settings, env: Mapping[str, str]) -> list[str]:
    """The argv that is Flower.

    Raises ConfigurationError when Flower would be open to other machines without a log-in.
    """
    if not is_loopback(settings.flower_host) and not any(env.get(name) for name in LOGINS):
        raise ConfigurationError(
            "FLOWER_HOST",
            f"{settings.flower_host} is reached from other machines, and Flower has no log-in",
            "Set FLOWER_BASIC_AUTH=name:password, or leave FLOWER_HOST at 127.0.0.1",
        )
    return [
        *(sys.executable, "-m", "celery", "-A", CELERY_APP, "flower"),
        f"--address={settings.flower_host}",
        f"--port={settings.flower_port}",
    ]


def check_address(settings: Settings) -> None:
    """Raises ConfigurationError when Flower, which would end in a traceback, can't listen there."""
    host, port = settings.flower_host, settings.flower_port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = found[0]
        socket.create_server(address[:2], family=family).close()
    except socket.gaierror:
        raise ConfigurationError(
            "FLOWER_HOST", f"{host!r} is not an address", "Try 127.0.0.1"
        ) from None
    except OSError as error:
        raise ConfigurationError(
            "FLOWER_PORT",
            f"can't listen on {host}:{port} ({os.strerror(error.errno or 0)})",
            "Choose another with --port or FLOWER_PORT",
        ) from None
