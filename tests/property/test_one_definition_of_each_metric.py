"""What decides is what scikit-learn and seqeval call it, and what benchmarks print is what decides."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score as seqeval_f1
from seqeval.scheme import IOB2
from sklearn.metrics import accuracy_score, f1_score

from tests.support.scored import labelled, paired, table
from trainers.compare.answers import Answers
from trainers.compare.metrics import entities
from trainers.compare.metrics import labels as label_metrics
from trainers.compare.metrics.f1 import MACRO_F1

LABELS = st.sampled_from(["a", "b", "c", "rare", "never in gold"])
GOLD = st.sampled_from(["a", "b", "c", "rare"])
TYPES = ("PER", "ORG", "LOC")


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(GOLD, LABELS, LABELS), min_size=1, max_size=30))
def test_macro_f1_and_accuracy_are_scikit_learns_over_one_set_of_labels(rows: list[tuple[str, str, str]]) -> None:
    gold, candidate, opponent = (list(column) for column in zip(*rows, strict=True))
    scored = labelled(gold, candidate, opponent)
    labels = sorted({*gold, *candidate, *opponent})
    assert sorted(MACRO_F1.label_detail(*Answers.read(scored).columns).by_label) == labels
    macro = [f1_score(gold, answers, labels=labels, average="macro", zero_division=0) for answers in (candidate, opponent)]
    assert paired("macro_f1", scored).scores() == pytest.approx(macro)
    right = [accuracy_score(gold, answers) for answers in (candidate, opponent)]
    assert paired("accuracy", scored).scores() == pytest.approx(right)
    assert [label_metrics.accuracy(gold, answers) for answers in (candidate, opponent)] == pytest.approx(right)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(GOLD, LABELS, LABELS), min_size=2, max_size=12), st.data())
def test_every_resample_is_scored_over_the_same_labels(rows: list[tuple[str, str, str]], data: st.DataObject) -> None:
    gold, candidate, opponent = (np.array(column) for column in zip(*rows, strict=True))
    counts = MACRO_F1.pair(*Answers.read(labelled(list(gold), list(candidate), list(opponent))).columns)
    drawn = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=12)))
    labels = sorted({*gold, *candidate, *opponent})
    expected = [
        f1_score(gold[drawn], answers[drawn], labels=labels, average="macro", zero_division=0)
        for answers in (candidate, opponent)
    ]
    shared, ours, theirs = (array[drawn] for array in (counts.shared, counts.candidate, counts.opponent))
    resampled = replace(counts, shared=shared, candidate=ours, opponent=theirs)
    assert resampled.scores() == pytest.approx(expected)


# Tokens of two letters with one space between; a tag a token.
tags = st.lists(st.sampled_from(["O", "O", *(f"{mark}-{name}" for mark in "BI" for name in TYPES)]), min_size=1, max_size=10)


def as_iob2(drawn: Sequence[str]) -> list[str]:
    """Return tags in which no entity begins with I-."""
    fixed = list(drawn)
    for at, tag in enumerate(drawn):
        before = fixed[at - 1] if at else "O"
        if tag.startswith("I-") and (before == "O" or before[2:] != tag[2:]):
            fixed[at] = f"B-{tag[2:]}"
    return fixed


def spans(iob2: Sequence[str]) -> dict[str, object]:
    """Return the same entities as character spans."""
    found: list[dict[str, object]] = []
    for at, tag in enumerate(iob2):
        if tag.startswith("B-"):
            found.append({"start": 3 * at, "end": 3 * at + 2, "label": tag[2:]})
        elif tag.startswith("I-"):
            found[-1]["end"] = 3 * at + 2
    return {"spans": found}


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(tags, tags, tags), min_size=1, max_size=6))
def test_entity_f1_is_seqevals_strict_micro_f1(drawn: list[tuple[list[str], list[str], list[str]]]) -> None:
    length = [min(map(len, row)) for row in drawn]
    columns = [[as_iob2(row[which][:size]) for row, size in zip(drawn, length, strict=True)] for which in range(3)]
    gold, candidate, opponent = columns
    seen = table(*[[spans(row) for row in column] for column in columns])
    expected = [seqeval_f1(gold, answers, mode="strict", scheme=IOB2, zero_division=0) for answers in (candidate, opponent)]
    assert paired("entity_f1", seen).scores() == pytest.approx(expected)
    printed = entities.entity_scores([spans(row) for row in gold], [spans(row) for row in candidate]).overall.f1
    assert printed == pytest.approx(expected[0])


def test_no_rows_score_nothing() -> None:
    empty = pa.table({name: pa.array([], pa.string()) for name in ("gold", "candidate", "opponent")})
    for metric in ("entity_f1", "macro_f1", "accuracy", "mae", "rmse", "spearman"):
        assert paired(metric, empty).scores() == (0.0, 0.0)
    assert json.loads(json.dumps(spans(["O", "B-PER", "I-PER"]))) == {"spans": [{"start": 3, "end": 8, "label": "PER"}]}
