"""Lineage both ways: who learnt an example, what a version learnt, and which comparisons a row took part in."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog

from config.errors import UserError
from registry.database.schema import learnt, looks, runs, versions
from registry.evidence import bundle, names
from registry.store import Registry

_LOOK = ":look-"
_DECIDING = ("test", "anchor")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Family:
    """All versions of a task and what each went on from."""

    parents: Mapping[str, str | None]
    """By version, oldest first."""

    @classmethod
    def of(cls, registry: Registry, task: str) -> Family:
        """Read it from the registry."""
        return cls({one.name: one.parent for one in reversed(registry.versions.list(task))})

    def ancestors(self, version: str) -> list[str]:
        """Return what a version goes back to, the nearest first."""
        found: list[str] = []
        parent = self.parents.get(version)
        while parent is not None:
            found.append(parent)
            parent = self.parents.get(parent)
        return found

    def including(self, learners: Collection[str]) -> list[str]:
        """Return the versions that are learners or go back to one, oldest first."""
        found = set(learners)
        for name, parent in self.parents.items():
            # Parents come before their children.
            if parent in found:
                found.add(name)
        return [name for name in self.parents if name in found]


def learnt_by(registry: Registry, version: str, example_ids: Sequence[str] | None = None) -> list[str]:
    """Return what a version itself learnt, its parents apart: all of it, or those of `example_ids`; by id."""
    own = sa.select(versions.c.id).where(versions.c.name == version).scalar_subquery()
    query = sa.select(learnt.c.example_id).where(learnt.c.version_id == own).order_by(learnt.c.example_id)
    with registry.database.read() as connection:
        found = list(connection.execute(query).scalars())
    if example_ids is None:
        return found
    wanted = set(example_ids)
    return [one for one in found if one in wanted]


def learners_of(registry: Registry, example_id: str) -> list[str]:
    """Return the versions, of whatever task, that learnt an example themselves, oldest first."""
    known = sa.exists().where(learnt.c.version_id == versions.c.id, learnt.c.example_id == example_id)
    with registry.database.read() as connection:
        return list(connection.execute(sa.select(versions.c.name).where(known).order_by(versions.c.id)).scalars())


def looks_at(registry: Registry, example_id: str) -> list[str]:
    """Return the runs that were compared on a row, oldest first; by the index, however many rows there are."""
    tasks = sa.select(runs.c.task).distinct()
    query = sa.select(looks.c.run_id).where(looks.c.task.in_(tasks), looks.c.example_id == example_id)
    with registry.database.read() as connection:
        # A later look at the same pair is counted under the run and its number.
        found = {name.partition(_LOOK)[0] for name in connection.execute(query).scalars()}
        known = sa.select(runs.c.run_id).where(runs.c.run_id.in_(found)).order_by(runs.c.id)
        return list(connection.execute(known).scalars())


def parts_of(registry: Registry, evidence_dir: Path, row_id: str) -> dict[str, dict[str, Any] | None]:
    """Return the runs that were compared on a row, each with the row as its evidence has it; None where that is gone.

    A look is counted for test rows alone, and only where the models answered differently: the evidence knows the others.
    """
    found: dict[str, dict[str, Any] | None] = dict.fromkeys(looks_at(registry, row_id))
    for name in registry.evidence.names():
        run_id = names.run_of(name)
        try:
            row = bundle.row_of(bundle.path_of(evidence_dir, name), row_id)
        except UserError as error:
            log.debug("lineage.unread", run_id=run_id, reason=str(error))
            continue
        if row is not None:
            found[run_id] = row
    return found


def decided_on(registry: Registry, evidence_dir: Path, labels: Mapping[str, str | None]) -> dict[str, list[str]]:
    """Return by label the runs whose verdicts it took part in, as a test row or in a guard, oldest first.

    `labels` is by id the SHA-256 of the text where the label answers a request to tell two models apart, else None: evidence
    names such a row by its article. Each bundle is read once, however many labels there are.
    """
    found = {label_id: dict.fromkeys(looks_at(registry, label_id), True) for label_id in labels}
    by_text: dict[str, list[str]] = {}
    for label_id, text in labels.items():
        if text is not None:
            by_text.setdefault(text, []).append(label_id)
    for name in registry.evidence.names():
        run_id = names.run_of(name)
        try:
            rows = bundle.parts_in(bundle.path_of(evidence_dir, name), labels.keys(), by_text.keys())
        except UserError as error:
            log.debug("lineage.unread", run_id=run_id, reason=str(error))
            continue
        for label_id in rows.keys() & found.keys():
            found[label_id][run_id] = rows[label_id] in _DECIDING
        for text in rows.keys() & by_text.keys():
            for label_id in by_text[text]:
                found[label_id][run_id] = True
    known = registry.runs.several({run_id for parts in found.values() for run_id, decides in parts.items() if decides})
    ended = sorted((run for run in known.values() if run.finished), key=lambda run: (run.created_at, run.run_id))
    return {label_id: [run.run_id for run in ended if parts.get(run.run_id)] for label_id, parts in found.items()}
