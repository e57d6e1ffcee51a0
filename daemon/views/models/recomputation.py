"""What a verdict would be with the labels that were corrected since. Nothing is promoted or taken back by asking."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from config.errors import PerennialError, UserError
from config.settings import Settings
from config.tasks import TaskSpec
from config.words import counted
from consumers.training_set.targets import usable_target
from daemon.views.models import verification
from daemon.views.models.verification import Said
from daemon.views.view import JsonFloat, View
from registry.evidence import bundle, recomputing

if TYPE_CHECKING:
    from consumers.buffer.reader import BufferReader
    from registry.store import Registry


class Recomputation(View):
    """A verdict beside what it would be now."""

    run_id: str
    version: str
    corrected: int
    """Rows that it was reached on and whose labels were corrected since."""
    erased: int
    """Rows that were erased since; both verdicts but the recorded one are without them."""
    recorded: Said
    """What the gate said when the verdict fell."""
    now: Said
    """What it would say."""
    same: bool
    """Whether the verdict is the same, whatever the words."""
    candidate_score: JsonFloat
    opponent_score: JsonFloat
    summary: str


def of(settings: Settings, registry: Registry, buffer: BufferReader, name: str) -> Recomputation:
    """Return what the verdict on a version or of a run would be. Raises `UserError` where there is none, or no evidence of it."""
    run = verification.run_of(registry, name)
    found = [bundle.path_of(settings.evidence_dir, one) for one in registry.evidence.of_pair(run.run_id)]
    if not found or not all(path.exists() for path in found):
        message = f"run {run.run_id} has no evidence bundle to recompute its verdict from; `perennial verify {name}` says why"
        raise UserError(message)
    labels = buffer.labels.corrected(run.task)

    def targets(task: TaskSpec) -> Mapping[str, Mapping[str, Any]]:
        # Evidence knows what people were asked about by its text, and test rows by their label.
        usable = {label.asked_text or one: usable_target(label.target, task, (task.renames,)) for one, label in labels.items()}
        return {one: json.loads(target) for one, target in usable.items() if target is not None}

    try:
        again = recomputing.recompute(found, targets)
    except UserError:
        raise
    except (PerennialError, ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"this program cannot recompute the verdict of run {run.run_id} ({type(error).__name__}: {str(error)[:300]})"
        raise UserError(message) from None
    recorded, now = again.about.gate, again.words
    return Recomputation(
        run_id=run.run_id,
        version=again.about.version,
        corrected=again.corrected,
        erased=again.about.erased,
        recorded=Said(verdict=recorded.verdict, reasons=recorded.reasons),
        now=Said(verdict=now.verdict, reasons=now.reasons),
        same=recorded.verdict == now.verdict,
        candidate_score=again.comparison.candidate_score,
        opponent_score=again.comparison.champion_score,
        summary=_in_words(again),
    )


def _in_words(found: recomputing.Recomputed) -> str:
    version, was, now = found.about.version, found.about.gate.verdict, found.words.verdict
    if found.about.erased and not found.corrected:
        rows = counted(found.about.erased, "erased row")
        would = (
            f"the verdict is the same: {was}" if was == now else f"the verdict would be {now}; it was {was}. No alias was moved"
        )
        return f"{version}: without {rows} {would}."
    if not found.corrected and was == now:
        return f"{version}: no label that it was decided on was corrected since, so the verdict is the same: {was}."
    labels = counted(found.corrected, "corrected label")
    if was == now:
        return f"{version}: with {labels} the verdict is the same: {was}."
    return f"{version}: with {labels} the verdict would be {now}; it was {was}. No alias was moved."
