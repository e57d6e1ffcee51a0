"""Rows whose annotators did not know a type teach nothing about it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.pipeline import EntityRecognizer
from thinc.api import Adam, fix_random_seed

from tests.support.ner_rows import example, examples
from trainers.learners.protocols import Example
from trainers.learners.spacy.rows import TokenRow, lay_on_tokens
from trainers.learners.spacy.scope import ScopedRecogniser

pytestmark = pytest.mark.slow

TYPES = ("GPE", "NEWS_ORG", "PERSON")
OLD = frozenset({"GPE", "PERSON"})


@pytest.fixture
def pipeline() -> tuple[Language, EntityRecognizer]:
    fix_random_seed(0)
    nlp = spacy.blank("en")
    recogniser: Any = nlp.add_pipe("ner")
    for label in TYPES:
        recogniser.add_label(label)
    nlp.initialize(lambda: [row.example(nlp) for row in laid(nlp, examples(4))])
    return nlp, recogniser


def laid(nlp: Language, rows: list[Example]) -> list[TokenRow]:
    found, _report = lay_on_tokens(nlp, rows, TYPES)
    return found


def moved(pipeline: tuple[Language, EntityRecognizer], row: Example, *, carried: Collection[str] = TYPES) -> dict[str, bool]:
    """Which types' beginnings an update by one row moves, in the last layer."""
    nlp, recogniser = pipeline
    layer = next(
        layer for layer in recogniser.model.walk() if layer.name == "linear" and layer.get_dim("nO") == recogniser.moves.n_moves
    )
    before = layer.get_param("b").copy()
    optimizer = Adam(0.01, L2=0.0, use_averages=False)
    ScopedRecogniser(recogniser, carried).learn(nlp, laid(nlp, [row]), drop=0.0, sgd=optimizer)
    changed = np.abs(layer.get_param("b") - before) > 0
    names = [recogniser.moves.get_class_name(move) for move in range(recogniser.moves.n_moves)]
    return {label: any(changed[at] for at, name in enumerate(names) if name in (f"B-{label}", f"U-{label}")) for label in TYPES}


def test_silence_about_a_type_outside_the_scope_moves_nothing(pipeline: tuple[Language, EntityRecognizer]) -> None:
    silent = Example("e", "Officials of the Evening Post refused to comment .", {"spans": []})
    assert moved(pipeline, replace(silent, scope=OLD)) == {"GPE": True, "NEWS_ORG": False, "PERSON": True}


@pytest.mark.parametrize("scope", [None, frozenset(TYPES)])
def test_silence_about_a_type_within_the_scope_is_a_no(
    scope: frozenset[str] | None, pipeline: tuple[Language, EntityRecognizer]
) -> None:
    silent = Example("e", "Officials of the Evening Post refused to comment .", {"spans": []}, scope=scope)
    assert moved(pipeline, silent) == dict.fromkeys(TYPES, True)


def test_a_type_that_no_row_carries_is_out_of_nobodys_scope(pipeline: tuple[Language, EntityRecognizer]) -> None:
    silent = Example("e", "Officials of the Evening Post refused to comment .", {"spans": []}, scope=OLD)
    assert moved(pipeline, silent, carried=OLD) == dict.fromkeys(TYPES, True)


def test_what_was_marked_as_one_type_is_no_other(pipeline: tuple[Language, EntityRecognizer]) -> None:
    marked = replace(example("Paris", ("Paris", "GPE")), scope=OLD)
    assert moved(pipeline, marked)["NEWS_ORG"]


def test_training_within_scopes_leaves_the_recogniser_what_it_was(pipeline: tuple[Language, EntityRecognizer]) -> None:
    nlp, recogniser = pipeline
    ScopedRecogniser(recogniser, TYPES).learn(
        nlp, laid(nlp, [replace(row, scope=OLD) for row in examples(5)]), drop=0.0, sgd=Adam(0.01)
    )
    assert type(nlp.get_pipe("ner")) is EntityRecognizer
    assert nlp.get_pipe("ner").cfg == spacy.blank("en").add_pipe("ner").cfg | {"moves": recogniser.cfg["moves"]}


def test_rows_of_another_guideline_do_not_unlearn_a_type(pipeline: tuple[Language, EntityRecognizer]) -> None:
    """People and places are marked in all rows, papers only in some; the others come from before papers were asked for."""
    whole = examples(60, seed=1)
    earlier = examples(240, seed=2, types=("PERSON", "GPE"))
    asked = examples(60, seed=3)

    def recall(scope: frozenset[str] | None) -> float:
        fix_random_seed(1)
        nlp = spacy.blank("en")
        recogniser: Any = nlp.add_pipe("ner")
        for label in TYPES:
            recogniser.add_label(label)
        rows = laid(nlp, [*whole, *(replace(row, scope=scope) for row in earlier)])
        nlp.initialize(lambda: [row.example(nlp) for row in rows[:4]])
        scoped, optimizer = ScopedRecogniser(recogniser, TYPES), Adam(0.01)
        for _epoch in range(2):
            for start in range(30):
                scoped.learn(nlp, rows[start::30], drop=0.1, sgd=optimizer)
        found = sum(any(ent.label_ == "NEWS_ORG" for ent in nlp(row.text).ents) for row in asked)
        return found / sum(any(span["label"] == "NEWS_ORG" for span in row.target["spans"]) for row in asked)

    # Measured: all of them after two passes, and a fifth.
    assert recall(OLD) > 0.9
    assert recall(None) < 0.6
