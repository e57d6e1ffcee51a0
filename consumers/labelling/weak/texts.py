"""The texts that rules read: articles of the train side that nobody has labelled, and labelled texts that judge the rules."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from config.kinds import catalog as kinds
from config.task_files.sections.weak_labels import Place
from config.tasks import TaskSpec
from consumers.events.schemas import content_sha256
from consumers.labelling.oracle.ids import prompt_of, short
from consumers.labelling.reading import articles_within
from consumers.rows.documents import document_of
from consumers.rows.eligibility import OF_PEOPLE, ORACLE, WEAK
from consumers.rows.labels.renames import in_force
from consumers.rows.labels.withdrawn import withdrawn_ids
from consumers.tables.columns import is_one_of, quoted
from consumers.tables.lance import Snapshot
from consumers.training_set.targets import accepted, usable_target

READ = ("articles", "article_enrichment", "examples", "example_enrichment", "requests", "predictions")
_ALL_TIME_DAYS = 36_500.0


@dataclass(frozen=True, slots=True)
class WeakText:
    """A text, and what else rules may look at."""

    text_sha256: str
    text: str
    event_time: datetime
    language: str = ""
    article_id: str | None = None
    url: str = ""
    publisher: str = ""
    source: str = ""
    section: str = ""

    def part(self, place: Place) -> str:
        """Return what stands there. The title is what lies before the first blank line, and all of a text without one."""
        if place in ("title", "body"):
            title, _, body = self.text.partition("\n\n")
            return title if place == "title" else body
        return str(getattr(self, place))


@dataclass(frozen=True, slots=True)
class GoldText:
    """A text that people labelled."""

    text: WeakText
    target: Mapping[str, Any]
    """Under the names of today."""


@dataclass(frozen=True, slots=True)
class Texts:
    """What rules are applied to."""

    unlabelled: Sequence[WeakText]
    """Newest first, each text once, without those that anybody has labelled."""
    gold: Sequence[GoldText]
    """Of the train side, so that nobody tunes rules on rows that test."""
    labelled: int
    """Articles left out because somebody has labelled them, or given feedback on them."""
    unenriched: int
    """Articles that cannot be looked at yet."""
    answers: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    """By version of the task's models, what it answered to which text, by SHA-256; empty where they are not asked."""
    clusters: Mapping[str, int] = field(default_factory=dict)
    """The number of the cluster of each text without a label, by SHA-256, that has an embedding; empty where nobody asked."""


def texts_for(
    snapshot: Snapshot,
    task: TaskSpec,
    *,
    min_quality: float,
    most: int,
    answers: bool = False,
    but_of: str | None = None,
    clustered: bool = False,
) -> Texts:
    """Return the newest `most` articles that nobody has labelled, and the texts that people did, of the train side.

    Labels by rules count as none, so rules go on speaking of their texts; one of a language model (`oracle`) counts.
    `but_of`: a prompt; labels by other ones count as none, too. `answers`: also what the task's models answered, where the task
    file does not ask for it. `clustered`: also which texts are alike.
    """
    found = articles_within(snapshot, _ALL_TIME_DAYS, min_quality)
    found = found.filter(pc.equal(found["split"], "train"))
    taken = pc.is_in(found["text_sha256"], value_set=_spoken_of(snapshot, task.name, but_of))
    free = found.filter(pc.invert(taken)).slice(0, most)
    enriched = snapshot.scan("article_enrichment", ["row_id"]).num_rows
    stored = snapshot.scan("articles", ["row_id"]).num_rows
    articles, gold = _articles(snapshot, free), _gold(snapshot, task)
    read = frozenset([*(one.text_sha256 for one in articles), *(one.text.text_sha256 for one in gold)])
    said_of = _answers(snapshot, task, read) if answers or task.weak_labels.models else {}
    alike = _clusters(snapshot, free) if clustered else {}
    return Texts(articles, gold, found.num_rows - free.num_rows, max(0, stored - enriched), said_of, alike)


def _spoken_of(snapshot: Snapshot, task: str, but_of: str | None) -> pa.Array:
    """Return the texts, by SHA-256, that people or a language model have labelled."""
    said = snapshot.scan("examples", ["row_id", "text_sha256", "origin"], f"task = {quoted(task)} AND origin != {quoted(WEAK)}")
    of_oracle = pc.equal(said["origin"], ORACLE)
    ids, gone = said.filter(of_oracle)["row_id"].to_pylist(), withdrawn_ids(snapshot, task)
    holds = {one for one in ids if one not in gone and (but_of is None or prompt_of(one) == short(but_of))}
    counted = pc.or_(pc.invert(of_oracle), pc.is_in(said["row_id"], value_set=pa.array(holds, pa.string())))
    return pc.unique(said.filter(counted)["text_sha256"].combine_chunks()).drop_null()


def _clusters(snapshot: Snapshot, free: pa.Table) -> dict[str, int]:
    # Whatever opens a buffer would load numpy for this.
    from consumers.labelling.doubts.labelled import embeddings  # noqa: PLC0415
    from consumers.labelling.oracle.calibration.clusters import clusters  # noqa: PLC0415

    texts = dict(zip(free["row_id"].to_pylist(), free["text_sha256"].to_pylist(), strict=True))
    there = embeddings(snapshot, list(texts), table="articles")
    return clusters([texts[row_id] for row_id in there.ids], there.features)


def _articles(snapshot: Snapshot, chosen: pa.Table) -> list[WeakText]:
    ids = chosen["row_id"].to_pylist()
    if not ids:
        return []
    columns = ["row_id", "text", "article_id", "url", "publisher", "source", "extra"]
    rows = {row["row_id"]: row for row in snapshot.lookup("articles", "row_id", ids, columns).to_pylist()}
    languages = snapshot.lookup("article_enrichment", "row_id", ids, ["row_id", "language"])
    language = dict(zip(languages["row_id"].to_pylist(), languages["language"].to_pylist(), strict=True))
    return [
        WeakText(
            one["text_sha256"], row["text"], one["event_time"], language.get(one["row_id"]) or "", row["article_id"],
            row["url"] or "", row["publisher"] or "", row["source"] or "", _section(row["extra"]),
        )
        for one in chosen.select(["row_id", "text_sha256", "event_time"]).to_pylist()
        if (row := rows.get(one["row_id"])) is not None
    ]  # fmt: skip


def _answers(snapshot: Snapshot, task: TaskSpec, read: frozenset[str]) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Return what models, and no keywords or corrections in their place, answered to texts; the newest answer of each version."""
    kind, found = kinds.get(task.kind), defaultdict[str, dict[str, Mapping[str, Any]]](dict)
    of_models = f"task = {quoted(task.name)} AND (answered_by IS NULL OR answered_by = 'model')"
    columns = ["model_version", "text", "answer", "event_time"]
    for row in snapshot.scan("predictions", columns, of_models).sort_by([("event_time", "ascending")]).to_pylist():
        text_sha256, answer = content_sha256(row["text"]), json.loads(row["answer"])
        if text_sha256 in read and kind.key in answer and not answer.get("abstained"):
            found[row["model_version"]][text_sha256] = kind.plain(answer)
    return dict(sorted(found.items()))


def _section(extra: str | None) -> str:
    """Return the section that a crawler sent with an article; empty where it sent none."""
    found = json.loads(extra).get("section") if extra else None
    return found if isinstance(found, str) else ""


def _gold(snapshot: Snapshot, task: TaskSpec) -> list[GoldText]:
    own = f"task = {quoted(task.name)}"
    of_people = f"{own} AND split = 'train' AND verdict IS NULL AND {is_one_of('selected_by', OF_PEOPLE)}"
    placed = snapshot.scan("example_enrichment", ["row_id", "language", "event_time"], of_people)
    targets = snapshot.scan("examples", ["row_id", "text", "text_sha256", "target", "document_id", "article_id"], own)
    task, left_out = in_force(snapshot, task), Counter[str]()
    newest: dict[str, GoldText] = {}
    for row in (
        placed.join(targets, "row_id", join_type="inner")
        .sort_by([("event_time", "ascending"), ("row_id", "ascending")])
        .to_pylist()
    ):
        target = usable_target(row["target"], task, (task.renames,))
        if target is not None and (target := accepted(target, task, left_out)) is not None:
            document = document_of(row["document_id"], row["article_id"])
            text = WeakText(row["text_sha256"], row["text"], row["event_time"], row["language"] or "", document)
            newest[row["text_sha256"]] = GoldText(text, json.loads(target))
    return list(newest.values())
