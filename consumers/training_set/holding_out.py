"""Labels (or tiers) that fall short on the test side take further documents there: whole ones that no version has learnt from.

The hash of a document decides first, and of a rare label's few documents it may well hold out none. Such a label could never be
measured. What moves is recorded with the row, once: from then on the label falls short no more.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from config.kinds import catalog as kinds
from config.kinds.kind import HasStrata
from config.kinds.regression.dimensions import VALUES, score_of, tier_of
from config.tasks import TaskSpec
from consumers.rows import moves
from consumers.rows.documents import document_of, place_of
from consumers.rows.eligibility import MADE
from consumers.rows.labels.renames import in_force
from consumers.tables.columns import is_one_of
from consumers.tables.lance import Snapshot
from consumers.training_set.scopes import labels_of
from consumers.training_set.targets import accepted, usable_target

Move = tuple[Literal["dropped", "test"], str]


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A label, or a tier, with too few documents on the test side, and what moves there for it."""

    label: str
    documents: int
    """That carry it, on both sides."""
    held_out: int
    """Of them on the test side, before."""
    taken: tuple[str, ...]
    """Documents that move there; fewer than are missing where versions have learnt from the others."""
    rows: Mapping[str, Move]
    """Rows by id: where each goes, and why."""


@dataclass(slots=True)
class _Document:
    rows: list[str]
    stories: set[str]
    learnt: bool = False


class _Placed:
    """The train and test rows of all tasks, by document and by story: both are shared among tasks."""

    def __init__(self, snapshot: Snapshot, learnt: frozenset[str]) -> None:
        self.documents: dict[str, _Document] = {}
        self.of_story: dict[str, dict[str, str]] = defaultdict(dict)
        """Per story its training rows, with the document of each."""
        self.learnt_stories: set[str] = set()
        enriched = snapshot.scan("example_enrichment", ["row_id", "story_id", "text_sha256", "retired_at"], "split = 'train'")
        named = snapshot.scan("examples", ["row_id", "document_id", "article_id"])
        for batch in enriched.join(named, "row_id", join_type="inner").to_batches(max_chunksize=10_000):
            for row in batch.to_pylist():
                name = _name(row)
                story = row["story_id"] or row["row_id"]
                document = self.documents.setdefault(name, _Document([], set()))
                document.rows.append(row["row_id"])
                document.stories.add(story)
                self.of_story[story][row["row_id"]] = name
                # One that has retired from the test side never goes back.
                if row["row_id"] in learnt or row["retired_at"] is not None:
                    document.learnt = True
                    self.learnt_stories.add(story)

    def may_move(self, name: str) -> bool:
        """Return whether no version has seen anything of a document, nor a near copy of its texts, and none has retired."""
        document = self.documents.get(name)
        return document is not None and not document.learnt and self.learnt_stories.isdisjoint(document.stories)

    def cost(self, name: str) -> tuple[bool, float]:
        """Return the order in which documents move: those that are like no other first, then by their hash."""
        alone = all(other == name for story in self.documents[name].stories for other in self.of_story[story].values())
        return not alone, place_of(name)

    def move(self, name: str, why: str) -> dict[str, Move]:
        """Return what becomes of the rows of a document that moves, and of other documents' texts that are like one of its."""
        document = self.documents.pop(name)
        near = {row_id for story in document.stories for row_id in self.of_story[story]}.difference(document.rows)
        return dict.fromkeys(near, ("dropped", moves.near_document(name))) | dict.fromkeys(document.rows, ("test", why))


def shortfalls(snapshot: Snapshot, task: TaskSpec, *, test_fraction: float, learnt: frozenset[str]) -> list[Shortfall]:
    """Return the labels of `task` that fall short, rarest first: fewer of their documents are held out than the fraction asks.

    `learnt` are the ids of all examples that any version of any task has learnt from.
    """
    train, test = _documents_by_label(snapshot, task)
    moved: set[str] = set()
    placed: _Placed | None = None
    found: list[Shortfall] = []
    for label in sorted(train, key=lambda label: (len(train[label]), label)):
        documents = len(train[label] | test[label])
        held_out = test[label] | (train[label] & moved)
        # A little more than the product: two of ten at 0.2, whatever the machine makes of 0.2 * 10.
        missing = math.floor(test_fraction * documents + 1e-9) - len(held_out)
        if missing <= 0:
            continue
        placed = placed or _Placed(snapshot, learnt)
        candidates = (name for name in train[label] - moved - test[label] if placed.may_move(name))
        taken = sorted(candidates, key=placed.cost)[:missing]
        what = "tier" if task.tiers else "tag" if task.signals else "label"
        why = moves.held_out_to_measure(f"{what} {label}", len(held_out), documents)
        rows: dict[str, Move] = {}
        for name in taken:
            rows |= placed.move(name, why)
        moved.update(taken)
        if taken:
            found.append(Shortfall(label, documents, len(held_out), tuple(taken), rows))
    return found


def _documents_by_label(snapshot: Snapshot, task: TaskSpec) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Return which documents carry each label, of those that train and of those that test; users' answers do not count."""
    train: dict[str, set[str]] = defaultdict(set)
    test: dict[str, set[str]] = defaultdict(set)
    for split, document, labels in _labelled(snapshot, task):
        for label in labels:
            (train if split == "train" else test)[label].add(document)
    return train, test


def _labelled(snapshot: Snapshot, task: TaskSpec) -> Iterator[tuple[str, str, frozenset[str]]]:
    task, left_out = in_force(snapshot, task), Counter[str]()
    # What rules say neither tests nor says how often a label comes.
    own = f"task = '{task.name}' AND NOT {is_one_of('origin', MADE)}"
    columns = ["row_id", "split", "text_sha256"]
    enriched = snapshot.scan("example_enrichment", columns, f"{own} AND verdict IS NULL AND split IN ('train', 'test')")
    targets = snapshot.scan("examples", ["row_id", "document_id", "article_id", "target"], f"{own} AND verdict IS NULL")
    for batch in enriched.join(targets, "row_id", join_type="inner").to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
            target = usable_target(row["target"], task, (task.renames,))
            if target is not None and (target := accepted(target, task, left_out)) is not None:
                yield row["split"], _name(row), _strata(target, task)


def _strata(target: str, task: TaskSpec) -> frozenset[str]:
    """Return what must be measurable: the labels of a target, the tier that its numbers fall into, or the tags of its signals."""
    kind = kinds.get(task.kind)
    if isinstance(kind, HasStrata):
        return kind.strata(json.loads(target))
    if not task.tiers:
        return labels_of(target)
    weights = {dimension.name: dimension.weight for dimension in task.dimensions}
    score = score_of(json.loads(target)[VALUES], weights)
    return frozenset() if score is None else frozenset({tier_of(score, task.tiers)})


def _name(row: Mapping[str, str]) -> str:
    return document_of(row["document_id"], row["article_id"]) or f"text {row['text_sha256']}"
