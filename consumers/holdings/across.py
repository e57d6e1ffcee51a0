"""Near copies of test rows among training rows that no story joins: they lie far apart in time, or are a little less alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from consumers.labelling.doubts.labelled import vectors
from consumers.rows.eligibility import MADE
from consumers.tables.columns import is_one_of, quoted
from consumers.tables.lance import Snapshot
from consumers.text import near_copies

MOST_TEST, MOST_TRAIN = 1_000, 10_000
_SHOWN = 5
_BEGINS_CHARS = 160


@dataclass(frozen=True, slots=True)
class Across:
    """A test row and the training row that is most like it."""

    test_id: str
    train_id: str
    alike: float
    test_begins: str
    train_begins: str


@dataclass(frozen=True, slots=True)
class NearAcross:
    """What was found among the newest rows."""

    test: int
    train: int
    """How many rows of each side were compared."""
    by_embedding: int
    """Test rows with a near copy by embedding ..."""
    by_words: int
    """... and by words (TF-IDF)."""
    either: int
    examples: tuple[Across, ...]


def near_across(snapshot: Snapshot, task: str) -> NearAcross:
    """Compare the newest test rows with the newest training rows. Memory: the beginnings of 11,000 texts and their embeddings."""
    test, train = (_newest(snapshot, task, side, most) for side, most in (("test", MOST_TEST), ("train", MOST_TRAIN)))
    found = {"embedding": _by_embedding(snapshot, task, test, train), "words": _by_words(test, train)}
    best: dict[str, tuple[float, str]] = {}
    for pairs in found.values():
        for one, (other, alike) in pairs.items():
            best[one] = max(best.get(one, (0.0, "")), (alike, other))
    texts = dict(zip(test["row_id"].to_pylist(), test["begins"].to_pylist(), strict=True))
    texts |= dict(zip(train["row_id"].to_pylist(), train["begins"].to_pylist(), strict=True))
    worst = sorted(best.items(), key=lambda pair: (-pair[1][0], pair[0]))[:_SHOWN]
    return NearAcross(
        test=test.num_rows, train=train.num_rows, by_embedding=len(found["embedding"]), by_words=len(found["words"]),
        either=len(best),
        examples=tuple(Across(one, other, alike, _short(texts[one]), _short(texts[other])) for one, (alike, other) in worst),
    )  # fmt: skip


def _by_embedding(snapshot: Snapshot, task: str, test: pa.Table, train: pa.Table) -> dict[str, tuple[str, float]]:
    ids, features = vectors(snapshot, task, [*test["row_id"].to_pylist(), *train["row_id"].to_pylist()])
    of_test = set(test["row_id"].to_pylist())
    ours = [at for at, row_id in enumerate(ids) if row_id in of_test]
    theirs = [at for at, row_id in enumerate(ids) if row_id not in of_test]
    if not ours or not theirs:
        return {}
    pairs = near_copies.by_embedding(features[ours], features[theirs])
    return _best([ids[at] for at in ours], [ids[at] for at in theirs], pairs)


def _by_words(test: pa.Table, train: pa.Table) -> dict[str, tuple[str, float]]:
    pairs = near_copies.by_words(test["begins"].to_pylist(), train["begins"].to_pylist())
    return _best(test["row_id"].to_pylist(), train["row_id"].to_pylist(), pairs)


def _best(ones: Sequence[str], others: Sequence[str], pairs: Iterable[near_copies.Pair]) -> dict[str, tuple[str, float]]:
    best: dict[str, tuple[str, float]] = {}
    for pair in pairs:
        if pair.alike > best.get(ones[pair.one], ("", 0.0))[1]:
            best[ones[pair.one]] = (others[pair.other], pair.alike)
    return best


def _newest(snapshot: Snapshot, task: str, side: str, most: int) -> pa.Table:
    """Return `row_id` and `begins` of the newest rows of one side."""
    where = f"task = {quoted(task)} AND verdict IS NULL AND NOT {is_one_of('selected_by', MADE)} AND split = {quoted(side)}"
    rows = snapshot.scan("example_enrichment", ["row_id", "event_time"], where)
    chosen = rows.sort_by([("event_time", "descending"), ("row_id", "ascending")]).slice(0, most)["row_id"].combine_chunks()
    parts = []
    for batch in snapshot.batches("examples", ["row_id", "text"], f"task = {quoted(task)}"):
        some = batch.filter(pc.is_in(batch["row_id"], value_set=chosen))
        parts.append(
            pa.table({"row_id": some["row_id"], "begins": pc.utf8_slice_codeunits(some["text"], 0, near_copies.READ_CHARS)})
        )
    return (
        pa.concat_tables(parts) if parts else pa.table({"row_id": pa.array([], pa.string()), "begins": pa.array([], pa.string())})
    )


def _short(text: str) -> str:
    return " ".join(text[:_BEGINS_CHARS].split())
