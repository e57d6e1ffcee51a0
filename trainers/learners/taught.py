"""What a teacher says of the texts that a student learns from; and which models may teach a task.

After Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (arXiv 1503.02531).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from config.errors import RunFailedError
from config.kinds import catalog as kinds
from config.kinds.kind import Measures
from config.kinds.signals.categories import SIGNALS, label_of
from config.tasks import TaskSpec
from perennial_artifact.description import Description
from perennial_artifact.predictor import Answer, Predictor, Weighs
from perennial_artifact.sentence.layout import SIGNALS_FORMAT
from perennial_artifact.sentence.signal_head import SignalHead
from trainers.learners.features import Features, FeatureSet
from trainers.learners.opening import usable
from trainers.learners.protocols import Example

_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Taught:
    """A teacher's answers: for each text the probability of each label, or the number of each dimension.

    Of signals both: the score of each category, and the probability of each of its tags (`CATEGORY:TAG`).
    """

    teacher: str
    names: tuple[str, ...]
    """The labels or dimensions, by the task's names; columns of the answers."""
    answers: FeatureSet
    """By example id."""
    unlabelled: Sequence[Example]
    """Texts without gold, each with the weight that it has in learning."""
    share: float
    """What an answer counts beside gold, 0..1."""
    temperature: float

    @property
    def key(self) -> tuple[object, ...]:
        """What a checkpoint depends on."""
        return self.teacher, self.share, self.temperature, self.names, [row.example_id for row in self.unlabelled]

    def of(self, rows: Sequence[Example], names: Sequence[str]) -> Features:
        """Return the answers to rows, shape (rows, names); not a number for rows not asked and names it lacks."""
        found = np.full((len(rows), len(names)), np.nan, dtype=np.float32)
        places = [at for at, row in enumerate(rows) if row.example_id in self.answers]
        columns = [(at, self.names.index(name)) for at, name in enumerate(names) if name in self.names]
        if places and columns:
            said = self.answers.rows([rows[at].example_id for at in places])
            for column, own in columns:
                found[places, column] = said[:, own]
        return found


def refuse_unfit(description: Description, task: TaskSpec, name: str) -> None:
    """Raise `RunFailedError` where a model cannot teach a task: of another kind, on the same base model, without its labels."""
    if description.kind != task.kind:
        why = f"it is of kind {description.kind}, and the task of kind {task.kind}"
    elif (description.base, description.backend) == (task.base_model, task.backend):
        why = f"it stands on the base model {description.base}, as the student does; name a smaller base_model"
    elif not _common(description, task):
        said = ", ".join(description.labels[:5])
        why = f"it answers {said}{' and others' if len(description.labels) > 5 else ''}, none of which the task has"  # noqa: PLR2004
    else:
        return
    message = f"the teacher {name} cannot teach task {task.name!r}: {why}. Change training.teacher, or remove the key"
    raise RunFailedError(message)


def names_of(description: Description, task: TaskSpec) -> tuple[str, ...]:
    """Return the labels, dimensions or categories of a teacher that a task may have, by the task's names."""
    if task.signals:
        categories = {category.name for category in task.signals}
        return tuple(name for name in description.labels if name in categories)
    if isinstance(kinds.get(task.kind), Measures):
        known = {dimension.name for dimension in task.dimensions}
        return tuple(name for name in description.labels if name in known)
    renamed = (task.renames.get(name, name) for name in description.labels)
    return tuple(dict.fromkeys(name for name in renamed if task.teaches(name)))


def tags_of(folder: Path, description: Description, task: TaskSpec) -> tuple[str, ...]:
    """Return the tags (`CATEGORY:TAG`) of a teacher of signals, in its folder, that a task may have; of others none.

    Raises `RunFailedError` where it cannot be read.
    """
    if description.format != SIGNALS_FORMAT:
        return ()
    with usable():
        told = {one.name: set(one.tags) for one in SignalHead.read(folder).categories}
    return tuple(label_of(one.name, tag) for one in task.signals for tag in one.tag_names if tag in told.get(one.name, ()))


def _common(description: Description, task: TaskSpec) -> bool:
    return bool(names_of(description, task))


def ask(teacher: Predictor, rows: Sequence[Example], tell: Callable[[str], None]) -> Iterator[tuple[Example, Answer]]:
    """Yield each row with what the teacher answers to its text; where it can, with all that it makes the answer from."""
    answer = teacher.weigh if isinstance(teacher, Weighs) else teacher.predict
    for start in range(0, len(rows), _AT_ONCE):
        batch = rows[start : start + _AT_ONCE]
        tell(f"the teacher answers: {start:,} of {len(rows):,} texts")
        yield from zip(batch, answer([row.text for row in batch]), strict=True)


def numbers_of(answer: Mapping[str, object], names: Sequence[str], renames: Mapping[str, str]) -> list[float]:
    """Return the probability, or the number, that an answer gives to each name."""
    said = _of_signals(answer[SIGNALS]) if SIGNALS in answer else answer.get("scores", answer.get("values"))
    if not isinstance(said, Mapping):
        message = f"a teacher's answer has no `scores`, `values` or `tags` but {', '.join(map(str, answer))}; it cannot teach"
        raise RunFailedError(message)
    found: dict[str, float] = {}
    for name, number in said.items():
        # Two labels of the teacher's may be one of the task's.
        own = renames.get(name, name)
        found[own] = min(1.0, found[own] + number) if own in found else float(number)
    return [found.get(name, 0.0) for name in names]


def _of_signals(said: object) -> Mapping[str, float] | None:
    """Return the score of each category and the probability of each of its tags; None where an answer does not tell them all."""
    if not isinstance(said, Mapping) or not all("tags" in one for one in said.values()):
        return None
    scores = {str(name): float(one["score"]) for name, one in said.items()}
    return scores | {label_of(str(name), tag): float(sure) for name, one in said.items() for tag, sure in one["tags"].items()}


def silver(row: Example, answer: Mapping[str, object], names: Sequence[str], task: TaskSpec) -> Example:
    """Return a text with the entities that a teacher finds, of the types it knows, weighing its share."""
    spans = answer.get("spans")
    if not isinstance(spans, Sequence):
        message = f"a teacher's answer has no `spans` but {', '.join(map(str, answer))}; it cannot teach"
        raise RunFailedError(message)
    known = set(names)
    kept = [
        {"start": span["start"], "end": span["end"], "label": label}
        for span in spans
        if (label := task.renames.get(span["label"], span["label"])) in known
    ]
    return replace(
        row, target={"spans": kept}, weight=task.training.teacher_share, scope=frozenset(known), is_new=False, independent=False
    )
