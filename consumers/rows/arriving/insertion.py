"""Insert-only ingest: every event once, whatever is delivered again; other content under a used id is a conflict."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from consumers.events.schemas import Article, content_sha256
from consumers.rows.arriving.event_rows import FAMILIES, Row, Stored, identity, payload_sha256, revision_id, rows_of
from consumers.rows.arriving.revisions import Revision, Revisions
from consumers.rows.arriving.seen import SeenIds
from consumers.tables.columns import ARRIVED, KEYS
from consumers.tables.lance import Tables


@dataclass(frozen=True, slots=True)
class Conflict:
    """An event whose id is in use for something else; nothing of it is stored."""

    stored: Stored
    reason: str


@dataclass(frozen=True, slots=True)
class InsertOutcome:
    """What became of a batch."""

    inserted: int
    duplicates: int
    conflicts: tuple[Conflict, ...]
    erased: tuple[Stored, ...] = ()
    """Of users and articles that were erased: nothing of them is stored."""


@dataclass(frozen=True, slots=True)
class _Incoming:
    """An event of the batch, with what is hashed of it only once."""

    stored: Stored
    family: str
    event_id: str
    payload_sha256: str
    article: Article | None
    text_sha256: str
    """Of an article; empty for all else."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What the tables hold under the ids of one batch; kept up to date while the batch is walked through."""

    payloads: dict[tuple[str, str], str]
    """By family and id."""
    rows: set[tuple[str, str]]
    """Table and id of every row that is there."""
    revisions: Revisions


class Insertion:
    """Appends events to the tables they belong to."""

    def __init__(self, tables: Tables, next_sequence: int) -> None:
        self._tables = tables
        self.next_sequence = next_sequence
        self.seen: dict[str, SeenIds] = {}
        for name in ARRIVED:
            self.seen[name] = SeenIds(tables.scan(name, [KEYS[name]])[KEYS[name]].to_pylist())
        self.article_ids = SeenIds(tables.scan("articles", ["article_id"])["article_id"].to_pylist())

    def insert(
        self, batch: Sequence[Stored], now: datetime, *, accepted: Mapping[str, Sequence[str]] | None = None
    ) -> InsertOutcome:
        """Store what is new. Judged one after the other, in the order of the log, as if each had come alone.

        `accepted` are the labels that each closed task accepts now.
        """
        incoming = [_incoming(stored) for stored in batch]
        known = self._known(incoming)
        rows: dict[str, list[Row]] = defaultdict(list)
        inserted = duplicates = 0
        conflicts: list[Conflict] = []
        for one in incoming:
            if _says_nothing_new(one, known):
                duplicates += 1
            elif known.payloads.get((one.family, one.event_id), one.payload_sha256) != one.payload_sha256:
                conflicts.append(Conflict(one.stored, _conflict(one)))
            else:
                becomes = rows_of(one.stored, one.payload_sha256, sequence=self.next_sequence, now=now, accepted=accepted)
                fresh = {table: row for table, row in becomes.items() if (table, one.event_id) not in known.rows}
                _note(one, fresh, known)
                for table, row in fresh.items():
                    rows[table].append(row)
                self.next_sequence += bool(fresh)
                inserted += bool(fresh)
                duplicates += not fresh
        # Examples before the ledger: a ledger row that says `joined` always has its example.
        for table in ARRIVED:
            self.append(table, rows[table])
        return InsertOutcome(inserted, duplicates, tuple(conflicts))

    def append(self, table: str, rows: Sequence[Row]) -> None:
        """Append rows that are not there yet, and remember their ids."""
        # Remembered first: should LanceDB fail after all was written, the next attempt still looks before it appends.
        self.seen[table].add(row[KEYS[table]] for row in rows)
        if table == "articles":
            self.article_ids.add(row["article_id"] for row in rows)
        self._tables.append(table, rows)

    def present(self, table: str, ids: Sequence[str]) -> set[str]:
        """Return those of `ids` that have a row in `table`."""
        suspects = self.seen[table].among(ids)
        return set(self._tables.lookup(table, KEYS[table], suspects, [KEYS[table]])[KEYS[table]].to_pylist())

    def _known(self, incoming: Sequence[_Incoming]) -> _Known:
        ids: Mapping[str, set[str]] = defaultdict(set)
        for one in incoming:
            ids[one.family].add(one.event_id)
        articles = self.article_ids.among(sorted({one.article.article_id for one in incoming if one.article is not None}))
        known = _Known({}, set(), Revisions(self._tables, articles))
        for family, wanted in ids.items():
            for table in FAMILIES[family]:
                suspects = self.seen[table].among(sorted(wanted))
                found = self._tables.lookup(table, KEYS[table], suspects, [KEYS[table], "payload_sha256"])
                for event_id, sha256 in zip(*(column.to_pylist() for column in found.columns), strict=True):
                    known.payloads[family, event_id] = sha256
                    known.rows.add((table, event_id))
        return known


def _incoming(stored: Stored) -> _Incoming:
    family, event_id = identity(stored.event)
    article = stored.event if isinstance(stored.event, Article) else None
    text_sha256 = content_sha256(article.text) if article else ""
    return _Incoming(stored, family, event_id, payload_sha256(stored.event), article, text_sha256)


def _says_nothing_new(one: _Incoming, known: _Known) -> bool:
    """Return whether an article stood at that time as it is sent: crawled again, say."""
    if one.article is None:
        return False
    before = known.revisions.known_before(one.article.article_id, one.article.occurred_at, one.stored.position)
    if before is not None and before.text_sha256 == one.text_sha256:
        return True
    # Its producer sent it again, after another text of the same moment: no return to an earlier text, which comes later.
    return known.revisions.holds(one.article.article_id, one.article.occurred_at, one.text_sha256)


def _note(one: _Incoming, fresh: Mapping[str, Row], known: _Known) -> None:
    known.payloads[one.family, one.event_id] = one.payload_sha256
    known.rows.update((table, one.event_id) for table in fresh)
    if one.article is not None and (row := fresh.get("articles")) is not None:
        if known.revisions.has(one.article.article_id, row["row_id"]):
            # It was so before, and was otherwise in between.
            row["row_id"] = revision_id(one.article, one.text_sha256, is_back=True)
        revision = Revision(row["event_time"], row["stored_seq"], row["row_id"], row["text_sha256"], one.stored.position)
        known.revisions.add(one.article.article_id, revision)


def _conflict(one: _Incoming) -> str:
    name = "prediction_id" if one.family == "predictions" else "event_id"
    return (
        f"{name}: {one.event_id!r} was already used for other content, which is kept. Give every event its own id and send this "
        "one again under a new one"
    )
