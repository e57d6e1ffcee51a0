"""structlog for every process: readable lines on a terminal, JSON otherwise."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog

from config.sections import LogSettings

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure_logging(settings: LogSettings, *, stream: TextIO | None = None) -> None:
    """Send structlog and the standard library's log to `stream` (standard error by default) in the chosen format."""
    target = stream or sys.stderr
    console = settings.format == "console" or (settings.format == "auto" and target.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        # structlog's default renders every frame's local variables: secrets among them, and seconds for one deep traceback.
        structlog.dev.ConsoleRenderer(colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer()
    )
    tail = [renderer] if console else [structlog.processors.format_exc_info, renderer]
    structlog.configure(
        processors=[*shared, *tail],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.level]),
        logger_factory=structlog.PrintLoggerFactory(target),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tail]
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    # Libraries report at info what only they care about; our own log carries what an operator needs.
    root.setLevel(max(_LEVELS[settings.level], logging.WARNING))
    # Of one broker that is away, kafka-python writes several lines a second, none of which says what to do; our own errors do.
    logging.getLogger("kafka").setLevel(logging.DEBUG if settings.level == "debug" else logging.CRITICAL)
