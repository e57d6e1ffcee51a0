"""Keeps in the registry which corrections answer for their own texts, so that serving learns of them without the buffer."""

from __future__ import annotations

import time
from collections.abc import Mapping

import structlog

from config.tasks import TaskSpec
from consumers.events.schemas import KEY_SOURCE
from daemon.process.leading import Leading
from registry.people.corrections import Correction

_LOOK_S = 0.25
_KEYS_EVERY_S = 2.0
# At most one part in so many of a processor: beside a flood of feedback, a training child needs the others.
_REST_PER_WORK = 20.0
_LONGEST_REST_S = 5.0

log = structlog.get_logger(__name__)

_Rules = tuple[frozenset[str], Mapping[str, TaskSpec]]
"""The trusted sources and the task files."""


class CorrectionsTask:
    """Compares what is to answer, by the buffer, with what is in force, by the registry. One thread steps.

    What is in force follows from the buffer alone: a rejection, an alarm, an erasure, retention or a restored backup needs no
    code here, and after a crash the first step mends everything.
    """

    def __init__(self, leading: Leading) -> None:
        self._settings, self._tasks, self._clock = leading.settings, leading.tasks, leading.clock
        self._buffer, self._registry, self._token = leading.buffer, leading.registry, leading.fencing_token
        self._sources: frozenset[str] = frozenset()
        self._keys_read_at = float("-inf")
        self._writes = -1
        self._seen: Mapping[str, int] = {}
        self._rules: _Rules | None = None
        self._beyond: dict[str, int] = {}

    def step(self) -> float:
        """Look once; return the seconds until the next look. Raises `RetryError`, and `StopError` where it leads no longer."""
        # The time of this thread: on a busy machine a look takes long without costing much.
        worked_before = time.thread_time()
        if time.monotonic() - self._keys_read_at >= _KEYS_EVERY_S:
            self._sources, self._keys_read_at = self._trusted_sources(), time.monotonic()
        writes, rules = self._buffer.writes, (self._sources, self._tasks())
        same_rules = rules == self._rules
        if writes == self._writes and same_rules:
            # An idle look costs no read of any table.
            return _LOOK_S
        versions = self._buffer.answering_versions()
        if versions != self._seen or not same_rules:
            self._put(rules[1])
            self._seen, self._rules = versions, rules
        self._writes = writes
        return max(_LOOK_S, min(_REST_PER_WORK * (time.thread_time() - worked_before), _LONGEST_REST_S))

    def _put(self, tasks: Mapping[str, TaskSpec]) -> None:
        settings = self._settings
        found = self._buffer.answering(settings.feedback, self._sources) if settings.serving.corrections_answer else {}
        for task in sorted({*self._registry.corrections.tasks(), *tasks, *found}):
            answering = found.get(task)
            wanted = [
                Correction(one.text_sha256, one.event_id, one.target, one.accepted, one.examples)
                for one in (answering.corrections if answering else ())
            ]
            came, went = self._registry.corrections.put(task, wanted, fencing_token=self._token)
            if came or went:
                log.info("corrections.changed", task=task, came=came, went=went, in_force=len(wanted))
            self._tell_of_those_without_room(task, answering.beyond if answering else 0)

    def _tell_of_those_without_room(self, task: str, beyond: int) -> None:
        if beyond and not self._beyond.get(task):
            log.warning(
                "corrections.no_room", task=task, beyond=beyond, reason="no more corrections of a task may answer; the newest do",
                next="the model answers for the texts of the older ones; the next run learns from them as from all others",
            )  # fmt: skip
        self._beyond[task] = beyond

    def _trusted_sources(self) -> frozenset[str]:
        now = self._clock()
        keys = self._registry.api_keys.list()
        return frozenset(f"{KEY_SOURCE}{key.name}" for key in keys if "correct" in key.scopes and key.state(now) == "active")
