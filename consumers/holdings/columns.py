"""The rows of a task as small numbers, read batch by batch: no text is read, and a row takes some tens of bytes.

Names that only have to be compared (rows, stories, documents, texts) are kept as hashes of 64 bits: among a million of them two
are the same by chance once in 37 million tasks.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from config.kinds import catalog as kinds
from config.tasks import TaskSpec
from consumers.rows.documents import document_of
from consumers.rows.eligibility import MADE
from consumers.rows.labels.renames import in_force
from consumers.tables.columns import is_one_of, quoted
from consumers.tables.lance import Snapshot
from consumers.training_set.targets import usable_target

READ = ("examples", "example_enrichment", "articles", "requests")
SIDES = ("train", "test", "anchor", "dropped")
NONE = 0
"""The hash of what is not there."""
_MOST_KNOWN = 20_000
"""Different targets whose labels are remembered: of entities hardly any comes twice."""

Hashes = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]


@dataclass(slots=True)
class Names:
    """Names by number."""

    names: list[str] = field(default_factory=list)
    _numbers: dict[str, int] = field(default_factory=dict)

    def number(self, name: str) -> int:
        """Return the number of a name, a new one for one that is new."""
        found = self._numbers.get(name)
        if found is None:
            found = self._numbers[name] = len(self.names)
            self.names.append(name)
        return found


@dataclass(frozen=True, slots=True)
class Holdings:
    """The enriched rows of a task that neither users nor rules gave; n of them, in one order throughout."""

    row_ids: Hashes
    side: Codes
    """Numbers of `SIDES`."""
    months: Codes
    """Months since 1970."""
    times: Hashes
    """Microseconds since 1970."""
    text: Hashes
    story: Hashes
    document: Hashes
    language: Codes
    languages: Sequence[str]
    source: Codes
    """-1: nobody says."""
    sources: Sequence[str]
    label_of: Codes
    """Pairs with `labelled`: the number of a label, once for each row and label."""
    labelled: Codes
    """Pairs with `label_of`: the number of a row."""
    labels: Sequence[str]
    unusable: int
    """Rows whose target fits the task no more."""
    feedback: int
    """Rows that users gave; they are counted and not looked at."""
    weak: int
    """Likewise, rows that rules gave."""
    unenriched: int

    def __len__(self) -> int:
        return len(self.row_ids)

    def on(self, *sides: str) -> npt.NDArray[np.bool_]:
        """Return which rows are on these sides."""
        found: npt.NDArray[np.bool_] = np.isin(self.side, [SIDES.index(side) for side in sides])
        return found

    def by_label(self, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Return how many of the chosen rows carry each label."""
        return np.bincount(self.label_of[chosen[self.labelled]], minlength=len(self.labels))

    def by_source(self, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Return how many of the chosen rows come from each source."""
        known = self.source[chosen & (self.source >= 0)]
        return np.bincount(known, minlength=len(self.sources))

    def by_language(self, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Return how many of the chosen rows are in each language."""
        return np.bincount(self.language[chosen], minlength=len(self.languages))


def read(snapshot: Snapshot, task: TaskSpec) -> Holdings:
    """Return what the buffer holds for a task."""
    own = f"task = {quoted(task.name)}"
    labels = f"{own} AND verdict IS NULL AND NOT {is_one_of('selected_by', MADE)}"
    languages = Names()
    parts: list[tuple[Hashes, ...]] = []
    columns = ["row_id", "split", "event_time", "text_sha256", "story_id", "language"]
    for batch in snapshot.batches("example_enrichment", columns, labels):
        split = pc.index_in(batch["split"], value_set=pa.array(SIDES))
        language = [languages.number(name or "und") for name in batch["language"].to_pylist()]
        parts.append(
            (
                hashes(batch["row_id"]), split.to_numpy(zero_copy_only=False).astype(np.int64),
                batch["event_time"].cast(pa.int64()).to_numpy(zero_copy_only=False), hashes(batch["text_sha256"]),
                hashes(batch["story_id"]), np.array(language, np.int64),
            )
        )  # fmt: skip
    ids, side, times, text, story, language_ = (
        np.concatenate(column) if column else np.empty(0, np.int64)
        for column in (zip(*parts, strict=True) if parts else [()] * 6)
    )
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    said = _said(snapshot, task, labels, ids)
    feedback = snapshot.count("example_enrichment", f"{own} AND verdict IS NOT NULL")
    weak = snapshot.count("example_enrichment", f"{own} AND {is_one_of('selected_by', MADE)}")
    return Holdings(
        row_ids=ids, side=side[order].astype(np.int32), months=_months(times[order]), times=times[order], text=text[order],
        story=story[order], document=said.document, language=language_[order].astype(np.int32), languages=languages.names,
        source=said.source, sources=said.sources.names, label_of=np.array(said.label_of, np.int32),
        labelled=np.array(said.labelled, np.int32), labels=said.labels.names, unusable=said.unusable, feedback=feedback,
        weak=weak,
        unenriched=max(0, snapshot.count("examples", own) - len(ids) - feedback - weak),
    )  # fmt: skip


@dataclass(slots=True)
class _Said:
    """What `examples` tell of the enriched rows."""

    document: Hashes
    source: Codes
    sources: Names = field(default_factory=Names)
    labels: Names = field(default_factory=Names)
    label_of: array[int] = field(default_factory=lambda: array("i"))
    labelled: array[int] = field(default_factory=lambda: array("i"))
    unusable: int = 0


def _said(snapshot: Snapshot, task: TaskSpec, where: str, ids: Hashes) -> _Said:
    found = _Said(np.zeros(len(ids), np.int64), np.full(len(ids), -1, np.int32))
    articles = np.zeros(len(ids), np.int64)
    labels_of = _labels_of(snapshot, task)
    columns = ["row_id", "target", "source", "article_id", "document_id"]
    for batch in snapshot.batches("examples", columns, where):
        places = places_in(ids, hashes(batch["row_id"]))
        rows = zip(places.tolist(), *(batch[name].to_pylist() for name in columns[1:]), strict=True)
        for place, target, source, article, document in rows:
            if place < 0:
                continue
            labels = labels_of(target)
            if labels is None:
                found.unusable += 1
                continue
            for label in labels:
                found.label_of.append(found.labels.number(label))
                found.labelled.append(place)
            if source:
                found.source[place] = found.sources.number(source)
            if (named := document_of(document, article)) is not None:
                found.document[place] = _hash(named)
            if article is not None:
                articles[place] = _hash(article)
    _add_publishers(snapshot, found, articles)
    return found


def _add_publishers(snapshot: Snapshot, found: _Said, articles: Hashes) -> None:
    """Where an article is stored, its publisher is the source, as in the rules of a task file."""
    wanted = np.unique(articles[articles != NONE])
    if not len(wanted):
        return
    of_article = np.full(len(wanted), -1, np.int32)
    for batch in snapshot.batches("articles", ["article_id", "publisher", "source"]):
        places = places_in(wanted, hashes(batch["article_id"]))
        for place, publisher, source in zip(
            places.tolist(), batch["publisher"].to_pylist(), batch["source"].to_pylist(), strict=True
        ):
            if place >= 0 and of_article[place] < 0 and (publisher or source):
                of_article[place] = found.sources.number(publisher or source)
    known = np.flatnonzero(articles != NONE)
    told = of_article[np.searchsorted(wanted, articles[known])]
    found.source[known[told >= 0]] = told[told >= 0]


def _labels_of(snapshot: Snapshot, task: TaskSpec) -> Callable[[str], frozenset[str] | None]:
    task, kind = in_force(snapshot, task), kinds.get(task.kind)
    known: dict[str, frozenset[str] | None] = {}

    def labels_of(target: str) -> frozenset[str] | None:
        if target not in known:
            usable = usable_target(target, task, (task.renames,))
            found = None if usable is None else frozenset(kind.labels(json.loads(usable)))
            if len(known) >= _MOST_KNOWN:
                return found
            known[target] = found
        return known[target]

    return labels_of


def hashes(column: pa.Array) -> Hashes:
    """Return a hash of 64 bits for each text; 0 for what is not there. The same within one process."""
    return np.fromiter(map(_hash, column.to_pylist()), np.int64, len(column))


def places_in(ordered: Hashes, wanted: Hashes) -> npt.NDArray[np.int64]:
    """Return where each wanted number stands among ordered ones; -1 where it does not."""
    if not len(ordered):
        return np.full(len(wanted), -1, np.int64)
    places = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    return np.where(ordered[places] == wanted, places, -1)


def _hash(name: str | None) -> int:
    return NONE if name is None else hash(name)


def _months(times: Hashes) -> Codes:
    days = times.astype("datetime64[us]").astype("datetime64[M]")
    return days.astype(np.int64).astype(np.int32)


def month_name(month: int) -> str:
    """Return a month since 1970 as `2024-05`."""
    return f"{1970 + month // 12:04d}-{month % 12 + 1:02d}"
