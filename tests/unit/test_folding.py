"""Rows that are counted once by pattern give the numbers that each row by itself gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.scored import compared, labelled, table, topics
from trainers.compare import comparison, statistics
from trainers.compare.answers import Answers
from trainers.compare.clusters import clusters_of
from trainers.compare.guarding.spread import standard_error
from trainers.compare.metrics.f1 import ACCURACY, ENTITY_F1, MACRO_F1, MICRO_F1, MeanF1
from trainers.compare.metrics.folding import FoldedCounts
from trainers.compare.reading import EachTime, reading_of

LABELS = st.sampled_from("abcde")
ONE = st.fixed_dictionaries({"label": LABELS})
SEVERAL = st.fixed_dictionaries({"labels": st.lists(LABELS, max_size=3, unique=True)})
TOLD = st.fixed_dictionaries({"labels": st.lists(LABELS, max_size=3, unique=True)}, optional={"scope": st.lists(LABELS)})
SPAN = st.builds(lambda at, label: {"start": at, "end": at + 2, "label": label}, st.sampled_from([0, 3, 6]), LABELS)
SPANS = st.fixed_dictionaries({"spans": st.lists(SPAN, max_size=3)}, optional={"partial": st.booleans()})


@dataclass(frozen=True)
class Kind:
    metric: MeanF1
    gold: st.SearchStrategy[Any]
    answer: st.SearchStrategy[Any]


KINDS = {
    "one label": Kind(MACRO_F1, ONE, ONE), "one label, right or wrong": Kind(ACCURACY, ONE, ONE),
    "several labels": Kind(MACRO_F1, TOLD, SEVERAL), "several labels in one class": Kind(MICRO_F1, TOLD, SEVERAL),
    "entities": Kind(ENTITY_F1, SPANS, SPANS),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@settings(max_examples=25)
@given(data=st.data())
def test_patterns_give_what_each_row_gives(kind: Kind, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.tuples(kind.gold, kind.answer, kind.answer), min_size=1, max_size=25))
    answers = Answers(*map(list, zip(*rows, strict=True)))
    where = np.array(sorted(data.draw(st.sets(st.integers(0, len(rows) - 1)))), dtype=np.intp)
    folded, plain = FoldedCounts.read(kind.metric, *answers.columns), EachTime(kind.metric, answers)
    assert folded.label_detail(where) == plain.label_detail(where)
    clusters = np.arange(len(where)) // 2
    pairs = [(folded.pair(where), plain.pair(where))]
    named, each = folded.pair_labels(where, ["a", "unheard of"]), plain.pair_labels(where, ["a", "unheard of"])
    pairs += [(named[label], each[label]) for label in each]
    for one, other in pairs:
        assert len(one) == len(other) == len(where)
        assert one.scores() == other.scores()
        for mine, its in zip(_sums(one.by_cluster(clusters)), _sums(other.by_cluster(clusters)), strict=True):
            np.testing.assert_array_equal(mine, its)
        errors = [standard_error(paired, clusters, kind.metric.scale, seed=1) for paired in (one, other)]
        assert errors[0] == pytest.approx(errors[1], abs=1e-12)
    for mine, its in zip(_sums(pairs[0][0].each), _sums(pairs[0][1]), strict=True):
        np.testing.assert_array_equal(mine, its)


def _sums(paired: Any) -> tuple[np.ndarray, ...]:
    return paired.shared, paired.candidate, paired.opponent


def test_resamples_are_the_same_draws() -> None:
    scores = labelled("abcabcab" * 4, "abbabbaa" * 4, "aacabcbb" * 4)
    answers, where = Answers.read(scores), np.arange(32)
    both = [read.pair(where) for read in (FoldedCounts.read(MACRO_F1, *answers.columns), EachTime(MACRO_F1, answers))]
    found = [statistics.weigh(paired, where // 2, MACRO_F1.scale, confidence=0.95, seed=4) for paired in both]
    assert found[0] == found[1]
    for draw in ("bootstrapped", "swapped"):
        one, other = (getattr(paired, draw)(np.random.default_rng(1)) for paired in both)
        np.testing.assert_array_equal(one, other)


def test_a_whole_comparison_is_the_same_whoever_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)

    def answers() -> list[dict[str, Any]]:
        return [{"label": label, "scores": {label: 0.9, "z": 0.1}} for label in rng.choice(list("abcd"), 400)]

    scores = table(
        [{"label": label} for label in rng.choice(list("abcde"), 400)], answers(), answers(),
        documents=[f"d-{row // 3}" if row % 5 else None for row in range(400)],
        stories=[f"s-{row}" if row % 4 else None for row in rng.integers(0, 200, 400)],
    )  # fmt: skip
    guards = [{"slice": name, "max_drop": 0.05} for name in ("newest", "longest", "label:a", "source:desk", "language:en")]
    task = topics(slices=guards, max_calibration_rise=0.02, safe_refresh={"max_drop": 0.05})
    quick = compared(task, scores)
    assert isinstance(reading_of(MACRO_F1, Answers([], [], [])), FoldedCounts)
    monkeypatch.setattr(comparison, "reading_of", EachTime)
    plain = compared(task, scores).model_dump()
    assert _flat(quick.model_dump()) == pytest.approx(_flat(plain), abs=1e-12)


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {key: one for field, part in value.items() for key, one in _flat(part, f"{name}/{field}").items()}
    if isinstance(value, tuple | list):
        return {key: one for place, part in enumerate(value) for key, one in _flat(part, f"{name}/{place}").items()}
    return {name: value}


def test_labels_without_end_in_gold_take_no_table() -> None:
    count = 3_000
    answers = Answers.read(labelled([f"tag-{row}" for row in range(count)], ["a"] * count, ["b"] * count))
    folded = FoldedCounts.read(MACRO_F1, *answers.columns)
    assert len(folded.counts) == 3 * count
    assert folded.pair(np.arange(count)).patterns.shared.shape == (count, 2)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=30))
def test_clusters_are_what_stories_and_documents_tie(rows: list[tuple[int, int]]) -> None:
    names = [(None if story == 0 else f"s{story}", None if document == 0 else f"d{document}") for story, document in rows]
    scores = pa.table(
        {
            "example_id": [f"e{row}" for row in range(len(rows))], "story_id": pa.array([one for one, _ in names], pa.string()),
            "document_id": pa.array([other for _, other in names], pa.string()),
        }
    )  # fmt: skip
    # Each row begins with a cluster of its own, and takes the lowest of those that share a name until nothing changes.
    expected = list(range(len(rows)))
    for _round in rows:
        for at, mine in enumerate(names):
            ties = (any(a is not None and a == b for a, b in zip(mine, its, strict=True)) for its in names)
            expected[at] = min([expected[at], *(one for one, tied in zip(expected, ties, strict=True) if tied)])
    found = clusters_of(scores).tolist()
    assert sorted(set(found)) == list(range(len(set(found))))
    assert len(set(zip(found, expected, strict=True))) == len(set(found)) == len(set(expected))
