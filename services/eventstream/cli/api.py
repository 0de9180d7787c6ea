"""`eventstream api`: the HTTP API."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from eventstream.cli import Service
from eventstream.logs import configure_logs
from eventstream.settings import load_settings


@click.command(cls=Service)
@click.option("--host", help="Address to listen on [API_HOST, 127.0.0.1].")
@click.option("--port", type=click.IntRange(0, 65535), help="Port [API_PORT, 8000]; 0: a free one.")
def api(host: str | None, port: int | None) -> None:
    """Run the HTTP API. Its documentation is at /docs.

    On 127.0.0.1 it needs no key. On any other address it needs one of API_KEYS; where none is set
    it makes one and shows it once, unless API_AUTH=none. SIGTERM or Ctrl-C stops it after the
    requests under way.
    """
    given: dict[str, Any] = {"api_host": host, "api_port": port}
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    from eventstream.api import serve

    configure_logs(settings.log_level, settings.log_format, "api")
    asyncio.run(serve(settings))
