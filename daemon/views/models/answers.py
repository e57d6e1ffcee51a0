"""What both models of a comparison said: the rows that got better and worse, and what was mistaken for what."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from config.kinds import catalog
from config.kinds.kind import Kind, Measures, Piece
from daemon.views.view import View
from trainers.job import files

SHOWN = 12
"""Rows that are shown on each side."""
_MOST_ROWS = 20_000
_MOST_PAIRS = 20
_MOST_TEXT = 2_000

Side = Literal["gold", "candidate", "opponent"]
_SIDES: tuple[Side, ...] = ("gold", "candidate", "opponent")
_ANSWERS = (*_SIDES, "example_id", "role")


class Words(View):
    """A few words and how they stand out: a label is `strong`, what belongs to it `faint`."""

    text: str
    style: Literal["plain", "strong", "faint", "warning"]


class Row(View):
    """One row that just one of the two models has right, or has better."""

    example_id: str
    role: str
    text: str
    """Its beginning."""
    cut: bool
    gold: tuple[Words, ...]
    candidate: tuple[Words, ...]
    champion: tuple[Words, ...]
    """What the opponent said, champion or baseline. Answers that have places in the text are the text, marked."""


class Mistaken(View):
    """One label that was taken for another."""

    gold: str
    said: str
    candidate: int
    """Rows in which the candidate took it so."""
    champion: int


class Answers(View):
    """Both models on the rows of a run."""

    rows: int
    read: int
    """Fewer than `rows` where there are more than can be read at once."""
    better: int
    worse: int
    rows_better: tuple[Row, ...]
    rows_worse: tuple[Row, ...]
    mistaken: tuple[Mistaken, ...]
    """The most frequent first; empty where a text has no single label."""
    in_text: bool
    """Whether answers are places in the text."""


class _Judged(NamedTuple):
    number: int
    gain: float


def of_run(run_dir: Path) -> Answers | None:
    """Return what both models of a run said; None where its folder is gone, or nothing was compared."""
    scores = run_dir / files.SCORES_FILE
    try:
        changed_at = scores.stat().st_mtime_ns
    except OSError:
        # Gone, perhaps because it held texts that were erased: nothing of it stays in memory.
        _read.cache_clear()
        return None
    return _read(scores, run_dir / files.TRAINING_SET_FOLDER / "rows.parquet", changed_at)


@lru_cache(maxsize=16)
def _read(scores: Path, texts: Path, _changed_at: int) -> Answers | None:
    import pyarrow.parquet as pq  # noqa: PLC0415 - heavy

    try:
        table = pq.read_table(scores, columns=list(_ANSWERS))
        rows = table.slice(0, _MOST_ROWS).to_pylist()
    except (OSError, ValueError):
        return None
    if not rows:
        return None
    said = [{side: json.loads(row[side]) for side in _SIDES} for row in rows]
    kind = catalog.of(said[0]["gold"])
    judged = [_Judged(number, gain) for number, answers in enumerate(said) if (gain := _gain(kind, answers))]
    better = sorted((one for one in judged if one.gain > 0), key=lambda one: (-one.gain, one.number))
    worse = sorted((one for one in judged if one.gain < 0), key=lambda one: (one.gain, one.number))
    shown = [*better[:SHOWN], *worse[:SHOWN]]
    text_of = _texts(texts, {rows[one.number]["example_id"] for one in shown})
    made = {one.number: _row(kind, rows[one.number], said[one.number], text_of) for one in shown}
    return Answers(
        rows=table.num_rows,
        read=len(rows),
        better=len(better),
        worse=len(worse),
        rows_better=tuple(made[one.number] for one in better[:SHOWN]),
        rows_worse=tuple(made[one.number] for one in worse[:SHOWN]),
        mistaken=_mistaken(kind, [one for row, one in zip(rows, said, strict=True) if row["role"] == "test"]),
        in_text=kind.positional,
    )


def _gain(kind: Kind, said: Mapping[Side, Mapping[str, Any]]) -> float:
    """Return 1 where just the candidate is right, -1 where just the opponent is; of numbers, by how much it is nearer."""
    if isinstance(kind, Measures):
        return _distance(kind, said["gold"], said["opponent"]) - _distance(kind, said["gold"], said["candidate"])
    ours, theirs = (kind.relation(said["gold"], _plain(kind, said[side])) == "same" for side in ("candidate", "opponent"))
    return float(ours) - float(theirs)


def _plain(kind: Kind, answer: Mapping[str, Any]) -> dict[str, Any]:
    return kind.confirmed(kind.plain(answer))


def _distance(kind: Kind, gold: Mapping[str, Any], said: Mapping[str, Any]) -> float:
    right, given = gold[kind.key], said[kind.key]
    apart = [abs(number - given[name]) for name, number in right.items() if number is not None and given.get(name) is not None]
    return sum(apart) / len(apart) if apart else 0.0


def _texts(path: Path, wanted: Iterable[str]) -> dict[str, str]:
    import pyarrow.parquet as pq  # noqa: PLC0415 - heavy

    try:
        found = pq.read_table(path, columns=["example_id", "text"], filters=[("example_id", "in", sorted(wanted))])
    except (OSError, ValueError):
        return {}
    return dict(zip(found["example_id"].to_pylist(), found["text"].to_pylist(), strict=True))


def _row(kind: Kind, row: Mapping[str, Any], said: Mapping[Side, Mapping[str, Any]], texts: Mapping[str, str]) -> Row:
    text = texts.get(row["example_id"], "")
    gold, candidate, champion = (_words(kind, said[side], text) for side in _SIDES)
    return Row(
        example_id=row["example_id"], role=row["role"], text=text[:_MOST_TEXT], cut=len(text) > _MOST_TEXT,
        gold=gold, candidate=candidate, champion=champion,
    )  # fmt: skip


def _words(kind: Kind, answer: Mapping[str, Any], text: str) -> tuple[Words, ...]:
    pieces: Sequence[Piece]
    if kind.positional and text:
        pieces = kind.pieces(answer, text)
    else:
        pieces = [(kind.in_words(_plain(kind, answer) if "scores" in answer else answer), "strong")]
    return tuple(Words(text=words, style=style) for words, style in pieces)


def _mistaken(kind: Kind, said: Sequence[Mapping[Side, Mapping[str, Any]]]) -> tuple[Mistaken, ...]:
    if kind.positional or kind.several or isinstance(kind, Measures):
        return ()
    sides: Mapping[Side, Counter[tuple[str, str]]] = {"candidate": Counter(), "opponent": Counter()}
    for answers in said:
        [right] = kind.labels(answers["gold"]) or [""]
        for side, counted in sides.items():
            [given] = kind.labels(_plain(kind, answers[side])) or [""]
            if given != right:
                counted[right, given] += 1
    pairs = sorted(
        sides["candidate"].keys() | sides["opponent"].keys(), key=lambda pair: (-max(sides[side][pair] for side in sides), pair)
    )
    return tuple(
        Mistaken(gold=gold, said=given, candidate=sides["candidate"][gold, given], champion=sides["opponent"][gold, given])
        for gold, given in pairs[:_MOST_PAIRS]
    )
