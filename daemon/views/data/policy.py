"""What the rules of a task file (`quality`) leave out of training, rule by rule, with examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.tasks import TaskSpec
from daemon.views.view import View

if TYPE_CHECKING:
    from consumers.buffer.reader import BufferReader


class Removed(View):
    """A text that a rule leaves out."""

    example_id: str
    begins: str
    words: int | None
    language: str | None
    reasons: tuple[str, ...]
    source: str | None


class Rule(View):
    """What one rule does."""

    rule: str
    told: str
    rows: int
    alone: int
    """Rows that would come back without it."""
    examples: tuple[Removed, ...]


class PolicyEffect(View):
    """What the rules do to the train side of a task."""

    task: str
    rows: int
    kept: int
    rules: tuple[Rule, ...]
    found: dict[str, int]
    """Rows by what enrichment found in them; `quality.refuse` names what is to be left out."""
    languages: dict[str, int]

    @property
    def warning(self) -> str | None:
        """What is wrong, where little or nothing is left."""
        if not self.rows or self.kept >= self.rows / 2:
            return None
        most = max(self.rules, key=lambda rule: rule.rows)
        left = "leave nothing" if not self.kept else f"leave {self.kept:,} of {self.rows:,} rows"
        return f"The rules {left} to train on; most by {most.told} ({most.rows:,})."


def read(buffer: BufferReader, task: TaskSpec) -> PolicyEffect:
    """Return what the rules in force leave out."""
    from consumers.fitness import effect  # noqa: PLC0415 - loads LanceDB

    with buffer.looked_at(effect.read(task)) as tables:
        found = effect.effect(tables, task, min_quality=buffer.min_quality)
    return PolicyEffect(
        task=task.name,
        rows=found.rows,
        kept=found.kept,
        rules=tuple(Rule.model_validate(rule) for rule in found.rules),
        found=dict(found.found),
        languages=dict(found.languages),
    )
