"""Which answers changed from one version to another, on rows that neither has learnt from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from config.kinds import catalog
from config.kinds.kind import ANY, UNKNOWN, Kind, Measures
from config.words import counted
from daemon.views.view import View
from registry.reports.answers import MOST_ROWS, MOST_TEXT, Words, gain, plain, texts_of, words_of
from trainers.job import files

if TYPE_CHECKING:
    from registry.store import Registry

How = Literal["better", "worse", "neither"]
"""Against what is right: `neither` where both are right, both are wrong, or a number is as far off as before."""
ROLES = ("test", "anchor")
"""Rows that say how often answers changed; corrections were chosen because one of the models was wrong there."""
_MOST_MOVES = 50


class Move(View):
    """One label that was answered, and what is answered in its place."""

    before: str
    after: str
    rows: int
    better: int
    worse: int
    neither: int


class ChangedRow(View):
    """One row whose answer changed."""

    example_id: str
    text: str
    """Its beginning."""
    cut: bool
    gold: tuple[Words, ...]
    before: tuple[Words, ...]
    after: tuple[Words, ...]
    how: How


class Changes(View):
    """What two versions answer to the same rows."""

    before: str
    after: str
    of: str
    """Which rows these are, in words."""
    rows: int
    changed: int
    better: int
    worse: int
    neither: int
    moves: tuple[Move, ...]
    """The most frequent first; a row may have several."""
    examples: tuple[ChangedRow, ...]
    """Those that got worse first, then better, then neither."""


def of_answers(
    rows: Sequence[Mapping[str, str]], texts: Mapping[str, str], *, before: str, after: str, of: str, limit: int
) -> Changes:
    """Return what changed: each row has `example_id`, and `gold`, `before` and `after` as JSON. `limit` rows are shown."""
    moves: dict[tuple[str, str], Counter[How]] = {}
    changed: list[tuple[How, Mapping[str, str], dict[str, dict[str, Any]]]] = []
    for row in rows:
        said = {side: json.loads(row[side]) for side in ("gold", "before", "after")}
        kind = catalog.of(said["gold"])
        if not _differ(kind, said["before"], said["after"]):
            continue
        gained = gain(kind, said["gold"], said["after"], said["before"])
        how: How = "better" if gained > 0 else "worse" if gained < 0 else "neither"
        changed.append((how, row, said))
        for move in kind.moves(kind.plain(said["before"]), plain(kind, said["after"]), 0.0):
            if not {ANY, UNKNOWN} & set(move):
                moves.setdefault(move, Counter())[how] += 1
    hows = Counter(how for how, _row, _said in changed)
    order: Sequence[How] = ("worse", "better", "neither")
    shown = sorted(changed, key=lambda one: order.index(one[0]))[:limit]
    most = sorted(moves.items(), key=lambda one: (-one[1].total(), one[0]))[:_MOST_MOVES]
    return Changes(
        before=before, after=after, of=of, rows=len(rows), changed=len(changed), better=hows["better"], worse=hows["worse"],
        neither=hows["neither"],
        moves=tuple(
            Move(before=old, after=new, rows=by.total(), better=by["better"], worse=by["worse"], neither=by["neither"])
            for (old, new), by in most
        ),
        examples=tuple(_row(how, row, said, texts.get(row["example_id"], "")) for how, row, said in shown),
    )  # fmt: skip


def recorded(registry: Registry, runs_dir: Path, left: str, right: str, *, limit: int) -> Changes | None:
    """Return what changed on the rows of the run that compared two versions; None where none did, or its folder is gone.

    Raises `UserError` for a version that does not exist.
    """
    for candidate, opponent in ((right, left), (left, right)):
        version = registry.versions.get(candidate)
        if (version.metrics.get("comparison") or {}).get("champion_version") != opponent:
            continue
        sides = (
            {"candidate": "after", "opponent": "before"} if candidate == right else {"candidate": "before", "opponent": "after"}
        )
        if rows := _rows(runs_dir / version.run_id / files.SCORES_FILE, sides):
            path = runs_dir / version.run_id / files.TRAINING_SET_FOLDER / "rows.parquet"
            texts = texts_of(path, {row["example_id"] for row in rows})
            of = f"{counted(len(rows), 'held-out row')} of the run that compared the two ({version.run_id})"
            return of_answers(rows, texts, before=left, after=right, of=of, limit=limit)
    return None


def _rows(path: Path, sides: Mapping[str, str]) -> list[dict[str, str]]:
    import pyarrow.parquet as pq  # noqa: PLC0415 - heavy

    try:
        table = pq.read_table(path, columns=["example_id", "role", "gold", *sides])
    except (OSError, ValueError):
        return []
    found = [row for row in table.slice(0, MOST_ROWS).to_pylist() if row["role"] in ROLES]
    return [{sides.get(name, name): value for name, value in row.items()} for row in found]


def _differ(kind: Kind, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Return whether two answers say something else; of numbers, whether they are far enough apart to be told apart."""
    one, other = plain(kind, before), plain(kind, after)
    return kind.relation(one, other) != "same" if isinstance(kind, Measures) else one != other


def _row(how: How, row: Mapping[str, str], said: Mapping[str, Mapping[str, Any]], text: str) -> ChangedRow:
    kind = catalog.of(said["gold"])
    gold, before, after = (words_of(kind, said[side], text) for side in ("gold", "before", "after"))
    return ChangedRow(
        example_id=row["example_id"], text=text[:MOST_TEXT], cut=len(text) > MOST_TEXT, gold=gold, before=before, after=after,
        how=how,
    )  # fmt: skip
