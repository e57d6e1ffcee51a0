"""Lineage both ways: who learnt an example, what a version learnt, and which comparisons a row took part in."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from registry.database.schema import learnt, looks, runs, versions
from registry.store import Registry

_LOOK = ":look-"


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
