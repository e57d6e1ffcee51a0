"""Puts corrections of labels in force, and marks the verdicts that the labels took part in. No alias moves by it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import structlog

from config.tasks import TaskSpec
from config.words import named
from consumers.faults import in_words, of_the_machine
from consumers.rows.arriving.event_rows import canonical_json
from consumers.rows.labels.label_corrections import LabelCorrection
from daemon.process.leading import Leading
from daemon.training.concluding.telling import Teller
from daemon.training.run_folders import RunFolders
from registry import lineage
from registry.people import corrected

_LOOK_S = 1.0
_STEP_S = 20.0
"""Corrections of one step; the others come at the next, so that the step ends in time however many there are."""

_AT_ONCE = 200
"""Corrections for which the evidence is read together."""

log = structlog.get_logger(__name__)


class LabelCorrectionsTask:
    """Looks for corrections that are stored and not in force. One thread steps."""

    def __init__(self, leading: Leading) -> None:
        self._settings, self._tasks = leading.settings, leading.tasks
        self._buffer, self._registry = leading.buffer, leading.registry
        self._teller = Teller(leading.settings, leading.registry, leading.fencing_token)
        self._folders = RunFolders(leading.settings, leading.registry.runs)
        self._seen = (-1, -1)
        self._cards: set[str] = set()
        """Runs whose cards do not tell of a correction yet."""
        self._marked: set[str] = set()
        """Corrections that are recorded: after a crash in between, one of them is not in force."""
        self._refused: set[str] = set()
        self._refused_under: Mapping[str, TaskSpec] = {}

    def step(self) -> float:
        """Look once; return the seconds until the next look. Raises `RetryError`, and `StopError` where it leads no longer."""
        # Not at each write: of articles, which come all the time, none can put a correction in force.
        versions, tasks = self._buffer.versions(), self._tasks()
        seen = (versions["requests"], versions["examples"])
        if tasks is not self._refused_under:
            self._refused, self._refused_under = set(), tasks
        elif seen == self._seen:
            return _LOOK_S
        until, left = time.monotonic() + _STEP_S, False
        due = self._buffer.corrections_due(self._refused)
        self._marked = {mark.event_id for mark in corrected.marks(self._registry, None)} if due else set()
        for start in range(0, len(due), _AT_ONCE):
            if left := time.monotonic() > until:
                break
            some = due[start : start + _AT_ONCE]
            touched = self._touched([one for one, why_not in some if why_not is None])
            for one, why_not in some:
                refusal = why_not or self._tried(one, touched.get(one.event_id))
                if refusal is not None:
                    self._refused.add(one.event_id)
                    log.warning(
                        "label.not_corrected", event_id=one.event_id, task=one.task, reason=refusal,
                        next="the label stays as it is",
                    )  # fmt: skip
        self._write_cards()
        if left:
            return 0.0
        self._seen = seen
        return _LOOK_S

    def _touched(self, corrections: Sequence[LabelCorrection]) -> dict[str, list[str]]:
        """Return the runs that were decided on the labels, by correction; of those alone that change a label."""
        asked = {}
        for one in corrections:
            label = self._buffer.labels.find(one.label_id)
            if label is not None and canonical_json(label.target) != one.target:
                asked[one.event_id] = label
        labels = {label.label_id: label.asked_text for label in asked.values()}
        decisions = lineage.decided_on(self._registry, self._settings.evidence_dir, labels) if labels else {}
        return {event_id: decisions[label.label_id] for event_id, label in asked.items()}

    def _tried(self, one: LabelCorrection, decisions: list[str] | None) -> str | None:
        """Put a correction in force, and mark `decisions` (None: it changes no label); return why that failed, if it did."""
        try:
            self._apply(one, decisions)
        except Exception as error:
            if of_the_machine(error):
                raise
            # One correction must not hold up the others, now and at every later start.
            log.exception("label.correction_failed", event_id=one.event_id, task=one.task)
            return f"the program failed on it ({in_words(error)}); please report this"
        return None

    def _apply(self, one: LabelCorrection, decisions: list[str] | None) -> None:
        if decisions is not None and one.event_id not in self._marked:
            # Recorded before it is done: after a crash in between it is not recorded twice.
            corrected.record(
                self._registry, one.task, event_id=one.event_id, actor=_who(one), reason=one.note or "no reason given",
                subject=self._subject(decisions), decisions=decisions,
                learnt_by=lineage.learners_of(self._registry, one.label_id),
            )  # fmt: skip
        changed = self._buffer.correct_label(one)
        log.info("label.corrected", event_id=one.event_id, task=one.task, changed=changed, decisions=decisions or [])
        self._cards.update(decisions or [])

    def _write_cards(self) -> None:
        """Write the cards of the versions whose verdicts were marked, each once however many labels there were."""
        for run in self._registry.runs.several(self._cards).values() if self._cards else ():
            if run.version is not None and (folder := self._folders.of(run)).is_dir():
                task = self._tasks().get(run.task)
                self._teller.card(run, folder, None if task is None else task.promotion)
        self._cards.clear()

    def _subject(self, decisions: list[str]) -> str:
        """Return what was corrected, in words and without its id: an entry stays when the label is erased."""
        runs = self._registry.runs.several(decisions)
        touched = [run.version or run.run_id for run in runs.values()]
        return f"a label that decided {named(touched)}" if touched else "a label that decided nothing"


def _who(one: LabelCorrection) -> str:
    return f"{one.annotator} ({one.source})" if one.source else one.annotator
