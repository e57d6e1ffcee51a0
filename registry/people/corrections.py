"""Corrections that answer for their own texts until a champion has learnt them: the daemon writes them, serving reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from config.clock import Clock
from registry.database.engine import Database, insert_many, portions
from registry.database.schema import correction_examples, correction_generations, corrections, learnt, versions
from registry.leases import check_token


@dataclass(frozen=True, slots=True)
class Correction:
    """What a trusted person said of one text."""

    text_sha256: str
    """SHA-256 of the text in UTF-8, in lower-case hex: the correction speaks of no other text."""
    event_id: str
    target: Mapping[str, Any]
    """Renames applied."""
    accepted: bool
    """Whether a person has accepted this very feedback."""
    examples: tuple[str, ...]
    """The examples that teach the same of this text: a model that learnt one of them has learnt the correction."""


@dataclass(frozen=True, slots=True)
class Answering:
    """A correction that is in force."""

    task: str
    text_sha256: str
    event_id: str
    target: Mapping[str, Any]
    accepted: bool
    answers_since: datetime


@dataclass(frozen=True, slots=True)
class Generation:
    """How far a task's corrections have come."""

    generation: int
    """Grows with every change."""
    taken_away: int
    """The last generation at which a correction was taken away or replaced."""


class Corrections:
    """The corrections in force, one per task and text."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def put(self, task: str, wanted: Sequence[Correction], *, fencing_token: int | None = None) -> tuple[int, int]:
        """Make `wanted` (one per text) all that is in force for a task; return how many came or changed, and how many went.

        What stays as it was keeps the time since when it answers. Raises `StopError` when `fencing_token` leads no longer.
        """
        by_text = {one.text_sha256: one for one in wanted}
        with self._database.read() as connection:
            if _Difference.of(connection, task, by_text).is_none:
                # Most looks change nothing, and a write would hold up every other writer.
                return 0, 0
        with self._database.write() as connection:
            check_token(connection, fencing_token)
            found = _Difference.of(connection, task, by_text)
            _remove(connection, correction_examples, task, [*found.gone, *found.changed, *found.taught_otherwise])
            _remove(connection, corrections, task, [*found.gone, *found.changed])
            changed = [by_text[sha256] for sha256 in (*found.new, *found.changed)]
            if changed or found.gone:
                # What teaches a correction matters to the next version only, which makes serving read all anew.
                generation = _next_generation(connection, task, takes_away=bool(found.gone or found.changed))
                now = self._clock()
                rows = [
                    {
                        "task": task, "text_sha256": one.text_sha256, "event_id": one.event_id, "target": dict(one.target),
                        "accepted": one.accepted, "generation": generation,
                        "answers_since": found.since.get((one.text_sha256, one.event_id), now),
                    }
                    for one in changed
                ]  # fmt: skip
                insert_many(connection, corrections, rows)
            taught = [
                {"task": task, "text_sha256": sha256, "example_id": example_id}
                for sha256 in (*found.new, *found.changed, *found.taught_otherwise)
                for example_id in sorted(set(by_text[sha256].examples))
            ]
            insert_many(connection, correction_examples, taught)
            return len(changed), len(found.gone)

    def tasks(self) -> list[str]:
        """Return the tasks that have corrections in force."""
        with self._database.read() as connection:
            return list(connection.execute(sa.select(corrections.c.task).distinct().order_by(corrections.c.task)).scalars())

    def generations(self) -> dict[str, Generation]:
        """Return by task how far its corrections have come; a task that never had one is left out."""
        table = correction_generations
        with self._database.read() as connection:
            return {row.task: Generation(row.generation, row.taken_away) for row in connection.execute(sa.select(table))}

    def not_learnt_by(self, version: str, task: str, *, after: int = 0) -> list[Answering]:
        """Return the corrections of a task with a generation above `after` that a version, and its parents, have not learnt."""
        with self._database.read() as connection:
            newer = (corrections.c.task == task) & (corrections.c.generation > after)
            found = connection.execute(sa.select(corrections).where(newer).order_by(corrections.c.generation)).all()
            texts = [row.text_sha256 for row in found]
            known = _learnt_texts(connection, version, task, texts)
        return [_answering(row) for row in found if row.text_sha256 not in known]

    def newest(self, task: str | None, limit: int) -> list[Answering]:
        """Return the newest corrections in force, of one task or of all, whether or not a model has learnt them."""
        chosen = sa.true() if task is None else corrections.c.task == task
        query = sa.select(corrections).where(chosen)
        query = query.order_by(corrections.c.answers_since.desc(), corrections.c.task, corrections.c.event_id).limit(limit)
        with self._database.read() as connection:
            return [_answering(row) for row in connection.execute(query)]

    def of_event(self, event_id: str) -> Answering | None:
        """Return the correction that a feedback event is, while it is in force; whether a model has learnt it does not matter."""
        with self._database.read() as connection:
            row = connection.execute(sa.select(corrections).where(corrections.c.event_id == event_id)).first()
        return None if row is None else _answering(row)

    def answers_beside(self, version: str | None, task: str, event_id: str) -> bool:
        """Return whether a correction in force answers while `version` is the champion."""
        with self._database.read() as connection:
            chosen = (corrections.c.task == task) & (corrections.c.event_id == event_id)
            texts = list(connection.execute(sa.select(corrections.c.text_sha256).where(chosen)).scalars())
            return version is not None and bool(texts) and not _learnt_texts(connection, version, task, texts)


def forget(connection: Connection, example_ids: Sequence[str]) -> None:
    """Remove the corrections that these examples are, and the ids of the examples: they were erased."""
    going: dict[str, set[str]] = {}
    for some in portions(example_ids):
        query = sa.select(corrections.c.task, corrections.c.text_sha256).where(corrections.c.event_id.in_(some))
        for row in connection.execute(query):
            going.setdefault(row.task, set()).add(row.text_sha256)
        connection.execute(sa.delete(correction_examples).where(correction_examples.c.example_id.in_(some)))
    for task, texts in going.items():
        for table in (corrections, correction_examples):
            _remove(connection, table, task, sorted(texts))
        _next_generation(connection, task, takes_away=True)


@dataclass(frozen=True, slots=True)
class _Difference:
    """The texts in which what is in force differs from what is wanted."""

    new: tuple[str, ...]
    changed: tuple[str, ...]
    gone: tuple[str, ...]
    taught_otherwise: tuple[str, ...]
    """The correction is the same, and other examples teach it."""
    since: Mapping[tuple[str, str], datetime]
    """When those in force began to answer, by text and event id."""

    @property
    def is_none(self) -> bool:
        return not (self.new or self.changed or self.gone or self.taught_otherwise)

    @classmethod
    def of(cls, connection: Connection, task: str, wanted: Mapping[str, Correction]) -> Self:
        stored = {row.text_sha256: row for row in connection.execute(sa.select(corrections).where(corrections.c.task == task))}
        examples: dict[str, set[str]] = {}
        query = sa.select(correction_examples.c.text_sha256, correction_examples.c.example_id)
        for text_sha256, example_id in connection.execute(query.where(correction_examples.c.task == task)):
            examples.setdefault(text_sha256, set()).add(example_id)
        both = sorted(stored.keys() & wanted.keys())
        changed = [sha256 for sha256 in both if not _is(stored[sha256], wanted[sha256])]
        otherwise = [sha256 for sha256 in both if examples.get(sha256, set()) != set(wanted[sha256].examples)]
        return cls(
            new=tuple(sorted(wanted.keys() - stored.keys())),
            changed=tuple(changed),
            gone=tuple(sorted(stored.keys() - wanted.keys())),
            taught_otherwise=tuple(sorted(set(otherwise) - set(changed))),
            since={(sha256, row.event_id): row.answers_since for sha256, row in stored.items()},
        )


def _is(row: sa.Row[Any], one: Correction) -> bool:
    return (row.event_id, row.target, row.accepted) == (one.event_id, dict(one.target), one.accepted)


def _remove(connection: Connection, table: sa.Table, task: str, texts: Sequence[str]) -> None:
    for some in portions(texts):
        connection.execute(sa.delete(table).where((table.c.task == task) & table.c.text_sha256.in_(some)))


def _next_generation(connection: Connection, task: str, *, takes_away: bool) -> int:
    table = correction_generations
    row = connection.execute(sa.select(table).where(table.c.task == task)).one_or_none()
    generation = 1 + (row.generation if row else 0)
    values = {"generation": generation, "taken_away": generation if takes_away else row.taken_away if row else 0}
    if row is None:
        connection.execute(sa.insert(table).values(task=task, **values))
    else:
        connection.execute(sa.update(table).where(table.c.task == task).values(**values))
    return generation


def _learnt_texts(connection: Connection, version: str, task: str, texts: Sequence[str]) -> set[str]:
    """Return those of `texts` whose correction the version, or one of its parents, has learnt."""
    chain = sa.select(versions.c.id, versions.c.parent_id).where(versions.c.name == version).cte("chain", recursive=True)
    chain = chain.union_all(sa.select(versions.c.id, versions.c.parent_id).join(chain, versions.c.id == chain.c.parent_id))
    found: set[str] = set()
    for some in portions(texts):
        taught = correction_examples
        query = (
            sa.select(taught.c.text_sha256)
            .distinct()
            .join(learnt, learnt.c.example_id == taught.c.example_id)
            .join(chain, chain.c.id == learnt.c.version_id)
            .where((taught.c.task == task) & taught.c.text_sha256.in_(some))
        )
        found.update(connection.execute(query).scalars())
    return found


def _answering(row: sa.Row[Any]) -> Answering:
    return Answering(row.task, row.text_sha256, row.event_id, row.target, row.accepted, row.answers_since)
