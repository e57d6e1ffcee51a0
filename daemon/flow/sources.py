"""Reads the sources that `collect.file` lists, each when it is due: one at a step, so that a stop waits for one at most."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import structlog

from config.errors import UserError
from config.settings import Settings
from consumers.collecting import gdelt, listed
from consumers.collecting.manners import Manners
from daemon.flow import collecting

_PAUSE_S = 5.0
_WRONG_S = 60.0
_READING_S = 900.0
"""One reading of one source ends after this: the other sources wait for it."""

log = structlog.get_logger(__name__)


class Sources:
    """One thread steps."""

    def __init__(
        self,
        settings: Settings,
        stop: threading.Event,
        *,
        means: collecting.Means | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`stop`, once set, ends a reading too. `means` stand in for the net and time in tests."""
        self._settings = settings
        self._stop = stop
        self._means = means or collecting.Means(sleep=stop.wait, manners=Manners())
        self._now = now
        self._due: dict[tuple[str, str], float] = {}
        self._wrong: str | None = None

    def step(self) -> float:
        """Read the source that has waited longest of those that are due; return the seconds until the next step.

        The file is read each time, so that a change counts at once; one that is wrong is logged, and nothing is read meanwhile.
        Raises `RetryError` where the event log cannot be written now.
        """
        try:
            sources = listed.read(Path(self._settings.collect.file))
        except UserError as error:
            if str(error) != self._wrong:
                self._wrong = str(error)
                log.error(  # noqa: TRY400 - what is wrong with a file needs no traceback
                    "sources.wrong", reason=str(error), next="no source is read until the file is mended"
                )
            return _WRONG_S
        self._wrong = None
        now = self._now()
        due = [one for one in sources if self._due.get((one.kind, one.place), now) <= now]
        if not due:
            return _PAUSE_S
        source = min(due, key=lambda one: self._due.get((one.kind, one.place), 0.0))
        self._due[source.kind, source.place] = now + source.every_minutes * 60
        for told in self._read(source):
            if not told.error:
                log.info(
                    "source.read", source=told.source, sent=told.sent, known=told.known, unusable=told.unusable,
                    unchanged=told.unchanged, cut=told.cut, late=told.late, unread=told.unread,
                )  # fmt: skip
        return 0.0

    def _read(self, source: listed.Source) -> list[collecting.Collected]:
        limits = collecting.Limits(source.articles)
        until = self._now() + _READING_S
        means = replace(self._means, over=lambda: self._stop.is_set() or self._now() > until)
        if source.kind == "jsonl":
            try:
                return collecting.jsonl(self._settings, Path(source.place), limits, means)
            except UserError as error:
                log.warning("source.failed", source=source.place, reason=str(error), next="it is tried again")
                return []
        if source.gdelt is not None:
            asked = source.gdelt
            query = gdelt.Query(asked.words, asked.country, asked.theme, asked.language)
            limits = collecting.Limits(source.articles, pause_s=gdelt.PAUSE_S)
            return collecting.gdelt(self._settings, query, limits, span=timedelta(hours=asked.hours), means=means)
        read = collecting.rss if source.kind == "rss" else collecting.sitemap
        return read(self._settings, [source.place], limits, means)
