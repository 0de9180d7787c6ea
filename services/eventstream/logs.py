"""Structured logs: one line an occurrence, the event id on every line about an event.

JSON where a machine reads, coloured lines on a terminal. A key never gets here (settings hold them
as SecretStr), and a text is only ever logged by `preview` at DEBUG.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog
from structlog.typing import Processor

Logger = structlog.stdlib.BoundLogger

_NOISY = (
    "httpx",
    "redisvl",
    "kombu",
    "amqp",
    "aiohttp",
    "celery.app.trace",
    "celery.worker.strategy",
)


def configure_logs(
    level: str, log_format: Literal["auto", "json", "console"], service: str
) -> None:
    """Route structlog and the standard library's loggers (uvicorn, celery) to one handler.

    Called once by a process at its edge; calling it again replaces the handler.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    renderer: Processor = (
        structlog.dev.ConsoleRenderer()
        if console
        else structlog.processors.JSONRenderer(sort_keys=False)
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *([] if console else [structlog.processors.format_exc_info]),
            renderer,
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # These repeat at INFO what our own lines and metrics already say.
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(service=service)


def get_logger(name: str) -> Logger:
    """A structured logger; `name` is the module's."""
    logger: Logger = structlog.stdlib.get_logger(name)
    return logger


def preview(text: str, chars: int = 80) -> str:
    """The beginning of a text, for DEBUG lines only."""
    return text if len(text) <= chars else text[: chars - 1] + "…"
