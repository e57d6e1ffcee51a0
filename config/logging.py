"""structlog for every process: readable lines on a terminal, JSON otherwise."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable, Collection
from types import TracebackType
from typing import TextIO, cast

import structlog

from config.secrets import masker
from config.sections import LogSettings

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure_logging(settings: LogSettings, *, secrets: Collection[str] = (), stream: TextIO | None = None) -> None:
    """Send structlog and the standard library's log to `stream` (standard error by default) in the chosen format.

    `secrets` (see `config.secrets.secrets_of`) and whatever looks like a key or password are masked in every line.
    """
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
    # Last, over the finished line: a secret in a nested value, a traceback or another library's message is caught as well.
    masked = _over_the_line(masker(secrets))
    tail = [renderer, masked] if console else [structlog.processors.format_exc_info, renderer, masked]
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


def mask_crashes(secrets: Collection[str]) -> None:
    """Mask secrets in the traceback of an uncaught error too; for the main function of a process."""
    mask = masker(secrets)

    def crashed(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        sys.stderr.write(mask("".join(traceback.format_exception(kind, error, trace))))

    def thread_crashed(about: threading.ExceptHookArgs) -> None:
        if about.exc_type is not SystemExit:
            crashed(about.exc_type, about.exc_value, about.exc_traceback)

    sys.excepthook, threading.excepthook = crashed, thread_crashed


def _over_the_line(mask: Callable[[str], str]) -> structlog.typing.Processor:
    def masked(_logger: object, _method: str, line: object) -> str:
        return mask(str(line))

    # structlog types a processor as one over the event's dict; after the renderer it is the line.
    return cast("structlog.typing.Processor", masked)
