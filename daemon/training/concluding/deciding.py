"""The decision step of a run: published -> sandbox -> verdict -> alias, with all that is kept and told of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from config.clock import Clock
from config.errors import RunFailedError
from config.settings import Settings
from config.tasks import TaskSpec
from config.words import counted
from consumers.buffer.writer import BufferWriter
from consumers.training_set.snapshot import load_training_set
from daemon.training.concluding import promoting
from daemon.training.concluding.proving import prove
from daemon.training.concluding.telling import Teller
from daemon.training.due import evidence
from daemon.training.preparing.features import Features
from daemon.training.run_folders import RunFolders
from daemon.training.sandbox import step as sandboxed
from daemon.training.sandbox.protocol import Sandbox
from registry.artifacts.protocol import ArtifactStore
from registry.evidence import in_words
from registry.evidence.circumstances import Circumstances
from registry.judging import gate
from registry.removal import erasure
from registry.runs import Run
from registry.store import Registry
from trainers.compare.one_class import only_label

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decider:
    """Decides runs whose candidates are published, from the thread that takes runs through their steps."""

    settings: Settings
    tasks: Callable[[], Mapping[str, TaskSpec]]
    registry: Registry
    buffer: BufferWriter
    artifacts: ArtifactStore
    sandbox: Sandbox
    features: Features
    folders: RunFolders
    teller: Teller
    fencing_token: int
    clock: Clock

    def decide(self, run: Run, *, ended: Callable[[], bool]) -> Run:
        """Return the decided run; as it was where a shutdown or an erasure (`ended`) stopped it in the sandbox."""
        spec, result = self.folders.spec(run), self.folders.result(run)
        # A task that was removed meanwhile: its run ends as it was begun.
        task = self.tasks().get(run.task, spec.task)
        if result.comparison is None or run.version is None:
            message = f"run {run.run_id} left no comparison; retrain with `perennial train {run.task}`"
            raise RunFailedError(message)
        found = sandboxed.checked(self.sandbox, self.registry, run, spec, task, ended=ended, fencing_token=self.fencing_token)
        if found is None:
            return run
        # Read before the alias moves: a run that has promoted can fail no more.
        frozen = load_training_set(spec.training_set)
        tested = frozen.rows("test", embeddings=False)
        looked_at = tested["example_id"].to_pylist()
        must_go = erasure.is_affected(self.registry, spec.champion_version)
        asked = Circumstances(
            policy=task.promotion, champion_must_go=must_go, test_fraction=self.settings.enrich.test_fraction_while_short,
            served=sandboxed.served(found),
        )  # fmt: skip
        judged = asked.decide(result.comparison)
        decision = sandboxed.judged(judged, found)
        label = only_label(json.loads(target) for target in tested["target"].to_pylist())
        if decision.verdict == "promote" and label and not must_go:
            decision = promoting.of_one_class(decision, label, counted(tested.num_rows, "test row"))
        if decision.verdict == "promote":
            decision = promoting.move_alias(
                self.registry, run, task, spec.champion_version, decision, comparison=result.comparison, must_go=must_go,
                fencing_token=self.fencing_token,
            )  # fmt: skip
            if decision.verdict == "promote":
                self.features.keep(self.folders.of(run), self.registry, self.artifacts, run.version)
        elif (
            found.outcome == "passed"
            and (why := evidence.outside_the_window(task, self.buffer, result.comparison.rows)) is not None
        ):
            decision = replace(decision, reasons=(why, *decision.reasons))
        verdict, reasons = decision.verdict, (*decision.reasons, *evidence.labels_that_wait(frozen.manifest))
        prove(
            self.registry, self.settings.evidence_dir, run, spec, frozen=frozen, comparison=result.comparison,
            circumstances=asked, judged=judged, told=gate.Decision(verdict, reasons), now=self.clock(),
            fencing_token=self.fencing_token,
        )  # fmt: skip
        if not result.comparison.same_answers:
            self.registry.looks.record(run.task, run.run_id, looked_at, fencing_token=self.fencing_token)
        level = decision.readiness.level if decision.readiness is not None else None
        told = {"verdict": verdict, "reasons": list(reasons), "readiness": level, "sandbox": found.outcome}
        words = in_words.told(
            result.comparison, task.promotion, run, decision, test_fraction=self.settings.enrich.test_fraction_while_short
        )  # fmt: skip
        self.teller.announce(run, "training.finished", version=run.version, refresh=run.refresh, **told, **words)
        comparison = decision.noted_in(result.comparison).model_dump(mode="json")
        self.teller.report(run, verdict=verdict, reasons=reasons, comparison=comparison, finished_at=self.clock())
        run = self.registry.runs.update(
            run.run_id, state="decided", fencing_token=self.fencing_token, verdict=verdict, reasons=reasons,
            comparison=comparison, error=None,
        )  # fmt: skip
        log.info("run.decided", verdict=verdict, reasons=list(reasons), version=run.version)
        self.teller.card(run, self.folders.of(run), task.promotion)
        self.folders.settle(run)
        return run

    def later(self, run: Run, *, promoted: bool) -> None:
        """Show what labels that were asked for have decided."""
        folder = self.folders.of(run)
        if promoted and run.version is not None:
            self.features.keep(folder, self.registry, self.artifacts, run.version)
        if run.verdict is not None and run.comparison is not None and run.finished_at is not None and run.erased_at is None:
            self.teller.report(
                run, verdict=run.verdict, reasons=run.reasons, comparison=run.comparison, finished_at=run.finished_at
            )
        if folder.is_dir():
            task = self.tasks().get(run.task)
            self.teller.card(run, folder, None if task is None else task.promotion)
