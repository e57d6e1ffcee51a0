"""Looks through the labels of a task for those that are probably wrong, and keeps what it finds for the desk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from config.kinds import catalog as kinds
from config.settings import Settings
from config.tasks import TaskSpec
from config.words import counted, named
from consumers.buffer.reader import BufferReader
from consumers.labelling import kept
from consumers.labelling.doubts import contradicting
from consumers.labelling.doubts.doubt import MOST, Doubt, Doubts, Sort, ranked
from consumers.labelling.doubts.labelled import READ, as_target, labelled, vectors
from consumers.tables.lance import Snapshot

MOST_JUDGED = 50_000
"""The newest so many texts are judged by a model: to judge each takes a head that has not seen it."""
MOST_LABELS = 100
"""Where a text may have several labels, so many of them are judged, those that most texts carry."""


def look(settings: Settings, task: TaskSpec, buffer: BufferReader, *, now: datetime, most: int = MOST_JUDGED) -> Doubts:
    """Return the labels of a task that are in doubt, and keep them for the lane `suspicious` of the desk.

    Memory: narrow columns of all labels, and the embeddings of at most `most` texts.
    """
    with buffer.looked_at(READ) as tables:
        rows = labelled(tables, task)
        found = contradicting.same_texts(rows)
        found += contradicting.near_copies(rows, task, lambda ids: vectors(tables, task.name, ids))
        judged, why, contradicted = _contradicted(tables, rows, task, most)
    texts = len(rows.filter(rows["counts"]))
    every = ranked([*found, *contradicted])
    counts: Counter[Sort] = Counter(sort for one in every for sort in one.sorts)
    doubts = Doubts(
        task=task.name, at=now, texts=texts, judged=judged, counts=dict(counts), not_judged=why, doubts=tuple(every[:MOST])
    )
    kept.write(settings.suspicious_dir, doubts, doubts.task)
    return doubts


def _contradicted(tables: Snapshot, rows: pa.Table, task: TaskSpec, most: int) -> tuple[int, str | None, list[Doubt]]:
    """Return how many texts were judged, why not the others, and the labels that heads contradict which have not seen them."""
    kind = kinds.get(task.kind)
    several = kind.key == "labels"
    if "label" not in kind.shown.model_fields and not several:
        return 0, f"kind {task.kind} gives a text no label as a whole, so no model judges it", []
    counting = rows.filter(rows["counts"]).sort_by([("event_time", "descending"), ("row_id", "ascending")])
    chosen = counting.slice(0, most)
    ids, features = vectors(tables, task.name, chosen["row_id"].to_pylist())
    by_id = {row["row_id"]: row for row in chosen.to_pylist()}
    members = [by_id[row_id] for row_id in ids]
    if several:
        judged, few, doubts = _of_several(members, features)
        return judged, _why_not(counting.num_rows, len(chosen), len(ids), judged, few), doubts
    names = sorted({as_target(row["target"])["label"] for row in members})
    number = {name: at for at, name in enumerate(names)}
    labels = np.array([number[as_target(row["target"])["label"]] for row in members], dtype=np.intp)
    groups = _groups(members)
    from trainers.learners.heads.validation import confident  # noqa: PLC0415 - loads scikit-learn

    probabilities = confident.cross_validated(features, labels, groups)
    doubts = [
        Doubt(
            text_sha256=members[one.place]["text_sha256"], example_id=ids[one.place], sorts=("contradicted",),
            given=as_target(members[one.place]["target"]), suggested={"label": names[one.suggested]}, score=one.score,
            side=members[one.place]["split"], beside=(),
        )
        for one in confident.in_doubt(probabilities, labels)
        if not members[one.place]["settled"]
    ]  # fmt: skip
    judged = int(np.isfinite(probabilities).all(axis=1).sum()) if len(ids) else 0
    carried = {name: len(np.unique(groups[labels == at])) for name, at in number.items()}
    few = {name: rows_ for name, rows_ in carried.items() if rows_ < confident.LEAST_GROUPS}
    return judged, _why_not(counting.num_rows, len(chosen), len(ids), judged, few), doubts


def _of_several(
    members: Sequence[Mapping[str, Any]], features: npt.NDArray[np.float32]
) -> tuple[int, dict[str, int], list[Doubt]]:  # fmt: skip
    """Return how many texts were judged, the labels that too few stories carry, and the texts with a label in doubt.

    Of more than `MOST_LABELS` those that most texts carry: each takes five heads.
    """
    from trainers.learners.heads.validation import confident  # noqa: PLC0415 - loads scikit-learn

    # A text of which only a part is known says nothing of the other labels.
    whole = [at for at, row in enumerate(members) if not as_target(row["target"]).get("partial")]
    members, features = [members[at] for at in whole], features[whole]
    given = [frozenset(as_target(row["target"])["labels"]) for row in members]
    counts = Counter(label for labels in given for label in labels)
    groups = _groups(members)
    stories = {name: len({int(groups[at]) for at, labels in enumerate(given) if name in labels}) for name in counts}
    few = {name: count for name, count in stories.items() if count < confident.LEAST_GROUPS}
    names = sorted((name for name in counts if name not in few), key=lambda name: (-counts[name], name))[:MOST_LABELS]
    has = np.array([[name in labels for name in names] for labels in given], dtype=bool).reshape(len(given), len(names))
    found = confident.in_doubt_by_label(features, has, groups)
    doubts = [
        Doubt(
            text_sha256=members[at]["text_sha256"], example_id=members[at]["row_id"], sorts=("contradicted",),
            given=as_target(members[at]["target"]),
            suggested={"labels": sorted(given[at].symmetric_difference(names[label] for label in labels))},
            score=max(labels.values()), side=members[at]["split"], beside=(),
        )
        for at, labels in found.doubts.items()
        if not members[at]["settled"]
    ]  # fmt: skip
    return int(found.judged.sum()), few, sorted(doubts, key=lambda one: (-one.score, one.text_sha256))


def _groups(members: Sequence[Mapping[str, Any]]) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return a number for each row: the same for rows of one story, or of one document that is in no story."""
    numbers: dict[str, int] = {}
    keys = [row["story_id"] or row["document_id"] or row["row_id"] for row in members]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.intp)


def _why_not(texts: int, looked_at: int, with_features: int, judged: int, few: Mapping[str, int]) -> str | None:
    """Return in words why a model has judged fewer than all texts."""
    reasons = []
    if looked_at < texts:
        reasons.append(f"the newest {looked_at:,} of {texts:,} texts are judged")
    if with_features < looked_at:
        reasons.append(f"{counted(looked_at - with_features, 'text')} have no embedding of the encoder that most have")
    if few:
        told = named([f"{name} ({rows})" for name, rows in sorted(few.items(), key=lambda pair: (pair[1], pair[0]))])
        reasons.append(f"too few texts carry {told}")
    if not judged and not reasons:
        reasons.append("a model needs texts of two labels to tell apart" if texts else "no text has a label")
    return "; ".join(reasons) or None
