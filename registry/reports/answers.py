"""What both models of a comparison said: rows better, worse and otherwise, and what was mistaken for what."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from config.kinds import catalog
from config.kinds.kind import Kind, Measures, Piece
from registry.reports.confusion import Confusion, confusion_of
from trainers.job import files

SHOWN = 12
"""Rows that are shown on each side."""
MOST_ROWS = 20_000
_MOST_PAIRS = 20
MOST_TEXT = 2_000
_MOST_PIECES = 200
_AROUND = 160
"""Characters that stay on each side of what is marked in a long text."""

Side = Literal["gold", "candidate", "opponent"]
_SIDES: tuple[Side, ...] = ("gold", "candidate", "opponent")
_ANSWERS = (*_SIDES, "example_id", "role")


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Words(_Value):
    """A few words and how they stand out: a label is `strong`, what belongs to it `faint`."""

    text: str
    style: Literal["plain", "strong", "faint", "warning"]


class Row(_Value):
    """One row that the two models answer differently."""

    example_id: str
    role: str
    text: str
    """Its beginning."""
    cut: bool
    gold: tuple[Words, ...]
    candidate: tuple[Words, ...]
    champion: tuple[Words, ...]
    """What the opponent said, champion or baseline. Answers that have places in the text are the text, marked."""


class Mistaken(_Value):
    """One label that was taken for another."""

    gold: str
    said: str
    candidate: int
    """Rows in which the candidate took it so."""
    champion: int


class Answers(_Value):
    """Both models on the rows of a run."""

    rows: int
    read: int
    """Fewer than `rows` where there are more than can be read at once."""
    better: int
    worse: int
    rows_better: tuple[Row, ...]
    rows_worse: tuple[Row, ...]
    differ: int = 0
    """Rows that the two answer differently, better and worse ones among them."""
    rows_otherwise: tuple[Row, ...] = ()
    """Answered differently by both, and neither better nor worse."""
    mistaken: tuple[Mistaken, ...]
    """The most frequent first; empty where a text has no single label."""
    in_text: bool
    """Whether answers are places in the text."""
    confusion: Confusion | None = None
    """None where a text has no single label, or too many labels to be shown."""


_Plain = tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]
"""What is right, what the candidate says and what the opponent says."""


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
        rows = table.slice(0, MOST_ROWS).to_pylist()
    except (OSError, ValueError):
        return None
    if not rows:
        return None
    said = [{side: json.loads(row[side]) for side in _SIDES} for row in rows]
    kind = catalog.of(said[0]["gold"])
    judged = [
        _Judged(number, gained)
        for number, one in enumerate(said)
        if (gained := gain(kind, one["gold"], one["candidate"], one["opponent"]))
    ]
    bare = [_all_plain(kind, answers) for answers in said]
    better = sorted((one for one in judged if one.gain > 0), key=lambda one: (-one.gain, one.number))
    worse = sorted((one for one in judged if one.gain < 0), key=lambda one: (one.gain, one.number))
    apart = [number for number, (_gold, ours, theirs) in enumerate(bare) if ours != theirs]
    known = {one.number for one in judged}
    otherwise = [number for number in apart if number not in known][:SHOWN]
    shown = [*(one.number for one in (*better[:SHOWN], *worse[:SHOWN])), *otherwise]
    text_of = texts_of(texts, {rows[number]["example_id"] for number in shown})
    made = {number: _row(kind, rows[number], said[number], text_of) for number in shown}
    tested = [one for row, one in zip(rows, bare, strict=True) if row["role"] == "test"]
    labels = [_labels(kind, one) for one in tested] if _one_label(kind) else []
    return Answers(
        rows=table.num_rows,
        read=len(rows),
        better=len(better),
        worse=len(worse),
        rows_better=tuple(made[one.number] for one in better[:SHOWN]),
        rows_worse=tuple(made[one.number] for one in worse[:SHOWN]),
        differ=len(apart),
        rows_otherwise=tuple(made[number] for number in otherwise),
        mistaken=_mistaken(labels),
        in_text=kind.positional,
        confusion=confusion_of(labels),
    )


def gain(kind: Kind, gold: Mapping[str, Any], ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> float:
    """Return 1 where just `ours` is right, -1 where just `theirs` is; of numbers, by how much ours is nearer."""
    if isinstance(kind, Measures):
        return _distance(kind, gold, theirs) - _distance(kind, gold, ours)
    right, other = (kind.relation(gold, plain(kind, said)) == "same" for said in (ours, theirs))
    return float(right) - float(other)


def _all_plain(kind: Kind, said: Mapping[Side, Mapping[str, Any]]) -> _Plain:
    """Return what is right, and what both models say without how sure they are."""
    if isinstance(kind, Measures):
        return said["gold"], said["candidate"][kind.key], said["opponent"][kind.key]
    return said["gold"], plain(kind, said["candidate"]), plain(kind, said["opponent"])


def plain(kind: Kind, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an answer says, as a target, without probabilities."""
    return kind.confirmed(kind.plain(answer))


def _distance(kind: Kind, gold: Mapping[str, Any], said: Mapping[str, Any]) -> float:
    right, given = gold[kind.key], said[kind.key]
    apart = [_apart(value, given[name]) for name, value in right.items() if value is not None and given.get(name) is not None]
    return sum(apart) / len(apart) if apart else 0.0


def _apart(right: Any, given: Any) -> float:  # noqa: ANN401 - a number, or a signal
    """Return how far off a number is; of a signal, its score, and 1 more for another tag."""
    if not isinstance(right, Mapping):
        return float(abs(right - given))
    tags = {right.get("tag"), given.get("tag")} - {None}
    return float(abs(right["score"] - given["score"])) + (len(tags) > 1)


def texts_of(path: Path, wanted: Iterable[str]) -> dict[str, str]:
    """Return the texts of these examples by id, from the rows of a training set; those that are there."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - heavy

    try:
        found = pq.read_table(path, columns=["example_id", "text"], filters=[("example_id", "in", sorted(wanted))])
    except (OSError, ValueError):
        return {}
    return dict(zip(found["example_id"].to_pylist(), found["text"].to_pylist(), strict=True))


def _row(kind: Kind, row: Mapping[str, Any], said: Mapping[Side, Mapping[str, Any]], texts: Mapping[str, str]) -> Row:
    text = texts.get(row["example_id"], "")
    gold, candidate, champion = (words_of(kind, said[side], text) for side in _SIDES)
    return Row(
        example_id=row["example_id"], role=row["role"], text=text[:MOST_TEXT], cut=len(text) > MOST_TEXT,
        gold=gold, candidate=candidate, champion=champion,
    )  # fmt: skip


def words_of(kind: Kind, answer: Mapping[str, Any], text: str) -> tuple[Words, ...]:
    """Return an answer, or a target, in words; one that has places in its text as the text, marked."""
    pieces: Sequence[Piece]
    if kind.positional and text:
        pieces = _shortened(kind.pieces(answer, text))
    else:
        pieces = [(kind.in_words(plain(kind, answer) if "scores" in answer else answer), "strong")]
    return tuple(Words(text=words, style=style) for words, style in pieces)


def _shortened(pieces: Sequence[Piece]) -> list[Piece]:
    """Return the pieces of a text without the middle of what is long and not marked: what is marked must be seen."""
    kept: list[Piece] = []
    for words, style in pieces[:_MOST_PIECES]:
        long = style == "plain" and len(words) > 3 * _AROUND
        kept.append((f"{words[:_AROUND]} … {words[-_AROUND:]}" if long else words, style))
    return [*kept, (" …", "plain")] if len(pieces) > _MOST_PIECES else kept


def _one_label(kind: Kind) -> bool:
    return not (kind.positional or kind.several or isinstance(kind, Measures))


def _labels(kind: Kind, plain: _Plain) -> tuple[str, str, str]:
    """Return the label that is right, the candidate's and the opponent's; empty for none."""
    right, candidate, opponent = ((kind.labels(one) or [""])[0] for one in plain)
    return right, candidate, opponent


def _mistaken(labels: Sequence[tuple[str, str, str]]) -> tuple[Mistaken, ...]:
    sides: Mapping[Side, Counter[tuple[str, str]]] = {"candidate": Counter(), "opponent": Counter()}
    for right, *given_by in labels:
        for counted, given in zip(sides.values(), given_by, strict=True):
            if given != right:
                counted[right, given] += 1
    pairs = sorted(
        sides["candidate"].keys() | sides["opponent"].keys(), key=lambda pair: (-max(sides[side][pair] for side in sides), pair)
    )
    return tuple(
        Mistaken(gold=gold, said=given, candidate=sides["candidate"][gold, given], champion=sides["opponent"][gold, given])
        for gold, given in pairs[:_MOST_PAIRS]
    )
