"""Labels in words: what a task file may say of them, and heads that start from what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from config.task_files.labels.label_words import words_of
from perennial_artifact.errors import UnusableError
from perennial_artifact.labels import LabelSet
from perennial_artifact.sentence.head import UNLEARNT_BIAS, Head, Solved
from tests.support.tiny_models import toy_spec
from trainers.learners.heads.building import build, choice_of
from trainers.learners.heads.families.binomial import Binomial
from trainers.learners.heads.label_words import starts, words
from trainers.learners.heads.label_words.starts import Starts
from trainers.learners.heads.rows import HeadRows
from trainers.learners.heads.solving import solve, solve_near
from trainers.learners.heads.validation.forward import Choice, solved
from trainers.learners.tried import Tried

WIDTH, COUNT = 24, 8
NAMES = tuple(f"TOPIC {number}" for number in range(COUNT))
EVERY = LabelSet(NAMES, frozenset(NAMES))


def directions(*, true: bool, seed: int = 0) -> Starts:
    """What the words of each label say: where its texts lie, or what has nothing to do with them."""
    chance = np.random.default_rng(seed)
    rows = np.eye(COUNT, WIDTH) if true else chance.normal(size=(COUNT, WIDTH))
    return Starts(dict(zip(NAMES, rows.astype(np.float32), strict=True)), "embedding")


def rows(count: int = 600, *, said: Starts | None = None, labels: int = COUNT, noise: float = 0.5, seed: int = 1) -> HeadRows:
    """Rows of length 1 around one direction for each label, oldest first."""
    chance = np.random.default_rng(seed)
    ids = chance.integers(0, labels, count)
    features = np.eye(COUNT, WIDTH)[ids] + noise * chance.normal(size=(count, WIDTH))
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    near = None if said is None else said.scaled(NAMES, features)
    return HeadRows(
        features, ids.astype(np.intp), np.ones(count), np.linspace(0.0, 700.0, count), np.arange(count, dtype=np.intp),
        np.ones(count, dtype=bool), starts=near,
    )  # fmt: skip


class TestTaskFiles:
    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("FOOD & DRINK", "food & drink"), ("world_news", "world news"), ("Élan", "Élan"), ("日本", "日本"), ("A7", None),
            ("12", None),
        ],
    )  # fmt: skip
    def test_a_name_is_read_as_a_person_says_it(self, name: str, said: str | None) -> None:
        assert words_of(name, "names") == said

    def test_words_that_are_given_take_the_place_of_a_name_and_may_be_empty(self) -> None:
        assert words_of("A7", {"A7": "motorways"}) == "motorways"
        assert words_of("SPORT", {"SPORT": ""}) is None
        assert words_of("SPORT", {"A7": "motorways"}) == "sport"

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"label_words": "all"}, "label_words"),
            ({"label_words": {"SPORT": "x" * 600}}, "600 characters"),
            ({"label_words": {"SPORT": "a\u200bb"}}, "invisible"),
            ({"label_words": {"SPORT": "games"}, "labels": "closed", "label_names": ["MARKETS"]}, "words for SPORT"),
            ({"hypothesis": "This is it."}, "hold {} once"),
            ({"hypothesis": "{} and {}"}, "hold {} once"),
            ({"label_words": "names", "kind": "ner", "promotion": {"metric": "entity_f1"}, "training": {}}, "kind ner"),
        ],
    )
    def test_what_cannot_be_is_refused_by_name(self, change: dict[str, object], said: str) -> None:
        with pytest.raises(ValidationError, match=said):
            toy_spec("minilm", **change)

    def test_by_default_only_a_base_for_inference_is_asked(self) -> None:
        assert toy_spec("minilm").label_words == "auto"
        assert toy_spec("minilm", label_words={"  SPORT ": " two  words "}).label_words == {"SPORT": "two words"}


class TestStarts:
    def test_they_differ_between_texts_by_a_standard_deviation_of_one(self) -> None:
        some = rows(said=directions(true=True))
        assert some.starts is not None
        assert np.sqrt((some.features @ some.starts.T).var(axis=0).mean()) == pytest.approx(1.0, rel=1e-4)

    def test_further_columns_and_labels_without_words_start_at_zero(self) -> None:
        said = Starts({NAMES[2]: np.eye(COUNT, WIDTH, dtype=np.float32)[2]}, "embedding")
        features = np.hstack([rows().features, np.ones((600, 5), dtype=np.float32)])
        found = said.scaled(NAMES, features)
        assert found is not None
        assert found.shape == (COUNT, WIDTH + 5)
        assert np.flatnonzero(found.any(axis=1)).tolist() == [2]
        assert not found[:, WIDTH:].any()

    def test_words_that_tell_nothing_apart_are_none(self) -> None:
        nothing = Starts({NAMES[0]: np.zeros(WIDTH, dtype=np.float32)}, "embedding")
        assert nothing.scaled(NAMES, rows().features) is None
        assert directions(true=True).scaled(("another",), rows().features) is None

    def test_what_is_written_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "head").mkdir()
        assert starts.read(tmp_path) is None
        directions(true=True).write(tmp_path)
        found = starts.read(tmp_path)
        assert found is not None
        assert (list(found.rows), found.source) == (list(NAMES), "embedding")
        assert all((found.rows[name] == row).all() for name, row in directions(true=True).rows.items())
        path = tmp_path / starts.WORDS_FILE
        path.write_bytes(path.read_bytes()[:-50])
        with pytest.raises(UnusableError, match="words of labels"):
            starts.read(tmp_path)


class TestSolving:
    @settings(max_examples=5, deadline=None)
    @given(seed=st.integers(0, 100))
    def test_drawn_to_zero_it_is_the_usual_minimum(self, seed: int) -> None:
        some = rows(200, seed=seed)
        usual = solve(some.features, some.labels, some.weights, strength=3.0)
        near = solve_near(some.features, some.labels, some.weights, strength=3.0, centre=np.zeros((COUNT, WIDTH), np.float32))
        assert near.labels.tolist() == usual.labels.tolist()
        ours, theirs = (one.scores(some.features) for one in (near, usual))
        gaps = (ours - ours.mean(axis=1, keepdims=True)) - (theirs - theirs.mean(axis=1, keepdims=True))
        assert np.abs(gaps).max() < 0.1

    @pytest.mark.parametrize("family", [None, Binomial()])
    def test_a_label_of_few_rows_stays_near_its_words(self, family: Binomial | None) -> None:
        some = rows(said=directions(true=True))
        # One row of the first label is left.
        some = some.take(np.concatenate([np.flatnonzero(some.labels == 0)[:1], np.flatnonzero(some.labels != 0)]))
        asked = rows(400, seed=7)
        gold = asked.labels == 0
        if family is not None:
            some = replace(some, labels=np.eye(COUNT, dtype=np.intp)[some.labels], family=family)
        ranks = []
        for trust in (0.0, 2.0):
            found, _prior = solved(some, Choice(None, None, 10.0, trust))
            scores = found.scores(asked.features)[:, 0]
            ranks.append((scores[gold][:, None] > scores[~gold][None, :]).mean())
        assert ranks[1] > ranks[0]
        assert ranks[1] > 0.9


class TestTrust:
    def test_words_that_say_where_texts_lie_are_trusted_and_chance_is_not(self) -> None:
        tried: list[Tried] = []
        assert words.choose(rows(said=directions(true=True)), Choice(), None, tried.append) > 0.0
        assert sum(one.chosen for one in tried) == 1
        assert all(0.0 <= one.scores["average_precision"] <= 1.0 for one in tried)
        assert words.choose(rows(said=directions(true=False)), Choice(), 2.0, tried.append) == 0.0

    def test_with_too_few_labels_to_choose_by_it_stays_what_it_was(self) -> None:
        tried: list[Tried] = []
        few = rows(60, said=directions(true=True), labels=3)
        assert words.choose(few, Choice(), None, tried.append) == words.USUAL
        assert words.choose(few, Choice(), 0.0, tried.append) == 0.0
        assert "too few labels" in tried[-1].name

    def test_without_words_there_is_nothing_to_trust(self) -> None:
        assert words.choose(rows(), Choice(), 2.0, lambda _one: None) == 0.0


class TestHeads:
    def test_a_declared_label_without_a_row_is_answered_from_its_words(self, tmp_path: Path) -> None:
        some = rows(said=directions(true=True), labels=COUNT - 1)
        seen = LabelSet(NAMES, frozenset(NAMES[:-1]))
        head = build(some, seen, Choice(words=2.0), Solved(), declared=NAMES)
        head.write(tmp_path)
        head = Head.read(tmp_path)
        assert head.labels.seen == frozenset(NAMES)
        assert choice_of(head).words == head.solved.words == 2.0
        share = head.probabilities(some.features)[:, -1].mean()
        assert 0.01 < share < 0.15, "about half an average label's"
        asked = rows(400, seed=7)
        answered = [answer["label"] for answer in head.answers(asked.features, [False] * 400)]
        assert sum(label == NAMES[-1] for label, true in zip(answered, asked.labels, strict=True) if true == COUNT - 1) > 10

    def test_one_that_is_not_trusted_or_not_declared_is_not(self) -> None:
        some = rows(said=directions(true=True), labels=COUNT - 1)
        seen = LabelSet(NAMES, frozenset(NAMES[:-1]))
        for choice, declared in ((Choice(), NAMES), (Choice(words=2.0), ())):
            head = build(some, seen, choice, Solved(), declared=declared)
            assert NAMES[-1] not in head.labels.seen
            assert head.bias[-1] == UNLEARNT_BIAS

    def test_one_example_does_not_say_how_seldom_a_label_comes(self) -> None:
        some = rows(said=directions(true=True), labels=COUNT - 1)
        newest = replace(rows(1, labels=1), labels=np.array([COUNT - 1]), days=np.array([701.0]), starts=None)
        features = np.concatenate([some.features, np.eye(COUNT, WIDTH, dtype=np.float32)[COUNT - 1 :]])
        both = replace(
            some, features=features, labels=np.concatenate([some.labels, newest.labels]), weights=np.ones(601),
            days=np.concatenate([some.days, newest.days]), documents=np.arange(601), independent=np.ones(601, dtype=bool),
        )  # fmt: skip
        shares = [
            build(both, EVERY, Choice(words=trust), Solved()).probabilities(some.features)[:, -1].mean() for trust in (0.0, 1.0)
        ]
        assert shares[0] < 0.02 < shares[1] < 0.1
        # Of one whose only example is old, it does.
        old = replace(both, days=np.concatenate([some.days, [0.0]]))
        assert build(old, EVERY, Choice(words=1.0), Solved()).probabilities(some.features)[:, -1].mean() < 0.02

    def test_of_several_labels_it_has_a_threshold(self) -> None:
        some = rows(said=directions(true=True), labels=COUNT - 1)
        marks = np.eye(COUNT, dtype=np.intp)[some.labels]
        some = replace(some, labels=marks, family=Binomial())
        head = build(some, LabelSet(NAMES, frozenset(NAMES[:-1])), Choice(words=2.0), Solved(), declared=NAMES)
        assert head.thresholds is not None
        assert 0.0 < head.thresholds[-1] < 0.5
        asked = rows(400, seed=7)
        given_ = [NAMES[-1] in answer["labels"] for answer in head.answers(asked.features, [False] * 400)]
        assert np.mean([said for said, true in zip(given_, asked.labels, strict=True) if true == COUNT - 1]) > 0.3
