"""Which entity types the next token classifier has, and under what names the one it begins with had them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from config.foreign.labels import label_of_stored
from config.tasks import TaskSpec
from perennial_artifact.description import describe
from perennial_artifact.labels import LabelSet
from perennial_artifact.tagging.entities import FORMAT
from trainers.learners.label_set import grow
from trainers.learners.opening import usable
from trainers.learners.protocols import TrainingPlan
from trainers.learners.tagging.tagger import Tagger


def of_base(tagger: Tagger, spec: TaskSpec) -> dict[str, str]:
    """Return the entity types that a base model's own head answers and the task takes: by their names here, their own."""
    found: dict[str, str] = {}
    for own in tagger.types:
        name = label_of_stored(own)
        name = spec.renames.get(name, name)
        if spec.teaches(name):
            found.setdefault(name, own)
    return found


def of_champion(folder: Path) -> LabelSet | None:
    """Return the entity types of a champion by their ids; None where it is of another format."""
    with usable():
        return LabelSet.read(folder) if describe(folder).format == FORMAT else None


def next_labels(plan: TrainingPlan, tagger: Tagger, *, from_champion: bool) -> tuple[LabelSet, Mapping[str, str]]:
    """Return the types of the next model, and by what names `tagger`, which it begins with, has those that it has.

    The champion's types keep their ids, also where all is learnt anew. A base model's own types are known from the start. In an
    open task a type joins once enough rows carry it, others than one that is `plan.waiting`.
    """
    before = of_champion(plan.warm_start) if plan.warm_start is not None else None
    names = before.names if before else ()
    own = {} if from_champion else of_base(tagger, plan.spec)
    remembered = before.seen if before and from_champion else frozenset(own)
    previous = LabelSet((*names, *(name for name in own if name not in names)), remembered)
    carried = Counter(
        label
        for row in plan.rows
        if row.weight > 0
        for label in {span["label"] for span in row.target["spans"]}.difference(plan.waiting)
    )
    found = grow(plan.spec, carried, previous, from_base=False)
    known_as = dict(zip(found.names, names, strict=False)) if from_champion else own
    return found, known_as
