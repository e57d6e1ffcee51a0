"""Draws the texts that people should label next, and keeps the draw for the desk's lane `next`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from config.kinds import catalog as kinds
from config.settings import Settings
from config.tasks import TaskSpec
from consumers.buffer.reader import BufferReader
from consumers.labelling import kept
from consumers.labelling.choosing import mix
from consumers.labelling.choosing.articles import READ, without_label
from consumers.labelling.choosing.draw import Doubling, Draw, Pick, Scarce
from consumers.labelling.choosing.ways import WAYS, Way
from consumers.labelling.doubts.labelled import as_target, embeddings, labelled
from consumers.rows.labels.renames import in_force
from consumers.tables.columns import quoted
from consumers.tables.lance import Snapshot
from consumers.text.near_copies import unit

_MOST_LEARNT = 5_000
"""The newest so many labelled texts stand for all: a head that only chooses needs no more."""
_MODEL_WAYS: tuple[Way, ...] = ("uncertain", "diverse", "short")


def draw(
    settings: Settings, task: TaskSpec, buffer: BufferReader, *, requested: Collection[str], count: int, now: datetime
) -> Draw:
    """Return at most `count` texts to label next, and keep them for the desk in the place of the last draw.

    `requested`: texts that a pair of models asks about, which are left to it. Memory: narrow columns, and the embeddings of
    `next_labels.pool_rows` articles and 5,000 labelled texts.
    """
    shares: dict[Way, float] = {way: getattr(task.next_labels, way) for way in WAYS}
    with buffer.looked_at(READ) as tables:
        found = without_label(
            tables, task, min_quality=settings.enrich.min_quality, left_out=requested, most=task.next_labels.pool_rows
        )
        learnt = _learnt(tables, task)
        scarce = _scarce(tables, task, learnt)
        pool = _Pool.of(tables, found, learnt)
    shown, why = _probabilities(pool, learnt, task)
    columns = {name: at for at, name in enumerate(learnt.names)}
    missing = {columns[one.label]: one.enough - one.there for one in scarce if one.label in columns}
    open_: list[Way] = ["random"]
    open_ += ["diverse"] if len(pool.texts) else []
    open_ += ["uncertain"] if shown is not None else []
    open_ += ["short"] if shown is not None and missing else []
    wanted = mix.apportioned(shares, min(count, found.num_rows), open_)
    # First: what is drawn at random must not be what a model has left over.
    order = mix.at_random(found["text_sha256"].to_pylist(), found.num_rows)
    chosen = order[: wanted["random"]]
    places = {text: at for at, text in enumerate(pool.texts)}
    taken = {pool.stories[places[text]] for text in chosen if text in places}
    candidates = mix.Candidates(pool.features, pool.stories, shown, pool.known)
    picked = mix.by_model(candidates, wanted, missing, taken)
    by_way: dict[Way, list[str]] = {way: [pool.texts[one.place] for one in picked if one.way == way] for way in _MODEL_WAYS}
    texts = {*chosen, *(text for some in by_way.values() for text in some)}
    # Where a way finds too few, more are drawn.
    rest = [text for text in order[len(chosen) :] if text not in texts][: sum(wanted.values()) - len(texts)]
    labels = {pool.texts[one.place]: learnt.names[one.label] for one in picked if one.label is not None}
    made = Draw(
        task=task.name, at=now, looked_at=found.num_rows, scarce=tuple(scarce), doubling=_doubling(learnt), without_model=why,
        picks=tuple(
            Pick(text_sha256=text, way=way, label=labels.get(text))
            for text, way in mix.mixed({**by_way, "random": [*chosen, *rest]})
        ),
    )  # fmt: skip
    kept.write(settings.next_labels_dir, made, made.task)
    return made


@dataclass(frozen=True, slots=True)
class _Learnt:
    """The labelled texts of the train side that have an embedding, the newest first."""

    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.intp]
    """A place in `names` for each; empty for a kind that gives a text no single label."""
    groups: npt.NDArray[np.intp]
    names: Sequence[str]
    encoder: str | None
    counts: Mapping[str, int]
    """Of all train texts, by label."""


@dataclass(frozen=True, slots=True)
class _Pool:
    """The articles of the train side that have an embedding of the encoder of the labelled texts, and these texts' embeddings."""

    texts: Sequence[str]
    stories: Sequence[str]
    features: npt.NDArray[np.float32]
    known: npt.NDArray[np.float32]

    @classmethod
    def of(cls, tables: Snapshot, found: pa.Table, learnt: _Learnt) -> _Pool:
        """Read what a model may choose."""
        train = found.filter(pc.equal(found["split"], "train"))
        read = embeddings(tables, train["row_id"].to_pylist(), table="articles", encoder=learnt.encoder)
        rows = {row["row_id"]: row for row in train.to_pylist()}
        mine = [rows[row_id] for row_id in read.ids]
        features = unit(read.features)
        known = unit(learnt.features) if learnt.encoder is not None else features[:0]
        return cls([row["text_sha256"] for row in mine], [row["story_id"] or row["row_id"] for row in mine], features, known)


def _learnt(tables: Snapshot, task: TaskSpec) -> _Learnt:
    rows = labelled(tables, task)
    rows = rows.filter(pc.and_(rows["counts"], pc.equal(rows["split"], "train")))
    kind = kinds.get(task.kind)
    counts = Counter(label for target in rows["target"].to_pylist() for label in set(kind.labels(as_target(target))))
    rows = rows.sort_by([("event_time", "descending"), ("row_id", "ascending")]).slice(0, _MOST_LEARNT)
    read = embeddings(tables, rows["row_id"].to_pylist(), own=f"task = {quoted(task.name)}")
    by_id = {row["row_id"]: row for row in rows.to_pylist()}
    mine = [by_id[row_id] for row_id in read.ids]
    one_label = "label" in kind.shown.model_fields
    given = [as_target(row["target"])["label"] for row in mine] if one_label else []
    names = sorted(set(given))
    number = {name: at for at, name in enumerate(names)}
    numbers: dict[str, int] = {}
    keys = [row["story_id"] or row["document_id"] or row["row_id"] for row in mine]
    return _Learnt(
        read.features, np.array([number[name] for name in given], dtype=np.intp),
        np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.intp), names, read.encoder, counts,
    )  # fmt: skip


def _scarce(tables: Snapshot, task: TaskSpec, learnt: _Learnt) -> list[Scarce]:
    """Return the labels with fewer training texts than are enough, the scarcest first."""
    names, enough = {*in_force(tables, task).label_names, *learnt.counts}, task.next_labels.enough
    found = [Scarce(label=name, there=learnt.counts.get(name, 0), enough=enough) for name in names]
    return sorted((one for one in found if one.there < enough), key=lambda one: (one.there, one.label))


def _probabilities(pool: _Pool, learnt: _Learnt, task: TaskSpec) -> tuple[npt.NDArray[np.float64] | None, str | None]:
    """Return what a head on the stored embeddings makes of each text, or why there is none."""
    if "label" not in kinds.get(task.kind).shown.model_fields:
        return None, f"kind {task.kind} gives a text no single label, so texts are chosen by what they are like, and at random"
    if len(learnt.names) < 2:  # noqa: PLR2004 - one label is nothing to tell apart
        return None, "a model needs training texts of two labels; till then texts are chosen by what they are like, and at random"
    if not len(pool.texts):
        return None, "no article has an embedding of the encoder that the labelled texts have, so all are drawn at random"
    from scipy.special import softmax  # noqa: PLC0415 - only where it is needed

    from trainers.learners.heads.solving import solve  # noqa: PLC0415 - loads scikit-learn
    from trainers.learners.heads.validation.doubling import STRENGTH  # noqa: PLC0415 - loads scikit-learn

    head = solve(unit(learnt.features), learnt.labels, np.ones(len(learnt.labels)), strength=STRENGTH)
    return np.asarray(softmax(head.scores(pool.features), axis=1), dtype=np.float64), None


def _doubling(learnt: _Learnt) -> Doubling | None:
    if len(learnt.names) < 2:  # noqa: PLR2004 - as above
        return None
    from trainers.learners.heads.validation.doubling import doubling  # noqa: PLC0415 - loads scikit-learn

    step = doubling(unit(learnt.features), learnt.labels, learnt.groups)
    return None if step is None else Doubling(texts=step.texts, half=step.half, whole=step.whole)
